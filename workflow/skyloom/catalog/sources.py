"""What a catalogue is made of: the columns needed of redshift catalogues, fibermaps, redrock, images, properties."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table, vstack

from skyloom.core.errors import BadInput
from skyloom.formats import desi, galaxiesml, legacy, provabgs, wanted_galaxies
from skyloom.formats.file_names import file_names, sorted_paths
from skyloom.formats.fits_files import hdu_named, open_fits, read_table

log = logging.getLogger(__name__)

BASE = {"TARGETID": "integers", "TARGET_RA": "numbers", "TARGET_DEC": "numbers"}
PHOTOMETRY = ("FLUX_G", "FLUX_R", "FLUX_Z", "EBV")
KEY = ("RELEASE", "BRICKID", "BRICK_OBJID")
"""What a source of the Legacy Surveys is called in DESI's catalogues; in files of images release, brickid, objid."""
IMAGE_KEY = ("release", "brickid", "objid")
PROPERTIES = ("LOG_MSTAR", *provabgs.DERIVED)
TRUTH = dict(zip(PROPERTIES, ("log_mstar", "z_mw", "t_age_mw", "avg_sfr"), strict=True))
"""Columns of a truth file by what they are the truth of."""


@dataclass
class Spectra:
    """Where the spectra of a survey are: a row a spectrum in the first three, a row a file in the rest."""

    targetid: np.ndarray
    file: np.ndarray  # number of the file, in the order of their names
    row: np.ndarray  # in that file
    paths: list[str]
    surveys: np.ndarray  # of str, the keyword SURVEY (sv3, main ...)
    programs: np.ndarray  # of str, the keyword PROGRAM (bright, dark ...)

    @property
    def names(self) -> np.ndarray:
        """What the files are called (see `skyloom.formats.file_names`)."""
        return np.array(file_names(self.paths))


def find_spectra(paths: Sequence[str]) -> Spectra:
    """Every row of the coadd files' fibermaps. Raises BadInput without files, or if one is given twice."""
    if not paths:
        raise BadInput("no coadd file: a survey needs spectra")
    paths = sorted_paths(paths)
    targetids, keywords = [], []
    for path in paths:
        with open_fits(path) as hdus:
            table = read_table(path, hdus, "FIBERMAP", {"TARGETID": "integers"}, columns=["TARGETID"])
            keywords.append([str(hdus[0].header.get(key, "")).strip() for key in ("SURVEY", "PROGRAM")])
        targetids.append(np.asarray(table["TARGETID"], np.int64))
    lengths = [len(targetid) for targetid in targetids]
    row = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    surveys, programs = np.array(keywords).T
    return Spectra(np.concatenate(targetids), np.repeat(np.arange(len(paths)), lengths), row, paths, surveys, programs)


def wanted_spectra(wanted: pa.Table) -> Spectra:
    """The spectra that an archive's catalogue says its coadds hold (`skyloom.formats.wanted_galaxies`), which need not
    be here: their rows are found by TARGETID when they are, and -1 until then."""
    number, paths = wanted_files(wanted, "coadd")
    first = np.unique(number, return_index=True)[1]
    told = {name: wanted_galaxies.texts(wanted, name) for name in ("survey", "program")}
    surveys, programs = (np.array(names, "U")[of_row[first]] for of_row, names in told.values())
    row = np.full(len(number), -1, np.int32)
    return Spectra(wanted_galaxies.numbers(wanted, "targetid"), number, row, paths, surveys, programs)


def wanted_images(wanted: pa.Table) -> Table:
    """What `read_images` says of the images of these galaxies."""
    table = Table({name: wanted_galaxies.numbers(wanted, name) for name in ("ra", "dec", "ebv", *IMAGE_KEY)})
    table["flux"] = wanted_galaxies.fluxes(wanted)
    number = wanted_files(wanted, "images")[0]
    table["file"] = number.astype(np.int32)
    table["row"] = pd.Series(number).groupby(number).cumcount().to_numpy(np.int32)
    return table


def wanted_files(wanted: pa.Table, role: str) -> tuple[np.ndarray, list[str]]:
    """The files of a role: the number of each row's (n,), and their names in the order of `sorted_paths`."""
    number, names = wanted_galaxies.texts(wanted, role)
    used, place = np.unique(number, return_inverse=True)
    names = [names[code] for code in used]
    paths = sorted_paths(names)
    order = {path: place for place, path in enumerate(paths)}
    return np.array([order[name] for name in names])[place], paths


def zcatalog_blocks(path: str, wanted_cuts: Sequence[Mapping]) -> Iterator[Table]:
    """The columns of a redshift catalogue that cuts and output need, a block of rows at a time; a real one has 28
    million rows of 150 columns."""
    with open_fits(path) as hdus:
        names = hdu_named(path, hdus, "ZCATALOG").columns.names
    optional = [name for name in ("ZWARN", *PHOTOMETRY, *KEY, "SURVEY", "PROGRAM") if name in names]
    needed = [*BASE, "Z", "ZERR", "SPECTYPE", *optional, *(cut["column"] for cut in wanted_cuts)]
    return desi.zcatalog_blocks(path, columns=list(dict.fromkeys(needed)))


