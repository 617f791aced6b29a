"""Which files of an archive hold wanted galaxies: its redshift catalogue, the cuts, what the survey asks for.

The same cuts make galaxies.parquet, so that nothing is fetched that they would throw away.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from astropy.table import Table

from skyloom.catalog import cuts, sources
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats import desi, ranges
from skyloom.settings.listing import WANTED, Listed, write

log = logging.getLogger(__name__)


def list_files(
    survey: str,
    settings: Mapping,
    zcatalog: str,
    columns: tuple[str, ...],
    choose: Callable[[Mapping, Table], tuple[list[Listed], Table]],
    chosen_by: str,
    path: str | os.PathLike,
) -> None:
    """Write the list of files and, beside it, the wanted galaxies.

    Parameters
    ----------
    settings : of the survey, all of them
    columns : of the catalogue, besides those of the cuts
    choose : what the kind of survey names as `listing`
    chosen_by, path : of `skyloom.settings.listing.write`

    Raises
    ------
    BadInput : the catalogue lacks a column, no galaxy is left, or there are more shards than files.
    """
    wanted_cuts = settings.get("cuts") or cuts.DESI_GALAXIES
    needed = [*sources.BASE, "Z", *columns, *(cut["column"] for cut in wanted_cuts)]
    table = desi.read_zcatalog(zcatalog, columns=list(dict.fromkeys(needed)))
    mask, _ = cuts.apply_cuts(table, wanted_cuts, survey, zcatalog)
    mask &= np.isfinite(ranges.within("z", np.ma.filled(np.ma.asarray(table["Z"], float), np.nan))[0])
    files, galaxies = choose(settings, table[mask])
    if not len(galaxies):
        programs, sky = ", ".join(settings["programs"]), settings["footprint"]
        raise BadInput(f"{zcatalog}: none of {mask.sum()} good galaxies is of {programs} in {sky}; ask for others")
    numbered = sum(file.role == "coadd" for file in files)
    if settings.get("shards", 1) > numbered:
        text = f"{settings['shards']} is not allowed; must be at most {numbered}, the files of its galaxies"
        raise BadInput(f"surveys.{survey}.shards: {text}")
    with atomic(Path(path).with_name(WANTED)) as temporary:
        galaxies.write(temporary, format="parquet")
    write(path, chosen_by, files)
    log.info("%d galaxies in %d files", len(galaxies), len(files))
