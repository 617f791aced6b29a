"""Which files of an archive hold wanted galaxies: its redshift catalogue, the cuts, what the survey asks for.

The same cuts make galaxies.parquet, so that nothing is fetched that they would throw away. The catalogue is read a
block of rows at a time, and of these the wanted ones are kept: memory grows with what is wanted, not with all there is.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.table import Table

from skyloom.catalog import cuts, sources
from skyloom.core.errors import BadInput
from skyloom.core.job import progress
from skyloom.formats import desi, ranges, wanted_galaxies
from skyloom.settings.kinds import SurveyKind, load
from skyloom.settings.listing import WANTED, write

log = logging.getLogger(__name__)


def list_files(
    survey: str, settings: Mapping, zcatalog: str, kind: SurveyKind, chosen_by: str, path: str | os.PathLike
) -> None:
    """Write the list of files and, beside it, the wanted galaxies.

    Parameters
    ----------
    settings : of the survey, all of them
    kind : of the survey: its `columns`, `selects` and `listing`
    chosen_by, path : of `skyloom.settings.listing.write`

    Raises
    ------
    BadInput : the catalogue lacks a column, no galaxy is left, or there are more shards than files.
    """
    rows, good = _wanted_rows(settings, zcatalog, kind)
    files, galaxies = load(kind.listing)(settings, rows)
    if not len(galaxies):
        programs, sky = ", ".join(settings["programs"]), settings["footprint"]
        raise BadInput(f"{zcatalog}: none of {good} good galaxies is of {programs} in {sky}; ask for others")
    numbered = sum(file.role == "coadd" for file in files)
    if settings.get("shards", 1) > numbered:
        text = f"{settings['shards']} is not allowed; must be at most {numbered}, the files of its galaxies"
        raise BadInput(f"surveys.{survey}.shards: {text}")
    wanted_galaxies.write(Path(path).with_name(WANTED), galaxies)
    write(path, chosen_by, files)
    log.info("%d galaxies in %d files", len(galaxies), len(files))


def _wanted_rows(settings: Mapping, zcatalog: str, kind: SurveyKind) -> tuple[pa.Table, int]:
    """The columns of the rows that pass the cuts and that the kind selects, texts as dictionaries; and how many pass
    the cuts."""
    wanted_cuts = settings.get("cuts") or cuts.DESI_GALAXIES
    columns = list(dict.fromkeys([*sources.BASE, "Z", *kind.columns]))
    needed = list(dict.fromkeys([*columns, *(cut["column"] for cut in wanted_cuts)]))
    tally, selects = cuts.Tally(wanted_cuts, zcatalog), load(kind.selects) if kind.selects else None
    read = good = 0
    parts = []
    for block in desi.zcatalog_blocks(zcatalog, columns=needed):
        mask = tally.passing(block)
        mask &= np.isfinite(ranges.within("z", np.ma.filled(np.ma.asarray(block["Z"], float), np.nan))[0])
        read, good = read + len(block), good + mask.sum()
        block = block[mask]
        parts.append(_arrow(block[selects(settings, block)] if selects else block, columns))
        progress(f"{read / 1e6:.1f} million rows of {zcatalog} read, {sum(map(len, parts))} galaxies wanted")
    tally.record(cuts.Flow(str(zcatalog)), "quality")
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks(), int(good)


def _arrow(block: Table, columns: list[str]) -> pa.Table:
    """These columns of a block."""
    arrays = {}
    for name in columns:
        values = np.asarray(block[name])
        text = values.dtype.kind == "U"
        arrays[name] = pa.array(np.char.strip(values).tolist(), pa.string()).dictionary_encode() if text else values
    return pa.table(arrays)
