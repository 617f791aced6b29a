"""Which galaxies of a tile are on which others' cutouts, and what the random objects beside them leave to these.

Two cutouts of the same sky show the same galaxies: what the catalogue of a tile has within a cutout is drawn there as
it is on its own, and field galaxies are drawn at the real sky's counts less those of the catalogue. Galaxies of other
tiles, and of the other program in the same tile, are not known here, nor what anomalies add: near a tile's edge (3 % of
its area) cutouts are a little emptier than the sky.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from astropy_healpix import nside_to_pixel_area
from scipy.spatial import cKDTree

from skyloom.mock.footprint import NSIDE
from skyloom.mock.instruments.images.camera import LEGACY, Camera, conditions
from skyloom.mock.instruments.images.images import IMAGE_FIELDS
from skyloom.mock.instruments.images.listed import reach
from skyloom.mock.instruments.images.neighbours import Provided
from skyloom.mock.instruments.images.structure import Knots, draw_knots
from skyloom.mock.layout import default
from skyloom.mock.universe.light.dust import EXTINCTION
from skyloom.mock.universe.sky.coverage import covered_fraction, directions

ARCSEC = np.pi / 180 / 3600
CUTOUT = LEGACY.size * LEGACY.pixel_scale  # arcsec a side, the largest of the cameras
TILE_AREA = nside_to_pixel_area(NSIDE).to_value("deg2")


@dataclass(frozen=True)
class Beside:
    """Pairs of galaxies of a tile.

    Attributes
    ----------
    target, other : (k,) galaxy `other` has light on the cutout of `target`; ascending in both.
    x, y : (k,) where, arcsec from the target (x to the west, y to the north).
    knots : arms and clumps of all n galaxies of the tile, as on their own cutouts.
    provided : what part of the galaxies on the sky is in the catalogue.
    """

    target: np.ndarray
    other: np.ndarray
    x: np.ndarray
    y: np.ndarray
    knots: Knots
    provided: Provided

    @classmethod
    def of(
        cls, tile, config: Mapping, camera: Camera, stream: Callable[[int], np.random.Generator], block: int
    ) -> "Beside":
        """The pairs of a tile (tile.Tile) that `camera`, with the grid and bands of Legacy, can see; `stream` gives
        the random numbers of the scene of each block of `block` galaxies, which begin with their knots."""
        shape = {name: getattr(tile.population, name) for name in IMAGE_FIELDS}
        density = default(config, "neighbours")
        magnitude = np.stack([getattr(tile.population, f"mag_{band}") for band in LEGACY.bands], axis=1)
        magnitude += np.outer(tile.ebv, [EXTINCTION[band.upper()] for band in LEGACY.bands])
        sky = conditions(tile.ra, tile.dec, camera, config.get("seed", 0), 0.0)
        far = reach(shape, 10 ** (0.4 * (22.5 - magnitude)), sky, camera)
        pairs = _pairs(tile.ra, tile.dec, far) if density > 0 else np.empty((0, 2), int)
        target, other = pairs[:, 0], pairs[:, 1]
        east = (tile.ra[other] - tile.ra[target] + 180) % 360 - 180
        starts = range(0, len(tile.population), block)
        knots = [
            draw_knots({name: values[first : first + block] for name, values in shape.items()}, stream(number))
            for number, first in enumerate(starts)
        ]
        area = TILE_AREA * covered_fraction(tile.hpix, tile.seed)
        return cls(
            target=target,
            other=other,
            x=-east * np.cos(np.radians(tile.dec[target])) * 3600,
            y=(tile.dec[other] - tile.dec[target]) * 3600,
            knots=Knots(*(np.concatenate([vars(part)[name] for part in knots]) for name in vars(knots[0]))),
            provided=Provided.of(magnitude[:, 1], area * density),
        )

    def around(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs whose target is one of `rows`: which of these (k,), and which pair (k,)."""
        first, last = np.searchsorted(self.target, rows), np.searchsorted(self.target, rows, side="right")
        cutout = np.repeat(np.arange(len(rows)), last - first)
        return cutout, np.arange(len(cutout)) + np.repeat(first - np.cumsum(last - first) + last - first, last - first)


def _pairs(ra: np.ndarray, dec: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """(k, 2) of galaxies (target, other) of which the other's light, `extent` (n,) arcsec far, is on the cutout."""
    places = directions(ra, dec)
    far = (CUTOUT / 2 + extent) * np.sqrt(2)
    chord = 2 * np.sin(far * ARCSEC / 2)
    found = cKDTree(places).query_ball_point(places, chord)  # targets within each other galaxy's range
    other = np.repeat(np.arange(len(ra)), [len(near) for near in found])
    target = np.concatenate([*found, np.empty(0, int)]).astype(int)
    pairs = np.stack([target, other], axis=1)[target != other]
    return pairs[np.lexsort([pairs[:, 1], pairs[:, 0]])]
