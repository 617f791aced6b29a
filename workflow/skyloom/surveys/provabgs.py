"""PROVABGS: physical properties of the galaxies of the DESI Bright Galaxy Survey, one table in an HDF5 file.

The archive's file opens by ``astropy.table.Table.read(path)``. Its own columns that matter here: TARGETID, RA, DEC
(deg), Z_HP, ZERR, MAG_G, MAG_R, MAG_Z, FIBMAG_R (AB mag), HPIX_64 (nested), PROVABGS_LOGMSTAR_BF (log10 Msun, the best
fit). Derived ones: LOG_MSTAR (log10 Msun), Z_MW (mass-weighted metallicity as a mass fraction), TAGE_MW (mass-weighted
age, Gyr), AVG_SFR (Msun/yr, average of the last Gyr); the mock survey writes them with the scatter of a posterior, and
as *_TRUE without. Source: Hahn et al. (2023), arXiv 2202.01809; data.desi.lbl.gov/public/edr/vac/edr/provabgs/v1.0.
"""

import os

import h5py
import numpy as np
from astropy.table import Table

from skyloom.errors import BadInput
from skyloom.files import atomic
from skyloom.surveys.hdf5_files import KINDS, open_hdf5

DERIVED = {"LOG_MSTAR": "dex(Msun)", "Z_MW": "", "TAGE_MW": "Gyr", "AVG_SFR": "Msun / yr"}
"""Properties and their units; each may come with a column *_TRUE."""
UNITS = {
    "RA": "deg",
    "DEC": "deg",
    "MAG_G": "mag",
    "MAG_R": "mag",
    "MAG_Z": "mag",
    "FIBMAG_R": "mag",
    **{f"{name}{suffix}": unit for name, unit in DERIVED.items() if unit for suffix in ("", "_TRUE")},
}
REQUIRED = {
    "TARGETID": "integers",
    **dict.fromkeys(("Z_HP", "MAG_G", "MAG_R", "MAG_Z", "PROVABGS_LOGMSTAR_BF"), "numbers"),
}
"""Column -> kind a property file must have."""


def write_properties(path: str | os.PathLike, table: Table) -> None:
    """Write a property table so that ``Table.read(path)`` gives it back; ValueError if one of REQUIRED is missing."""
    if missing := set(REQUIRED) - set(table.colnames):
        raise ValueError(f"a property table needs the columns {', '.join(sorted(missing))}")
    rows = np.array(table.as_array())
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("__astropy_table__", data=rows)


def read_properties(path: str | os.PathLike) -> Table:
    """The property table of a file, with units; BadInput if the file or a column is not what it should be."""
    with open_hdf5(path) as file:
        tables = [name for name, item in file.items() if isinstance(item, h5py.Dataset) and item.dtype.names]
        if not tables:
            raise BadInput(f"{path}: no table in it, found {', '.join(file) or 'nothing'}")
        dataset = file[tables[0]]
        for name, kind in REQUIRED.items():
            if name not in dataset.dtype.names:
                raise BadInput(f"{path}: table {tables[0]} has no column {name}")
            if dataset.dtype[name].base.kind not in KINDS[kind]:
                raise BadInput(f"{path}: column {name} is {dataset.dtype[name]}, expected {kind}")
        table = Table(dataset[()])
    for name in table.colnames:
        if name in UNITS:
            table[name].unit = UNITS[name]
    return table
