"""One row a galaxy: from redshift catalogue, coadds, imaging catalogues and properties to ``galaxies.parquet``.

In order: the rows of the redshift catalogue (or, where a survey has none, of the spectra themselves), quality cuts, the
spectrum in its coadd file, the image within the cross-match radius, physical properties. The flow table says what each step
lost. Only catalogues are held in memory, and of them only the columns needed: about 1 GB for a million galaxies.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from astropy.table import Table, vstack

from skyloom.catalog import columns, cuts, splits
from skyloom.catalog.crossmatch import crossmatch, nested_pixel
from skyloom.catalog.labels import NAMES as LABELS
from skyloom.catalog.labels import labels, positive
from skyloom.errors import BadInput
from skyloom.files import atomic
from skyloom.surveys import desi, legacy, provabgs
from skyloom.surveys.fits_files import hdu_named, open_fits, read_table

log = logging.getLogger(__name__)

NSIDE = 64
POSITION = ("TARGETID", "TARGET_RA", "TARGET_DEC")
REDSHIFT = ("Z", "ZERR")
OPTIONAL = ("SURVEY", "PROGRAM", "FLUX_G", "FLUX_R", "FLUX_Z", "EBV")
BEST = ("ZWARN", "SPECTYPE")
PROPERTY_COLUMNS = ("LOG_MSTAR", "Z_MW", "TAGE_MW", "AVG_SFR")


def build_galaxies(
    survey: str,
    config: Mapping,
    raw: Mapping[str, Sequence[str]],
    galaxies_path: str | os.PathLike,
    flow_path: str | os.PathLike,
) -> None:
    """Write ``galaxies.parquet`` (see `skyloom.catalog.columns`) and the flow table.

    Parameters
    ----------
    survey : str
        Its name, for the flow table.
    config : mapping
        The survey's entry: ``crossmatch`` {radius_arcsec, one_to_one}, ``cuts``, ``property_cuts`` (lists, see
        `skyloom.catalog.cuts`; absent ones take the defaults there), ``require_properties``, ``shards``, ``modalities``.
    raw : mapping
        Files by role: ``coadd``, and ``redrock``, ``zcatalog``, ``images``, ``properties``, which may be empty. Without a
        ``zcatalog`` the rows are those of the coadds' fibermaps, with redshifts where ``redrock`` has them.
    galaxies_path, flow_path
        Parquet, sorted by targetid, each targetid once; CSV with survey, step, cut, kept, lost.

    Raises
    ------
    BadInput
        A file that is not what it should be, or a step that leaves no galaxy; one line that says which.
    """
    flow = cuts.Flow(survey)
    spectra = spectrum_rows(raw["coadd"])
    galaxies = _good_galaxies(config, raw, spectra, flow)
    galaxies = _find_spectra(galaxies, spectra, flow)
    images = sorted(raw.get("images", ())) if "image" in config.get("modalities", ("spectrum", "image")) else []
    galaxies = _find_images(galaxies, images, config.get("crossmatch", {}), flow)
    galaxies = _add_properties(galaxies, sorted(raw.get("properties", ())), config, flow)
    galaxies.sort("TARGETID")
    columns.write_table(galaxies_path, _output(galaxies, raw["coadd"], config.get("shards", 1)), columns.GALAXIES)
    with atomic(flow_path) as temporary:
        flow.frame().to_csv(temporary, index=False)


def write_splits(galaxies_path: str | os.PathLike, config: Mapping, splits_path: str | os.PathLike) -> None:
    """Write ``splits.parquet`` (targetid, split), in the order of the galaxies.

    `config` has the survey's ``split`` {kind, fractions, nside, separation_arcsec} and the run's ``seed``.
    """
    galaxies = pq.read_table(galaxies_path, columns=["targetid", "ra", "dec"])
    targetid, ra, dec = (galaxies[name].to_numpy() for name in ("targetid", "ra", "dec"))
    choice = splits.split(targetid, ra, dec, seed=config["seed"], **config["split"])
    for name in splits.SPLITS:
        log.info("%s: %d galaxies", name, (choice == name).sum())
        if config["split"]["fractions"].get(name, 0) > 0 and not (choice == name).any():
            log.warning("the split '%s' is empty: %d galaxies are too few, or too few blocks", name, len(choice))
    columns.write_table(splits_path, {"targetid": targetid, "split": choice}, columns.SPLITS)


def spectrum_rows(paths: Sequence[str]) -> pd.DataFrame:
    """Where each spectrum is: TARGETID, file (basename), row, SURVEY and PROGRAM of the file; files by name."""
    by_name = {Path(path).name: path for path in sorted(paths, key=lambda path: Path(path).name)}
    if len(by_name) < len(paths):
        raise BadInput(f"{len(paths)} coadd files have only {len(by_name)} different names; a name must say which file it is")
    if not by_name:
        raise BadInput("no coadd file: a survey needs spectra")
    parts = []
    for name, path in by_name.items():
        with open_fits(path) as hdus:
            header = hdus[0].header
            targetid = read_table(path, hdus, "FIBERMAP", {"TARGETID": "integer"}, columns=["TARGETID"])["TARGETID"]
        part = {"TARGETID": np.asarray(targetid, np.int64), "row": np.arange(len(targetid), dtype=np.int32), "path": path}
        survey, program = (str(header.get(key, "")).strip() for key in ("SURVEY", "PROGRAM"))
        parts.append(pd.DataFrame({**part, "file": name, "SURVEY": survey, "PROGRAM": program}))
    return pd.concat(parts, ignore_index=True)


def _good_galaxies(config: Mapping, raw: Mapping[str, Sequence[str]], spectra: pd.DataFrame, flow: cuts.Flow) -> Table:
    """Rows that pass the quality cuts, each TARGETID once."""
    if raw.get("zcatalog"):
        source = raw["zcatalog"][0]
        wanted = list(config.get("cuts") or cuts.DESI_GALAXIES)
        catalogue = _read_zcatalog(source, [cut["column"] for cut in wanted])
    else:
        source = f"FIBERMAP and redrock of {len(set(spectra['file']))} coadd files"
        wanted = list(config.get("cuts") or cuts.DESI_TARGETS)
        catalogue = _read_fibermaps(raw, [cut["column"] for cut in wanted])
    flow.record("catalogue", "rows read", len(catalogue), 0, f" ({source})")
    mask, _ = cuts.apply_cuts(catalogue, wanted, source=source, flow=flow)
    catalogue = catalogue[mask]
    _, first = np.unique(catalogue["TARGETID"], return_index=True)
    flow.record("quality", "one row a TARGETID", len(first), len(catalogue) - len(first))
    return catalogue[np.sort(first)]
