"""Where the mock galaxies are: clustered, inside a footprint with an edge and holes, and seen by two catalogues.

Clustering is a Thomas process: a share CLUSTERED of a tile's galaxies sits in groups, whose centres are Poisson
distributed with GROUPS a square degree and whose members scatter by GROUP_SIZE; the rest is unclustered. Its two-point
function is known (`angular_correlation`). On top, the mean density varies by a quarter over degrees, without seams
between tiles. Lengths on the sky are degrees unless a name says arcsec.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from skyloom.core.errors import BadConfig
from skyloom.formats.bricks import brickid
from skyloom.mock.footprint import TILE_AREA
from skyloom.mock.layout import default
from skyloom.mock.universe.sky.bricks import RELEASE, objid
from skyloom.mock.universe.sky.coverage import covered_fraction, grid_of_tile, in_tile, inside, tile_of
from skyloom.mock.universe.sky.fields import smooth_field

CLUSTERED = 0.5
GROUPS = 100.0  # a square degree
GROUP_SIZE = 0.02  # degrees, Gaussian in each direction
DENSITY_SCATTER, DENSITY_SCALE = 0.25, 4.0  # large-scale structure: relative, and degrees


def positions(
    hpix: int, n: int, rng: np.random.Generator, config: Mapping
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places for `n` galaxies inside tile `hpix`, the footprint, and outside the holes.

    Parameters
    ----------
    hpix : HEALPix pixel, nside 64, nested.
    rng : same state, same positions.
    config : `seed` of the large-scale density and the holes, common to all tiles.

    Returns
    -------
    ra, dec : (n,) degrees, float64.
    group : (n,) number of the group, -1 for none. Places come group by group, those outside groups last.

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
    return ra, dec, np.concatenate([group, np.full(n - in_groups, -1)])


def angular_correlation(theta: np.ndarray) -> np.ndarray:
    """Two-point function w(theta) of `positions` within a tile, theta in degrees, without the large-scale density."""
    pairs = np.exp(-(np.asarray(theta) ** 2) / (4 * GROUP_SIZE**2)) / (4 * np.pi * GROUP_SIZE**2)
    return CLUSTERED**2 / GROUPS * pairs


def expected_count(hpix: int, mean: float, config: Mapping) -> int:
    """Galaxies that tile `hpix` should get if an average, uncut tile has `mean`: less at edges."""
    ra, dec = grid_of_tile(hpix)
    seed = config.get("seed", 0)
    return int(round(mean * float(np.mean(_density(ra, dec, seed) * inside(ra, dec, seed)))))


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

    def __getitem__(self, rows) -> "Catalogue":
        return Catalogue(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def catalog_scatter(
    ra: np.ndarray, dec: np.ndarray, hpix: int, program: str, rng: np.random.Generator, config: Mapping
) -> tuple[Catalogue, Catalogue]:
    """The imaging and the spectroscopic catalogue of galaxies at true positions `ra`, `dec` (n,), degrees.

    Parameters
    ----------
    hpix, program : of the tile; with them the identifiers become unique.
    config : optional shares and lengths, see `mock.layout.MockSettings`: `one_sided` (galaxies missing from one
        catalogue, half from each), `duplicates` (imaging rows listed twice, within 0.3 arcsec),
        `astrometric_scatter` (arcsec in each direction and catalogue, with a tail three times as wide for one in
        twenty).

    Returns
    -------
    imaging, spectroscopy : both in the order of the galaxies, duplicates beside each other.
    """
    n = len(ra)
    lost = rng.random(n)
    half = 0.5 * default(config, "one_sided")
    in_imaging, in_spectroscopy = np.flatnonzero(lost >= half), np.flatnonzero(lost < 1 - half)
    scatter = default(config, "astrometric_scatter")

    again = in_imaging[rng.random(len(in_imaging)) < default(config, "duplicates")]
    first = _measure(ra[in_imaging], dec[in_imaging], scatter, rng)
    other = _shift(*(v[np.searchsorted(in_imaging, again)] for v in first), *_disc(len(again), 0.3, rng))
    source = np.concatenate([in_imaging, again])
    order = np.argsort(source, kind="stable")
    listed = (np.concatenate(v)[order] for v in zip(first, other, strict=True))
    imaging = _catalogue(source[order], *listed, hpix, program)
    spectroscopy = _measure(ra[in_spectroscopy], dec[in_spectroscopy], scatter, rng)
    return imaging, _catalogue(in_spectroscopy, *spectroscopy, hpix, program)


def second_imaging(
    ra: np.ndarray, dec: np.ndarray, hpix: int, program: str, rng: np.random.Generator, config: Mapping
) -> Catalogue:
    """What another imaging survey sees of the galaxies: positions of its own, some missing; as `catalog_scatter`."""
    seen = np.flatnonzero(rng.random(len(ra)) >= 0.5 * default(config, "one_sided"))
    places = _measure(ra[seen], dec[seen], default(config, "astrometric_scatter"), rng)
    return _catalogue(seen, *places, hpix, program)


def _catalogue(source: np.ndarray, ra: np.ndarray, dec: np.ndarray, hpix: int, program: str) -> Catalogue:
    brick = brickid(ra, dec)
    _, first = np.unique(source, return_index=True)
    duplicate = np.ones(len(source), bool)
    duplicate[first] = False
    return Catalogue(
        source, ra, dec, np.full(len(source), RELEASE, np.int32), brick, objid(brick, hpix, program), duplicate
    )


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
        new_ra, new_dec = in_tile(hpix, rng.random(count), rng.random(count))
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
        good = tile_of(ra[left], dec[left]) == hpix
        good &= inside(ra[left], dec[left], seed)
        left = left[~good]
    return ra, dec


def _density(ra, dec, seed):
    """Large-scale density relative to its mean."""
    field = smooth_field(ra, dec, "large-scale density", seed, DENSITY_SCALE)
    return 1 + DENSITY_SCATTER * np.clip(field, -3, 3)
