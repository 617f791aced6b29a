"""PROVABGS: physical properties of the galaxies of the DESI Bright Galaxy Survey, one table in an HDF5 file.

The archive's file opens by ``astropy.table.Table.read(path)``; PUBLISHED has its columns as its data model describes
them. PROVABGS_MCMC holds 100 samples of the posterior of 13 parameters: log10 of the mass formed (Msun), beta_1 to
beta_4 (of the basis of star-formation histories), f_burst and t_burst (Gyr), gamma_1 and gamma_2 (of the basis of
metallicity histories), tau_BC and tau_ISM (optical depths of birth clouds and of all dust), n_dust (slope of the
attenuation curve) and f_fiber (share of the light in the fibre).

What the archive's users learn from is derived from the best fit, as AstroCLIP's authors did, and is not in this file:
LOG_MSTAR (log10 Msun) is PROVABGS_LOGMSTAR_BF under another name; Z_MW (mass-weighted metallicity as a mass fraction),
TAGE_MW (mass-weighted age, Gyr) and AVG_SFR (Msun/yr, average of the last Gyr) need the two bases of histories, which
are in the authors' code and in no package of the package index. So these three come in a companion table of their own,
columns COMPANION, a row a TARGETID. `skyloom.formats.provabgs_model` makes it from the published file and a copy of the
bases; any table with these columns will do, such as the published one with them added. The mock survey, whose
histories are not of those bases, writes beta, gamma and the burst as NaN and a companion beside its published columns.

Source: Hahn et al. (2023), arXiv 2202.01809; data.desi.lbl.gov/doc/releases/edr/vac/provabgs, file
data.desi.lbl.gov/public/edr/vac/edr/provabgs/v1.0/BGS_ANY_full.provabgs.sv3.v0.hdf5. The two weights stand there under
the names that readers of the file use (the Multimodal Universe), with the prefix PROVABGS_.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

import h5py
import numpy as np
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.hdf5_files import KINDS, damaged, open_hdf5

PUBLISHED = {
    "TARGETID": ("i8", ""),
    "RA": ("f8", "deg"),
    "DEC": ("f8", "deg"),
    "Z_HP": ("f8", ""),
    "ZERR": ("f8", ""),
    "TSNR2_BGS": ("f4", ""),
    "MAG_G": ("f8", "mag"),  # magnitudes are AB, corrected for Milky Way extinction
    "MAG_R": ("f8", "mag"),
    "MAG_Z": ("f8", "mag"),
    "MAG_W1": ("f8", "mag"),
    "FIBMAG_R": ("f8", "mag"),
    "HPIX_64": ("i8", ""),  # nested
    "PROVABGS_MCMC": ("(100,13)f8", ""),
    "PROVABGS_THETA_BF": ("(13,)f8", ""),
    "PROVABGS_LOGMSTAR_BF": ("f8", "dex(Msun)"),
    "PROVABGS_Z_MAX": ("f8", ""),  # up to which the survey would have selected the galaxy
    "SCHLEGEL_COLOR": ("f8", "mag"),  # (z - W1) - 1.2 (g - r) + 1.2, which selects BGS Faint
    "PROVABGS_W_ZFAIL": ("f8", ""),
    "PROVABGS_W_FIBASSIGN": ("f8", ""),
    "IS_BGS_BRIGHT": ("?", ""),
    "IS_BGS_FAINT": ("?", ""),
}
"""Column of the archive -> type and unit."""
DERIVED = {"Z_MW": "", "TAGE_MW": "Gyr", "AVG_SFR": "Msun / yr"}
"""Properties of the companion table and their units."""
UNITS = {name: unit for name, (_, unit) in PUBLISHED.items() if unit} | {
    name: unit for name, unit in DERIVED.items() if unit
}
COMPANION = {"TARGETID": "integers", **dict.fromkeys(DERIVED, "numbers")}
"""Column -> kind a companion table must have."""
REQUIRED = {
    "TARGETID": "integers",
    **dict.fromkeys(("Z_HP", "MAG_G", "MAG_R", "MAG_Z", "PROVABGS_LOGMSTAR_BF"), "numbers"),
}
"""Column -> kind a property file must have."""
_TABLE = "__astropy_table__"
_ROWS_PER_CHUNK = 64


class Writer:
    """Append parts of a table to an open file; use through `table_writer`."""

    def __init__(self, file: h5py.File, required: Mapping[str, str]):
        self._file, self._required = file, required

    def append(self, table: Table) -> None:
        """Append rows; ValueError if a required column is missing. The first part says which columns there are."""
        if missing := set(self._required) - set(table.colnames):
            raise ValueError(f"the table needs the columns {', '.join(sorted(missing))}")
        rows = np.array(table.as_array())
        if _TABLE not in self._file:
            # samples of parameters that have no counterpart in the mock are NaN: compressed, they take no room
            options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
            shape = {"shape": (0,), "maxshape": (None,), "chunks": (_ROWS_PER_CHUNK,)}
            self._file.create_dataset(_TABLE, dtype=rows.dtype, **shape, **options)
        dataset = self._file[_TABLE]
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[len(dataset) - len(rows) :] = rows


@contextlib.contextmanager
def table_writer(path: str | os.PathLike, required: Mapping[str, str] = REQUIRED) -> Iterator[Writer]:
    """Yield a Writer of a table with the columns `required` (REQUIRED or COMPANION) and more; the file appears when the
    block ends well, and ``Table.read(path)`` gives all rows back."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        yield Writer(file, required)


def write_properties(path: str | os.PathLike, table: Table) -> None:
    """Write a whole property table; see `Writer.append`."""
    with table_writer(path) as file:
        file.append(table)


def write_companion(path: str | os.PathLike, table: Table) -> None:
    """Write a whole companion table; see `Writer.append`."""
    with table_writer(path, COMPANION) as file:
        file.append(table)


def read_properties(path: str | os.PathLike, columns: Sequence[str] | None = None) -> Table:
    """The property table of a file, all columns or only `columns` (the samples are a hundred times the rest), with
    units.

    Raises
    ------
    BadInput
        The file is not what it should be, or lacks a column.
    """
    return _read(path, REQUIRED, columns)


def read_companion(path: str | os.PathLike) -> Table:
    """The columns COMPANION of a file, with units. Raises BadInput as `read_properties` does."""
    return _read(path, COMPANION, list(COMPANION))


def _read(path: str | os.PathLike, required: Mapping[str, str], columns: Sequence[str] | None) -> Table:
    with open_hdf5(path) as file:
        tables = [name for name, item in file.items() if isinstance(item, h5py.Dataset) and item.dtype.names]
        if not tables:
            raise BadInput(f"{path}: no table in it, found {', '.join(file) or 'nothing'}")
        dataset = file[tables[0]]
        for name in (*required, *(columns or ())):
            if name not in dataset.dtype.names:
                found = ", ".join(dataset.dtype.names)
                raise BadInput(f"{path}: table {tables[0]} has no column {name}, found {found}")
        for name, kind in required.items():
            if dataset.dtype[name].base.kind not in KINDS[kind]:
                raise BadInput(f"{path}: column {name} is {dataset.dtype[name]}, expected {kind}")
        names = list(dict.fromkeys(dataset.dtype.names if columns is None else columns))
        try:
            rows = dataset.fields(names)[()]
        except OSError as error:
            raise damaged(path, f"table {tables[0]} cannot be read", error) from error
        table = Table({name: rows[name] for name in names})
    for name in table.colnames:
        if name in UNITS:
            table[name].unit = UNITS[name]
    return table
