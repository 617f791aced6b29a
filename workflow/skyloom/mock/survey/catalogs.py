"""The survey-wide catalogues of the mock: redshifts as in zall-pix, properties as in PROVABGS, with their companion."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from skyloom.formats import provabgs
from skyloom.formats.desi import read_redrock, write_zcatalog
from skyloom.mock.layout import SURVEY, TARGETS
from skyloom.mock.survey import posterior
from skyloom.mock.survey.targets import BGS_BRIGHT, BGS_FAINT
from skyloom.mock.survey.truth import read_truth
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.dust import EXTINCTION
from skyloom.mock.universe.population.programs import BRIGHT_LIMIT, FAINT_LIMIT, Z_RANGES

FIT_COLUMNS = ("TARGETID", "Z", "ZERR", "ZWARN", "SPECTYPE", "DELTACHI2")
REPEAT_RATE = 0.03  # galaxies observed again in the other program, whose spectra are not in these tiles
EFFECTIVE_TIME = 0.14  # s per TSNR2_BGS, as desispec converts for the bright program (from memory)
OTHER_PROGRAM = {"bright": "dark", "dark": "bright"}
_REPEATS, _SAMPLES = 1000, 1001  # streams of random numbers of a tile; those below are of tile.make_tile


def merge_catalogs(
    tiles: Sequence[Mapping[str, str | os.PathLike]],
    zcatalog_path: str | os.PathLike,
    properties_path: str | os.PathLike,
    derived_path: str | os.PathLike,
) -> None:
    """Write the redshift catalogue and the property table of a survey, with the companion of what is derived from it.

    The property tables, which have the BGS galaxies alone, are written tile by tile; the redshift catalogue (300 bytes
    a spectrum) is held in memory. The companion (provabgs.COMPANION) holds what a fit reports; the true values are in
    the truth files.

    Parameters
    ----------
    tiles : for each tile its files by role: redrock, truth; rows come out in this order
    """
    redshifts = []
    with (
        provabgs.table_writer(properties_path) as properties,
        provabgs.table_writer(derived_path, provabgs.COMPANION) as derived,
    ):
        for files in tiles:
            fitted, fibermap = _read(files["redrock"])
            truth, made_by = read_truth(files["truth"])
            redshifts.append(_redshift_rows(fitted, fibermap, made_by))
            fitted, fibermap, truth = _with_properties(fitted, fibermap, truth)
            properties.append(_property_rows(fitted, fibermap, truth, made_by))
            derived.append(_derived_rows(truth))
    write_zcatalog(zcatalog_path, vstack(redshifts, metadata_conflicts="silent"))


def _read(redrock_path):
    with fits.open(redrock_path) as hdus:
        fibermap = Table(hdus["FIBERMAP"].data)
    return read_redrock(redrock_path)[list(FIT_COLUMNS)], fibermap


def _stream(made_by: dict, name: int) -> np.random.Generator:
    key = (name, list(TARGETS).index(made_by["program"]))
    return np.random.default_rng(np.random.SeedSequence([made_by["seed"], made_by["hpix"]], spawn_key=key))


def _redshift_rows(fitted: Table, fibermap: Table, made_by: dict) -> Table:
    """One row a spectrum, and after them the repeats: same TARGETID, another program, not primary."""
    rows = fitted.copy()
    for name in fibermap.colnames:
        if name != "TARGETID":
            rows[name] = fibermap[name]
    rows["SURVEY"] = np.full(len(rows), SURVEY, "S7")
    rows["PROGRAM"] = np.full(len(rows), made_by["program"], "S6")
    rows["HEALPIX"] = np.full(len(rows), made_by["hpix"], "i4")
    for name in ("SV_PRIMARY", "ZCAT_PRIMARY"):
        rows[name] = np.ones(len(rows), bool)
    rows["MAIN_PRIMARY"] = np.zeros(len(rows), bool)

    rng = _stream(made_by, _REPEATS)
    again = rows[(np.asarray(rows["OBJTYPE"]).astype(str) == "TGT") & (rng.random(len(rows)) < REPEAT_RATE)]
    again["PROGRAM"] = np.full(len(again), OTHER_PROGRAM[made_by["program"]], "S6")
    again["Z"] = again["Z"] + again["ZERR"] * rng.standard_normal(len(again))
    for name in ("SV_PRIMARY", "ZCAT_PRIMARY"):
        again[name] = np.zeros(len(again), bool)
    return vstack([rows, again], metadata_conflicts="silent")


def _with_properties(fitted: Table, fibermap: Table, truth: dict) -> tuple[Table, Table, dict]:
    """The rows of BGS galaxies with a confident redshift that the property catalogue includes, and their truth."""
    order = np.argsort(truth["targetid"], kind="stable")
    place = np.searchsorted(truth["targetid"], fitted["TARGETID"], sorter=order)
    place = order[np.minimum(place, len(order) - 1)]
    known = (truth["targetid"][place] == fitted["TARGETID"]) & truth["has_properties"][place]
    known &= truth["target"][place] == "bgs"
    good = known & (fitted["ZWARN"] == 0) & (np.asarray(fitted["SPECTYPE"]).astype(str) == "GALAXY")
    return fitted[good], fibermap[good], {name: values[place[good]] for name, values in truth.items()}


def _derived_rows(truth: dict) -> Table:
    """What a user of the archive would derive from the fit."""
    keys = {"Z_MW": "z_mw", "TAGE_MW": "t_age_mw", "AVG_SFR": "avg_sfr"}
    derived = {name: truth[f"measured_{key}"] for name, key in keys.items()}
    return Table({"TARGETID": truth["targetid"], **derived})


def _property_rows(fitted: Table, fibermap: Table, truth: dict, made_by: dict) -> Table:
    """The columns of the archive."""
    z = np.asarray(fitted["Z"], "f8")
    best, samples = posterior.theta(truth, z, _stream(made_by, _SAMPLES))
    mag = {band: _magnitude(fibermap[f"FLUX_{band}"], fibermap["EBV"], band) for band in ("G", "R", "Z", "W1")}
    bits = np.asarray(fibermap["SV3_BGS_TARGET"])
    columns = {
        "TARGETID": fitted["TARGETID"],
        "RA": fibermap["TARGET_RA"],
        "DEC": fibermap["TARGET_DEC"],
        "Z_HP": z,
        "ZERR": fitted["ZERR"],
        "TSNR2_BGS": fibermap["COADD_EXPTIME"] / EFFECTIVE_TIME,
        **{f"MAG_{band}": values for band, values in mag.items()},
        "FIBMAG_R": _magnitude(fibermap["FIBERFLUX_R"], fibermap["EBV"], "R"),
        "HPIX_64": np.full(len(z), made_by["hpix"]),
        "PROVABGS_MCMC": samples,
        "PROVABGS_THETA_BF": best,
        "PROVABGS_LOGMSTAR_BF": truth["measured_log_mstar"],
        "PROVABGS_Z_MAX": _largest_redshift(z, mag["R"]),
        "SCHLEGEL_COLOR": (mag["Z"] - mag["W1"]) - 1.2 * (mag["G"] - mag["R"]) + 1.2,
        "PROVABGS_W_ZFAIL": np.ones(len(z)),  # no galaxy stands for others that were missed
        "PROVABGS_W_FIBASSIGN": np.ones(len(z)),
        "IS_BGS_BRIGHT": (bits & BGS_BRIGHT) > 0,
        "IS_BGS_FAINT": (bits & BGS_FAINT) > 0,
    }
    return Table(
        {name: np.asarray(columns[name], np.dtype(kind).base) for name, (kind, _) in provabgs.PUBLISHED.items()}
    )


def _largest_redshift(z: np.ndarray, mag_r: np.ndarray) -> np.ndarray:
    """Where a galaxy of magnitude `mag_r` at `z` would reach the limit of its sample, without K-correction, 0.6 at
    most."""
    limit = np.where(mag_r < BRIGHT_LIMIT, BRIGHT_LIMIT, FAINT_LIMIT)
    grid = np.linspace(0, Z_RANGES["bgs"][1], 2001)
    farthest = cosmology.luminosity_distance(z) * 10 ** (0.2 * np.maximum(limit - mag_r, 0))
    return np.maximum(np.interp(farthest, cosmology.luminosity_distance(grid), grid), z)


def _magnitude(flux, ebv, band):
    """AB magnitude, corrected for Milky Way extinction; NaN where the measured flux is not positive."""
    flux = np.where(np.asarray(flux, "f8") > 0, flux, np.nan)
    return 22.5 - 2.5 * np.log10(flux) - EXTINCTION[band] * np.asarray(ebv, "f8")
