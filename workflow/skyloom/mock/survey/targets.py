"""The FIBERMAP of a mock tile: which fibre looked at what, with the DESI columns that Skyloom or its users read."""

import numpy as np
from astropy.table import Table

from skyloom.mock.survey.measure import BANDS, infrared
from skyloom.mock.universe.light.dust import EXTINCTION
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.population.programs import BRIGHT_LIMIT
from skyloom.mock.universe.sky.bricks import encode_targetid

TARGET_BITS = {"lrg": 1 << 0, "elg": 1 << 1, "qso": 1 << 2, "bgs": 1 << 60}  # SV3_DESI_TARGET: LRG, ELG, QSO, BGS_ANY
SKY_TARGET = 1 << 32  # SV3_DESI_TARGET: SKY
BGS_FAINT, BGS_BRIGHT = 1 << 0, 1 << 1  # SV3_BGS_TARGET
SKY_BIT = 1 << 59  # of TARGETID
# bits of desispec.maskbits.fibermask: without data, and with the fibre beside its target
BROKENFIBER, BADPOSITION = 1 << 2, 1 << 9
BAD_FIBRE_RATE = 0.02
SKY_FIBRE_SHARE = 0.03
POINTLIKE = 0.7  # share of the light in r that a nucleus must have to make its galaxy a point source
SIZE_ERROR, INDEX_ERROR = 0.04, 0.08  # dex, of radii and Sersic indices
ELLIPTICITY_ERROR = 0.03  # of each component


def fibre_status(n: int, rng: np.random.Generator) -> np.ndarray:
    """COADD_FIBERSTATUS (n,) i4: 0 for most, half of the bad ones broken, half out of position."""
    bad = rng.random(n) < BAD_FIBRE_RATE
    return np.where(bad, rng.choice([BROKENFIBER, BADPOSITION], n), 0).astype("i4")


def sky_fibres(n: int) -> int:
    """How many fibres look at blank sky beside `n` targets."""
    return max(1, round(SKY_FIBRE_SHARE * n))


def fibermap(tile, rows: slice, measured: dict, rng: np.random.Generator) -> Table:
    """FIBERMAP of rows of the spectroscopic catalogue of a tile (tile.Tile).

    Parameters
    ----------
    measured : of these n rows: flux, flux_ivar, fibreflux, each (n, 3), nanomaggy in g, r, z; nucleus_share (n,)
    rng : of shapes and infrared photometry
    """
    catalogue, source = tile.spectroscopy[rows], tile.spectroscopy.source[rows]
    galaxies, ebv, n = tile.population[source], tile.ebv[source], len(source)
    table = _common(tile, catalogue.ra, catalogue.dec, tile.status[rows], rows.start)
    table["TARGETID"] = encode_targetid(catalogue.release, catalogue.brickid, catalogue.objid)
    table["OBJTYPE"] = np.full(n, "TGT", "S3")
    table["RELEASE"] = catalogue.release.astype("i2")
    table["BRICKID"], table["BRICK_OBJID"] = catalogue.brickid.astype("i4"), catalogue.objid.astype("i4")
    for name, values in _shape(galaxies, measured["nucleus_share"], rng).items():
        table[name] = values
    table["EBV"] = ebv.astype("f4")
    for i, band in enumerate(BANDS):
        table[f"FLUX_{band}"] = measured["flux"][:, i].astype("f4")
        table[f"FLUX_IVAR_{band}"] = measured["flux_ivar"][:, i].astype("f4")
        table[f"FIBERFLUX_{band}"] = measured["fibreflux"][:, i].astype("f4")
    for band, magnitude in (("W1", galaxies.mag_w1), ("W2", galaxies.mag_w2)):
        flux, ivar = infrared(magnitude, band, ebv, rng)
        table[f"FLUX_{band}"], table[f"FLUX_IVAR_{band}"] = flux.astype("f4"), ivar.astype("f4")
    table["SV3_DESI_TARGET"] = np.array([TARGET_BITS[target] for target in galaxies.target], "i8")
    # the survey selects on measured flux, corrected for extinction
    flux_r = np.maximum(measured["flux"][:, 1], 1e-3) * 10 ** (0.4 * EXTINCTION["R"] * ebv)
    bright = np.where(22.5 - 2.5 * np.log10(flux_r) < BRIGHT_LIMIT, BGS_BRIGHT, BGS_FAINT)
    table["SV3_BGS_TARGET"] = np.where(galaxies.target == "bgs", bright, 0).astype("i8")
    return table


