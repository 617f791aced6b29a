"""Where the mock galaxies are: clustered, inside a footprint with an edge and holes, and seen by two catalogues.

Clustering is a Thomas process: a share CLUSTERED of a tile's galaxies sits in groups, whose centres are Poisson
distributed with GROUPS a square degree and whose members scatter by GROUP_SIZE; the rest is unclustered. Its two-point
function is known (`angular_correlation`). On top, the mean density varies by a quarter over degrees, without seams
between tiles. Lengths on the sky are degrees unless a name says arcsec.
"""

from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix, neighbours

from skyloom.errors import BadConfig
from skyloom.surveys.mock.bricks import RELEASE, brickid, objid
from skyloom.surveys.mock.camera import smooth_field
from skyloom.surveys.mock.footprint import NSIDE, TILE_AREA

CLUSTERED = 0.5
GROUPS = 100.0  # a square degree
GROUP_SIZE = 0.02  # degrees, Gaussian in each direction
DENSITY_SCATTER, DENSITY_SCALE = 0.25, 4.0  # large-scale structure: relative, and degrees
HOLES = 2.0  # a tile
HOLE_RADIUS = (1.5 / 60, 5.0 / 60)
EDGE = 0.3  # tiles that the survey's edge lies inside the first row of tiles


def positions(
    hpix: int, n: int, rng: np.random.Generator, config: dict, redshift: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Places for `n` galaxies inside tile `hpix`, the footprint, and outside the holes.

    Parameters
    ----------
    hpix : HEALPix pixel, nside 64, nested.
    rng : same state, same positions.
    config : `seed` of the large-scale density and the holes, common to all tiles.
    redshift : (n,) if given, members of a group are galaxies of adjacent redshift, so that neighbours on the sky are
        neighbours in space. Does not change the angular clustering.

    Returns
    -------
    ra, dec : (n,) degrees, float64.

    Raises
    ------
    BadConfig : the tile lies outside the footprint.
    """
    seed = config.get("seed", 0)
    covered = covered_fraction(hpix, seed)
    if covered < 0.01:
        raise BadConfig(f"tile {hpix} lies outside the mock survey's footprint; expected tiles from tile_pixels(n)")
    in_groups = rng.binomial(n, CLUSTERED)
    centres = _scattered(hpix, max(1, rng.poisson(GROUPS * TILE_AREA * covered)), rng, seed)
    group = np.sort(rng.integers(0, len(centres[0]), in_groups))
    members = _around(hpix, centres[0][group], centres[1][group], rng, seed)
    field = _scattered(hpix, n - in_groups, rng, seed)
    ra, dec = (np.concatenate([grouped, lone]) for grouped, lone in zip(members, field, strict=True))

    place = rng.permutation(n)  # place[i] is the galaxy at position i
    if redshift is not None:
        # members are listed group by group: runs of consecutive redshifts go to one group
        inside = place[:in_groups]
        place[:in_groups] = inside[np.argsort(np.asarray(redshift)[inside], kind="stable")]
    result = np.empty((2, n))
    result[:, place] = ra, dec
    return result[0], result[1]


def angular_correlation(theta: np.ndarray) -> np.ndarray:
    """Two-point function w(theta) of `positions` within a tile, theta in degrees, without the large-scale density."""
    pairs = np.exp(-(np.asarray(theta) ** 2) / (4 * GROUP_SIZE**2)) / (4 * np.pi * GROUP_SIZE**2)
    return CLUSTERED**2 / GROUPS * pairs


def expected_count(hpix: int, mean: float, config: dict) -> int:
    """Galaxies that tile `hpix` should get if an average, uncut tile has `mean`: less at edges."""
    ra, dec = _grid(hpix)
    seed = config.get("seed", 0)
    return int(round(mean * float(np.mean(_density(ra, dec, seed) * inside(ra, dec, seed)))))


def covered_fraction(hpix: int, seed: int) -> float:
    """Share of a tile's area that is inside the footprint and outside holes."""
    return float(np.mean(inside(*_grid(hpix), seed)))


def inside(ra: np.ndarray, dec: np.ndarray, seed: int) -> np.ndarray:
    """True where the survey has data: within its edge and outside the masks of bright stars."""
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    # In the equatorial zone HEALPix rows are straight in (ra, sin dec); the edge runs along the first row of tiles.
    row = 0.5 * NSIDE * (1.5 * np.sin(np.radians(dec)) - ((ra - 225 + 180) % 360 - 180) / 45)
    good = row > EDGE
    tiles = lonlat_to_healpix(*_lonlat(ra, dec), NSIDE, order="nested")
    for hpix in np.unique(tiles):
        here = np.flatnonzero(tiles == hpix)
        around = neighbours(int(hpix), NSIDE, order="nested")
        for tile in (hpix, *around[around >= 0]):
            for hole_ra, hole_dec, radius in zip(*holes(int(tile), seed), strict=True):
                good[here] &= _separation(ra[here], dec[here], hole_ra, hole_dec) > radius
    return good


def holes(hpix: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bright-star masks centred in a tile: ra, dec and radius, degrees."""
    rng = np.random.default_rng([seed, hpix, 7])
    count = rng.poisson(HOLES)
    ra, dec = _in_tile(hpix, rng.random(count), rng.random(count))
    # as stars: the fainter, the more
    radius = HOLE_RADIUS[0] * (HOLE_RADIUS[1] / HOLE_RADIUS[0]) ** (rng.random(count) ** 2)
    return ra, dec, radius


def galactic_ebv(ra: np.ndarray, dec: np.ndarray, seed: int) -> np.ndarray:
    """Galactic reddening E(B-V), mag: lognormal around 0.03 as at high latitude, varying over degrees."""
    wide, narrow = smooth_field(ra, dec, "dust", seed, 5.0), smooth_field(ra, dec, "cirrus", seed, 0.6)
    return 0.03 * np.exp(0.35 * wide + 0.12 * narrow)


@dataclass(frozen=True)
class Catalogue:
    """Rows of a catalogue of n galaxies.

    Attributes
    ----------
    source : (m,) which galaxy each row is; a galaxy may have no row, and in the imaging two.
    ra, dec : (m,) measured position, degrees.
    release, brickid, objid : (m,) int32 identifiers, unique together within the catalogue and across tiles.
    duplicate : (m,) True for the second row of the same galaxy.
    """

    source: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    release: np.ndarray
    brickid: np.ndarray
    objid: np.ndarray
    duplicate: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


def catalog_scatter(
    ra: np.ndarray, dec: np.ndarray, hpix: int, rng: np.random.Generator, config: dict
) -> tuple[Catalogue, Catalogue]:
    """The imaging and the spectroscopic catalogue of galaxies at true positions `ra`, `dec` (n,), degrees.

    Parameters
    ----------
    config : optional shares and lengths: `one_sided` (galaxies missing from one catalogue, half from each; 0.04),
        `duplicates` (imaging rows listed twice, within 0.3 arcsec; 0.01), `astrometric_scatter` (arcsec in each
        direction and catalogue; 0.06, with a tail three times as wide for one in twenty).

    Returns
    -------
    imaging, spectroscopy : both in the order of the galaxies, the imaging's duplicates at the end.
    """
    n = len(ra)
    lost = rng.random(n)
    half = 0.5 * config.get("one_sided", 0.04)
    in_imaging, in_spectroscopy = np.flatnonzero(lost >= half), np.flatnonzero(lost < 1 - half)
    scatter = config.get("astrometric_scatter", 0.06)

    again = in_imaging[rng.random(len(in_imaging)) < config.get("duplicates", 0.01)]
    first = _measure(ra[in_imaging], dec[in_imaging], scatter, rng)
    other = _shift(*(v[np.searchsorted(in_imaging, again)] for v in first), *_disc(len(again), 0.3, rng))
    imaging = _catalogue(
        np.concatenate([in_imaging, again]), *(np.concatenate(v) for v in zip(first, other, strict=True)), hpix
    )
    spectroscopy = _measure(ra[in_spectroscopy], dec[in_spectroscopy], scatter, rng)
    return imaging, _catalogue(in_spectroscopy, *spectroscopy, hpix)


def _catalogue(source: np.ndarray, ra: np.ndarray, dec: np.ndarray, hpix: int) -> Catalogue:
    brick = brickid(ra, dec)
    _, first = np.unique(source, return_index=True)
    duplicate = np.ones(len(source), bool)
    duplicate[first] = False
    return Catalogue(source, ra, dec, np.full(len(source), RELEASE, np.int32), brick, objid(brick, hpix), duplicate)


def _measure(ra, dec, scatter_arcsec, rng):
    """Positions with astrometric errors."""
    width = scatter_arcsec * np.where(rng.random(len(ra)) < 0.05, 3.0, 1.0)
    return _shift(ra, dec, *(rng.normal(0, 1, (2, len(ra))) * width))


def _disc(count, radius, rng):
    """Uniform points in a disc, leaving out the middle third: two detections of one object are never the same."""
    distance = radius * np.sqrt(rng.uniform(1 / 9, 1, count))
    angle = rng.uniform(0, 2 * np.pi, count)
    return distance * np.cos(angle), distance * np.sin(angle)


def _shift(ra, dec, east_arcsec, north_arcsec):
    """Positions moved by small offsets, degrees."""
    return (ra + east_arcsec / 3600 / np.cos(np.radians(dec))) % 360.0, dec + north_arcsec / 3600


def _scattered(hpix, n, rng, seed):
    """`n` positions in a tile, following the large-scale density and the footprint."""
    ra, dec = np.empty(0), np.empty(0)
    highest = 1 + 3 * DENSITY_SCATTER
    while len(ra) < n:
        count = 2 * (n - len(ra)) + 16
        new_ra, new_dec = _in_tile(hpix, rng.random(count), rng.random(count))
        keep = (rng.random(count) * highest < _density(new_ra, new_dec, seed)) & inside(new_ra, new_dec, seed)
        ra, dec = np.concatenate([ra, new_ra[keep]]), np.concatenate([dec, new_dec[keep]])
    return ra[:n], dec[:n]


def _around(hpix, centre_ra, centre_dec, rng, seed):
    """Members of groups at `centre_ra`, `centre_dec` (one a member); those that fall outside are drawn again."""
    ra, dec = centre_ra.copy(), centre_dec.copy()
    left = np.arange(len(ra))
    while len(left):
        offset = rng.normal(0, GROUP_SIZE, (2, len(left))) * 3600
        ra[left], dec[left] = _shift(centre_ra[left], centre_dec[left], *offset)
        good = lonlat_to_healpix(*_lonlat(ra[left], dec[left]), NSIDE, order="nested") == hpix
        good &= inside(ra[left], dec[left], seed)
        left = left[~good]
    return ra, dec


def _density(ra, dec, seed):
    """Large-scale density relative to its mean."""
    field = smooth_field(ra, dec, "large-scale density", seed, DENSITY_SCALE)
    return 1 + DENSITY_SCATTER * np.clip(field, -3, 3)


def _grid(hpix, side=48):
    """Positions on a regular grid of equal areas over a tile."""
    step = (np.arange(side) + 0.5) / side
    return _in_tile(hpix, np.repeat(step, side), np.tile(step, side))


def _in_tile(hpix, dx, dy):
    """Positions, degrees, at fractions `dx`, `dy` of a tile's sides; uniform fractions are uniform on the sphere."""
    lon, lat = healpix_to_lonlat(np.full(len(dx), hpix), NSIDE, dx=dx, dy=dy, order="nested")
    return lon.deg % 360.0, lat.deg


def _lonlat(ra, dec):
    return ra * units.deg, dec * units.deg


def _separation(ra, dec, other_ra, other_dec):
    """Great-circle distance, degrees (haversine: exact at small distances)."""
    ra, dec, other_ra, other_dec = (np.radians(v) for v in (ra, dec, other_ra, other_dec))
    half = np.sin((dec - other_dec) / 2) ** 2 + np.cos(dec) * np.cos(other_dec) * np.sin((ra - other_ra) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))
