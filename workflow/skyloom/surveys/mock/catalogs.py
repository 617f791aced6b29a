"""The survey-wide catalogues of the mock: redshifts as in zall-pix, properties as in PROVABGS."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from skyloom.surveys.desi import read_redrock, write_zcatalog
from skyloom.surveys.mock.measure import BANDS
from skyloom.surveys.mock.tile import PROGRAM, SURVEY
from skyloom.surveys.mock.truth import read_truth
from skyloom.surveys.provabgs import write_properties

FIT_COLUMNS = ("TARGETID", "Z", "ZERR", "ZWARN", "SPECTYPE", "DELTACHI2")
REPEAT_RATE = 0.03  # galaxies observed again in the dark program, whose spectra are not in these tiles
EXTINCTION = {"G": 3.214, "R": 2.165, "Z": 1.211}  # A / E(B-V), Dey et al. 2019
_REPEATS = 1000  # a tile's stream of random numbers; those below are of tile.make_tile


def merge_catalogs(
    tiles: Sequence[Mapping[str, str | os.PathLike]],
    zcatalog_path: str | os.PathLike,
    properties_path: str | os.PathLike,
) -> None:
    """Write the redshift catalogue and the property table of a survey.

    Parameters
    ----------
    tiles : for each tile its files by role: redrock, truth; rows come out in this order
    """
    redshifts, properties = [], []
    for files in tiles:
        fits_table, fibermap = _read(files["redrock"])
        truth, made_by = read_truth(files["truth"])
        redshifts.append(_redshift_rows(fits_table, fibermap, made_by))
        properties.append(_property_rows(fits_table, fibermap, truth, made_by["hpix"]))
    write_zcatalog(zcatalog_path, vstack(redshifts, metadata_conflicts="silent"))
    write_properties(properties_path, vstack(properties, metadata_conflicts="silent"))


def _read(redrock_path):
    with fits.open(redrock_path) as hdus:
        fibermap = Table(hdus["FIBERMAP"].data)
    return read_redrock(redrock_path)[list(FIT_COLUMNS)], fibermap


def _redshift_rows(fitted: Table, fibermap: Table, made_by: dict) -> Table:
    """One row a spectrum, and after them the repeats: same TARGETID, another program, not primary."""
    rows = fitted.copy()
    for name in fibermap.colnames:
        if name != "TARGETID":
            rows[name] = fibermap[name]
    rows["SURVEY"] = np.full(len(rows), SURVEY, "S7")
    rows["PROGRAM"] = np.full(len(rows), PROGRAM, "S6")
    rows["HEALPIX"] = np.full(len(rows), made_by["hpix"], "i4")
    for name in ("SV_PRIMARY", "ZCAT_PRIMARY"):
        rows[name] = np.ones(len(rows), bool)
    rows["MAIN_PRIMARY"] = np.zeros(len(rows), bool)

    rng = np.random.default_rng(np.random.SeedSequence([made_by["seed"], made_by["hpix"]], spawn_key=(_REPEATS,)))
    again = rows[(np.asarray(rows["OBJTYPE"]).astype(str) == "TGT") & (rng.random(len(rows)) < REPEAT_RATE)]
    again["PROGRAM"] = np.full(len(again), "dark", "S6")
    again["Z"] = again["Z"] + again["ZERR"] * rng.standard_normal(len(again))
    for name in ("SV_PRIMARY", "ZCAT_PRIMARY"):
        again[name] = np.zeros(len(again), bool)
    return vstack([rows, again], metadata_conflicts="silent")


def _property_rows(fitted: Table, fibermap: Table, truth: dict, hpix: int) -> Table:
    """Galaxies with a confident redshift that the property catalogue includes."""
    order = np.argsort(truth["targetid"], kind="stable")
    place = np.searchsorted(truth["targetid"], fitted["TARGETID"], sorter=order)
    place = order[np.minimum(place, len(order) - 1)]
    known = (truth["targetid"][place] == fitted["TARGETID"]) & truth["has_properties"][place]
    good = known & (fitted["ZWARN"] == 0) & (np.asarray(fitted["SPECTYPE"]).astype(str) == "GALAXY")
    fitted, fibermap, galaxy = fitted[good], fibermap[good], place[good]
    magnitudes = {f"MAG_{band}": _magnitude(fibermap[f"FLUX_{band}"], fibermap["EBV"], band) for band in BANDS}
    return Table(
        {
            "TARGETID": np.asarray(fitted["TARGETID"]),
            "RA": np.asarray(fibermap["TARGET_RA"]),
            "DEC": np.asarray(fibermap["TARGET_DEC"]),
            "Z_HP": np.asarray(fitted["Z"]),
            "ZERR": np.asarray(fitted["ZERR"]),
            **magnitudes,
            "FIBMAG_R": _magnitude(fibermap["FIBERFLUX_R"], fibermap["EBV"], "R"),
            "HPIX_64": np.full(len(fitted), hpix, "i8"),
            "PROVABGS_LOGMSTAR_BF": truth["measured_log_mstar"][galaxy],
            "LOG_MSTAR": truth["measured_log_mstar"][galaxy],
            "Z_MW": truth["measured_z_mw"][galaxy],
            "TAGE_MW": truth["measured_t_age_mw"][galaxy],
            "AVG_SFR": truth["measured_avg_sfr"][galaxy],
            "LOG_MSTAR_TRUE": truth["log_mstar"][galaxy],
            "Z_MW_TRUE": truth["z_mw"][galaxy],
            "TAGE_MW_TRUE": truth["t_age_mw"][galaxy],
            "AVG_SFR_TRUE": truth["avg_sfr"][galaxy],
        }
    )


def _magnitude(flux, ebv, band):
    """AB magnitude, corrected for Milky Way extinction; NaN where the measured flux is not positive."""
    flux = np.where(np.asarray(flux, "f8") > 0, flux, np.nan)
    return (22.5 - 2.5 * np.log10(flux) - EXTINCTION[band] * np.asarray(ebv, "f8")).astype("f4")