def _shape(galaxies, nucleus_share: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Morphological columns as tractor fits them, with errors; what is a quasar, or outshone by one, is a point."""
    n, bulge = len(galaxies), galaxies.bulge_fraction[:, 1]
    radius = half_light_radius(vars(galaxies)) * 10 ** (SIZE_ERROR * rng.standard_normal(n))
    point = (nucleus_share > POINTLIKE) | (galaxies.target == "qso")
    kind = np.select([point, bulge > 0.85, bulge > 0.25, radius < 0.5], ["PSF", "DEV", "SER", "REX"], "EXP")
    ratio = np.where(kind == "DEV", galaxies.q_bulge, galaxies.q_disk)
    angle = np.where(kind == "DEV", galaxies.angle_bulge, galaxies.angle)
    flat = (kind != "REX") & ~point
    ellipticity, error = (1 - ratio) / (1 + ratio), ELLIPTICITY_ERROR * rng.standard_normal((2, n))
    index = np.clip((1 + 3 * bulge) * 10 ** (INDEX_ERROR * rng.standard_normal(n)), 0.5, 6)
    return {
        "MORPHTYPE": kind.astype("S4"),
        "SERSIC": np.select([point, kind == "DEV", kind == "SER"], [0, 4, index], 1).astype("f4"),
        "SHAPE_R": np.where(point, 0, radius).astype("f4"),
        "SHAPE_E1": np.where(flat, np.clip(ellipticity * np.cos(2 * angle) + error[0], -0.95, 0.95), 0).astype("f4"),
        "SHAPE_E2": np.where(flat, np.clip(ellipticity * np.sin(2 * angle) + error[1], -0.95, 0.95), 0).astype("f4"),
    }


def sky_fibermap(tile, like: Table, rng: np.random.Generator) -> Table:
    """FIBERMAP of the fibres on blank sky, beside some of the tile's targets; columns and types of `like`."""
    n, near = sky_fibres(len(tile.spectroscopy)), tile.spectroscopy
    beside = rng.integers(0, len(near), n)
    ra = (near.ra[beside] + rng.uniform(20, 60, n) / 3600 / np.cos(np.radians(near.dec[beside]))) % 360
    dec = near.dec[beside] + rng.uniform(-30, 30, n) / 3600
    table = _common(tile, ra, dec, np.zeros(n, "i4"), len(near))
    table["TARGETID"] = SKY_BIT | (np.int64(tile.number) << 22) | np.arange(n)
    table["OBJTYPE"] = np.full(n, "SKY", "S3")
    table["SV3_DESI_TARGET"] = np.full(n, SKY_TARGET, "i8")
    for name in like.colnames:
        if name not in table.colnames:
            table[name] = np.zeros(n, like[name].dtype)
    return table[like.colnames]


def _common(tile, ra, dec, status, first: int) -> Table:
    """What every fibre has; `first` is the row that the first of these gets in the tile: fibres are numbered by it."""
    n = len(ra)
    fibre = (first + np.arange(n)) % 5000
    return Table(
        {
            "TARGETID": np.zeros(n, "i8"),
            "COADD_FIBERSTATUS": status,
            "TARGET_RA": np.asarray(ra, "f8"),
            "TARGET_DEC": np.asarray(dec, "f8"),
            "OBJTYPE": np.zeros(n, "S3"),
            "COADD_NUMEXP": np.ones(n, "i2"),
            "COADD_EXPTIME": np.full(n, tile.exposure, "f4"),
            "NIGHT": np.full(n, 20210501, "i4"),
            "MJD": np.full(n, 59335.0),
            "TILEID": np.full(n, tile.number, "i4"),
            "FIBER": fibre.astype("i4"),
            "PETAL_LOC": (fibre // 500).astype("i2"),
        }
    )