def read_fibermaps(coadds: Sequence[str], redrocks: Sequence[str], wanted_cuts: Sequence[Mapping]) -> Table:
    """A row a fibre of the coadds, with the redshift that a redrock file has for its TARGETID.

    Z, ZERR and ZWARN are NaN and SPECTYPE is empty where none has.
    """
    table = vstack([_read_fibermap(path, wanted_cuts) for path in coadds], metadata_conflicts="silent")
    fits = [desi.read_redrock(path)["TARGETID", "Z", "ZERR", "ZWARN", "SPECTYPE"] for path in redrocks]
    redshifts = vstack(fits, metadata_conflicts="silent") if fits else Table({"TARGETID": np.empty(0, np.int64)})
    index = rows_of(table["TARGETID"], redshifts["TARGETID"])
    for name in ("Z", "ZERR", "ZWARN"):
        table[name] = pick(redshifts[name], index) if fits else np.full(len(table), np.nan)
    table["SPECTYPE"] = np.where(index >= 0, redshifts["SPECTYPE"][index], "") if len(redshifts) else ""
    log.info("%d of %d fibres have a redshift", (index >= 0).sum(), len(table))
    return table


def _read_fibermap(path: str, wanted_cuts: Sequence[Mapping]) -> Table:
    from_redrock = ("Z", "ZERR", "ZWARN", "SPECTYPE")
    with open_fits(path) as hdus:
        names = hdu_named(path, hdus, "FIBERMAP").columns.names
        needed = [*BASE, *(cut["column"] for cut in wanted_cuts if cut["column"] not in from_redrock)]
        present = [name for name in PHOTOMETRY if name in names]
        table = read_table(path, hdus, "FIBERMAP", BASE, columns=list(dict.fromkeys([*needed, *present])))
    for name in PHOTOMETRY:
        if name not in names:
            table[name] = np.full(len(table), np.nan, np.float32)
    return table


def read_images(paths: Sequence[str]) -> Table:
    """Positions, photometry and keys of all cutouts (ra, dec, flux, ebv where present, release, brickid, objid), their
    file's number and row in it."""
    tables = []
    for number, path in enumerate(paths):
        table = legacy.read_cutout_catalog(path)
        table.keep_columns([name for name in ("ra", "dec", "flux", "ebv", *IMAGE_KEY) if name in table.colnames])
        table["file"], table["row"] = np.int32(number), np.arange(len(table), dtype=np.int32)
        tables.append(table)
    return vstack(tables, join_type="inner", metadata_conflicts="silent")


def read_hsc_images(paths: Sequence[str]) -> Table:
    """Positions of all HSC images (ra, dec), their file's number and row in it."""
    tables = []
    for number, path in enumerate(paths):
        table = galaxiesml.read_catalog(path, columns=["ra", "dec"])
        table["file"], table["row"] = np.int32(number), np.arange(len(table), dtype=np.int32)
        tables.append(table)
    return vstack(tables, metadata_conflicts="silent")


def read_truth(paths: Sequence[str]) -> Table:
    """What was put in, a row a simulated galaxy: TARGETID, redshift Z, SPECTYPE and PROPERTIES. Raises BadInput for
    other files."""
    parts = []
    for path in sorted_paths(paths):
        try:
            part = pq.read_table(path, columns=["targetid", "redshift", "target", *TRUTH.values()])
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path}: not a truth file ({str(error).splitlines()[0]})") from error
        parts.append(part)
    table = pa.concat_tables(parts)
    quasar = np.asarray(table["target"]) == "qso"
    columns = {"TARGETID": table["targetid"].to_numpy(), "Z": table["redshift"].to_numpy()}
    columns |= {name: table[column].to_numpy() for name, column in TRUTH.items()}
    return Table(columns | {"SPECTYPE": np.where(quasar, "QSO", "GALAXY")})


def read_properties(path: str, companion: str | None, wanted_cuts: Sequence[Mapping]) -> Table:
    """The columns of a property table that cuts and labels need, with PROPERTIES, which are derived.

    LOG_MSTAR is the best fit's; the others are those of the companion table, NaN for a TARGETID that it lacks, or
    without one (see `skyloom.formats.provabgs`).
    """
    cut_columns = [cut["column"] for cut in wanted_cuts if cut["column"] not in PROPERTIES]
    table = provabgs.read_properties(path, ["TARGETID", "PROVABGS_LOGMSTAR_BF", *cut_columns])
    table["LOG_MSTAR"] = np.asarray(table["PROVABGS_LOGMSTAR_BF"], np.float64)
    derived = Table({"TARGETID": np.empty(0, np.int64), **{name: np.empty(0) for name in provabgs.DERIVED}})
    if companion:
        derived = provabgs.read_companion(companion)
    index = rows_of(table["TARGETID"], derived["TARGETID"])
    for name in provabgs.DERIVED:
        table[name] = pick(derived[name], index)
    return table


def source_key(table: Table, names: Sequence[str]) -> np.ndarray:
    """(N,) int64: release, brickid and objid of each row, which `names` are, in one number (`legacy.source_number`)."""
    return legacy.source_number(*(table[name] for name in names))


def rows_of(keys, table_keys) -> np.ndarray:
    """For each of `keys` (N,) the first row with that key in `table_keys` (M,); -1 where there is none."""
    known, first = np.unique(np.asarray(table_keys), return_index=True)
    place = np.searchsorted(known, keys)
    found = place < len(known)
    found[found] = known[place[found]] == np.asarray(keys)[found]
    index = np.full(len(found), -1, np.int64)
    index[found] = first[place[found]]
    return index


def pick(values, index: np.ndarray) -> np.ndarray:
    """`values` at `index` as float64, NaN where the index is -1 or the value is masked."""
    result = np.full((len(index), *np.shape(values)[1:]), np.nan)
    found = index >= 0
    result[found] = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)[index[found]]
    return result


def check_numbers(table: Table, name: str, source: str) -> None:
    """Raise BadInput unless a column holds numbers."""
    if table[name].dtype.kind not in "fiu":
        raise BadInput(f"{source}: column {name} is {table[name].dtype}, expected numbers")
