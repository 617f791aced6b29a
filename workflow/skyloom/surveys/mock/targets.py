"""The FIBERMAP of a mock tile: which fibre looked at what, with the DESI columns that Skyloom or its users read."""

import numpy as np
from astropy.table import Table, vstack

from skyloom.surveys.mock.bricks import encode_targetid
from skyloom.surveys.mock.measure import BANDS
from skyloom.surveys.mock.population import BRIGHT_LIMIT

BGS_TARGET = 1 << 60  # SV3_DESI_TARGET: BGS_ANY
SKY_TARGET = 1 << 32  # SV3_DESI_TARGET: SKY
BGS_FAINT, BGS_BRIGHT = 1 << 0, 1 << 1  # SV3_BGS_TARGET
SKY_BIT = 1 << 59  # of TARGETID
# bits of desispec.maskbits.fibermask: without data, and with the fibre beside its target
BROKENFIBER, BADPOSITION = 1 << 2, 1 << 9
BAD_FIBRE_RATE = 0.02
SKY_FIBRE_SHARE = 0.03


def fibre_status(n: int, rng: np.random.Generator) -> np.ndarray:
    """COADD_FIBERSTATUS (n,) i4: 0 for most, half of the bad ones broken, half out of position."""
    bad = rng.random(n) < BAD_FIBRE_RATE
    return np.where(bad, rng.choice([BROKENFIBER, BADPOSITION], n), 0).astype("i4")


def fibermap(catalogue, shape: dict, photometry: dict, ebv: np.ndarray, exposure: float, status: np.ndarray) -> Table:
    """FIBERMAP rows of galaxies.

    Parameters
    ----------
    catalogue : sky.Catalogue of n rows
    shape : bulge_fraction (n, 3), r_disk, r_bulge, q_disk, angle (n,), as in Population
    photometry : flux, flux_ivar, fibreflux, each (n, 3), nanomaggy in g, r, z
    ebv : (n,) mag;  exposure: s;  status: (n,) COADD_FIBERSTATUS
    """
    n = len(catalogue)
    table = _common(catalogue.ra, catalogue.dec, exposure, status)
    table["TARGETID"] = encode_targetid(catalogue.release, catalogue.brickid, catalogue.objid)
    table["OBJTYPE"] = np.full(n, "TGT", "S3")
    table["RELEASE"] = catalogue.release.astype("i2")
    table["BRICKID"], table["BRICK_OBJID"] = catalogue.brickid.astype("i4"), catalogue.objid.astype("i4")
    bulge = shape["bulge_fraction"][:, 1]
    radius = half_light_radius(shape)
    kind = np.select([bulge > 0.85, bulge > 0.25, radius < 0.5], ["DEV", "SER", "REX"], "EXP")
    table["MORPHTYPE"] = kind.astype("S4")
    table["EBV"] = ebv.astype("f4")
    for i, band in enumerate(BANDS):
        table[f"FLUX_{band}"] = photometry["flux"][:, i].astype("f4")
        table[f"FLUX_IVAR_{band}"] = photometry["flux_ivar"][:, i].astype("f4")
        table[f"FIBERFLUX_{band}"] = photometry["fibreflux"][:, i].astype("f4")
    table["SERSIC"] = (1 + 3 * bulge).astype("f4")
    table["SHAPE_R"] = radius.astype("f4")
    ellipticity = (1 - shape["q_disk"]) / (1 + shape["q_disk"]) * (kind != "REX")
    table["SHAPE_E1"] = (ellipticity * np.cos(2 * shape["angle"])).astype("f4")
    table["SHAPE_E2"] = (ellipticity * np.sin(2 * shape["angle"])).astype("f4")
    # the survey selects on measured flux, corrected for extinction (A_r = 2.165 E(B-V), Dey et al. 2019)
    flux_r = np.maximum(photometry["flux"][:, 1], 1e-3) * 10 ** (0.4 * 2.165 * ebv)
    bright = 22.5 - 2.5 * np.log10(flux_r) < BRIGHT_LIMIT
    table["SV3_DESI_TARGET"] = np.full(n, BGS_TARGET, "i8")
    table["SV3_BGS_TARGET"] = np.where(bright, BGS_BRIGHT, BGS_FAINT).astype("i8")
    return table


def with_sky_fibres(table: Table, hpix: int, exposure: float, rng: np.random.Generator) -> Table:
    """`table` and, after its rows, fibres on blank sky beside some of its targets; numbered along the focal plane."""
    n = max(1, round(SKY_FIBRE_SHARE * len(table)))
    near = rng.integers(0, len(table), n)
    near_ra, near_dec = table["TARGET_RA"][near], table["TARGET_DEC"][near]
    ra = (near_ra + rng.uniform(20, 60, n) / 3600 / np.cos(np.radians(near_dec))) % 360
    sky = _common(ra, near_dec + rng.uniform(-30, 30, n) / 3600, exposure, np.zeros(n, "i4"))
    sky["TARGETID"] = SKY_BIT | (np.int64(hpix) << 22) | np.arange(n)
    sky["OBJTYPE"] = np.full(n, "SKY", "S3")
    sky["SV3_DESI_TARGET"] = np.full(n, SKY_TARGET, "i8")
    for name in table.colnames:
        if name not in sky.colnames:
            sky[name] = np.zeros(n, table[name].dtype)
    joined = vstack([table, sky[table.colnames]], join_type="exact", metadata_conflicts="silent")
    joined["FIBER"] = (np.arange(len(joined)) % 5000).astype("i4")
    joined["PETAL_LOC"] = (joined["FIBER"] // 500).astype("i2")
    joined["TILEID"] = np.full(len(joined), hpix, "i4")
    return joined


def half_light_radius(shape: dict) -> np.ndarray:
    """Half-light radius (n,), arcsec, of disc and bulge together: their mean by light in r."""
    bulge = shape["bulge_fraction"][:, 1]
    return bulge * shape["r_bulge"] + (1 - bulge) * shape["r_disk"]


def _common(ra, dec, exposure, status):
    n = len(ra)
    return Table(
        {
            "TARGETID": np.zeros(n, "i8"),
            "COADD_FIBERSTATUS": status,
            "TARGET_RA": np.asarray(ra, "f8"),
            "TARGET_DEC": np.asarray(dec, "f8"),
            "OBJTYPE": np.zeros(n, "S3"),
            "COADD_NUMEXP": np.ones(n, "i2"),
            "COADD_EXPTIME": np.full(n, exposure, "f4"),
            "NIGHT": np.full(n, 20210501, "i4"),
            "MJD": np.full(n, 59335.0),
        }
    )
