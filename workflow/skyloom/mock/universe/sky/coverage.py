"""The mock survey's footprint in detail: its edge, the holes around bright stars, and how far a place is from them.

Lengths on the sky are degrees.
"""

import numpy as np
from astropy import units
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix, neighbours
from scipy.spatial import cKDTree

from skyloom.mock.footprint import NSIDE

HOLES = 2.0  # a tile
HOLE_RADIUS = (1.5 / 60, 5.0 / 60)
EDGE = 0.3  # tiles that the survey's edge lies inside the first row of tiles
BORDER_SAMPLES = 192  # along a tile's side: .005 degrees apart


def covered_fraction(hpix: int, seed: int) -> float:
    """Share of a tile's area that is inside the footprint and outside holes."""
    return float(np.mean(inside(*grid_of_tile(hpix), seed)))


def inside(ra: np.ndarray, dec: np.ndarray, seed: int) -> np.ndarray:
    """True where the survey has data: within its edge and outside the masks of bright stars."""
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    # In the equatorial zone HEALPix rows are straight in (ra, sin dec); the edge runs along the first row of tiles.
    row = 0.5 * NSIDE * (1.5 * np.sin(np.radians(dec)) - ((ra - 225 + 180) % 360 - 180) / 45)
    good = row > EDGE
    tiles = tile_of(ra, dec)
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
    ra, dec = in_tile(hpix, rng.random(count), rng.random(count))
    # as stars: the fainter, the more
    radius = HOLE_RADIUS[0] * (HOLE_RADIUS[1] / HOLE_RADIUS[0]) ** (rng.random(count) ** 2)
    return ra, dec, radius


def distance_to_border(hpix: int, ra: np.ndarray, dec: np.ndarray, seed: int) -> np.ndarray:
    """Degrees (n,) from places in a tile to the nearest point that is outside it, the footprint, or in a hole.

    The outside is sampled every .005 degrees.
    """
    side = (np.arange(BORDER_SAMPLES) + 0.5) / BORDER_SAMPLES
    zero = np.zeros(BORDER_SAMPLES)
    fields = grid_of_tile(hpix, BORDER_SAMPLES)
    bare = ~inside(*fields, seed)
    rim = in_tile(hpix, np.concatenate([side, side, zero, zero + 1]), np.concatenate([zero, zero + 1, side, side]))
    border = np.concatenate([directions(fields[0][bare], fields[1][bare]), directions(*rim)])
    chord, _ = cKDTree(border).query(directions(ra, dec))
    return np.degrees(2 * np.arcsin(chord / 2))


def grid_of_tile(hpix: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Positions on a regular grid of equal areas over a tile."""
    step = (np.arange(side) + 0.5) / side
    return in_tile(hpix, np.repeat(step, side), np.tile(step, side))


def in_tile(hpix: int, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions at fractions `dx`, `dy` of a tile's sides; uniform fractions are uniform on the sphere."""
    lon, lat = healpix_to_lonlat(np.full(len(dx), hpix), NSIDE, dx=dx, dy=dy, order="nested")
    return lon.deg % 360.0, lat.deg


def tile_of(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """The tile that each place is in."""
    return lonlat_to_healpix(ra * units.deg, dec * units.deg, NSIDE, order="nested")


def directions(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3)."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _separation(ra, dec, other_ra, other_dec):
    """Great-circle distance (haversine: exact at small distances)."""
    ra, dec, other_ra, other_dec = (np.radians(v) for v in (ra, dec, other_ra, other_dec))
    half = np.sin((dec - other_dec) / 2) ** 2 + np.cos(dec) * np.cos(other_dec) * np.sin((ra - other_ra) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))
