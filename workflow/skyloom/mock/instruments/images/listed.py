"""Other galaxies of the catalogue on a galaxy's cutout: each with all the light and structure of its own cutout."""

from dataclasses import dataclass, replace

import numpy as np

from skyloom.mock.instruments.images.camera import Camera, Conditions, in_bands
from skyloom.mock.instruments.images.drawing import BULGE_NODES, SHAPE, draw_galaxies
from skyloom.mock.instruments.images.neighbours import BULGE, DISC, Objects
from skyloom.mock.instruments.images.stamps import extent
from skyloom.mock.instruments.images.structure import Knots

SIZES = np.array([32, 48, 64, 96, 128, 192, 256, 384])  # pixels of a stamp
CHUNK = 16  # stamps of 152 pixels at a time


@dataclass(frozen=True)
class Listed:
    """Galaxies beside the targets of a scene; every array has one row a galaxy and cutout.

    Attributes
    ----------
    cutout : which target it lies beside, ascending.
    x, y : offset from that target, arcsec (x to the west, y to the north).
    galaxies, knots : of the galaxy, as in images.Scene.
    flux, point_flux : (k, bands) nanomaggy in one camera's bands, as `images.render` has them of targets.
    """

    cutout: np.ndarray
    x: np.ndarray
    y: np.ndarray
    galaxies: dict[str, np.ndarray]
    knots: Knots
    flux: np.ndarray
    point_flux: np.ndarray

    def __getitem__(self, rows) -> "Listed":
        arrays = (self.cutout[rows], self.x[rows], self.y[rows])
        shapes = {name: values[rows] for name, values in self.galaxies.items()}
        return Listed(*arrays, shapes, self.knots[rows], self.flux[rows], self.point_flux[rows])

    def __len__(self) -> int:
        return len(self.cutout)


def reach(shape: dict[str, np.ndarray], flux: np.ndarray, sky: Conditions, camera: Camera) -> np.ndarray:
    """Arcsec (n,) from a galaxy's centre to where its disc and its bulge sink into the noise.

    `flux` (n, bands) in nanomaggy; `sky` at the n galaxies.
    """
    n = len(flux)
    bulge = in_bands(shape["bulge_fraction"], BULGE_NODES, camera)
    parts = ((DISC, 1 - bulge, "disk", "angle"), (BULGE, bulge, "bulge", "angle_bulge"))
    sides = []
    for kind, share, part, angle in parts:
        of = (share * flux, shape[f"r_{part}"], shape[f"q_{part}"], shape[angle])
        objects = Objects(np.arange(n), np.full(n, kind), np.zeros(n), np.zeros(n), *of)
        sides.append(extent(objects, sky, camera))
    return camera.pixel_scale * np.maximum(*sides) / 2


def paint_listed(images: np.ndarray, listed: Listed, offset: np.ndarray, sky: Conditions, camera: Camera) -> Listed:
    """Add galaxies to `images` (n, bands, size, size) in place; those of them that have light on a cutout.

    `offset` (n, 2) is that of the targets from the middle of their cutouts, x then y, arcsec. A galaxy is seen under
    the target's PSF.
    """
    far = reach(listed.galaxies, listed.flux, sky[listed.cutout], camera)
    sizes = SIZES[np.minimum(np.searchsorted(SIZES, 2 * far / camera.pixel_scale), len(SIZES) - 1)]
    place = (np.stack([listed.x, listed.y], axis=1) + offset[listed.cutout]) / camera.pixel_scale
    on = (np.abs(place) < camera.size / 2 + far[:, None] / camera.pixel_scale).all(axis=1)
    for size in np.unique(sizes[on]):
        rows = np.flatnonzero(on & (sizes == size))
        batch = max(1, CHUNK * 152**2 // int(size) ** 2)
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            _paint(images, listed[some], place[some], int(size), sky, camera)
    return listed[np.flatnonzero(on)]


def _paint(images, listed: Listed, place: np.ndarray, size: int, sky: Conditions, camera: Camera) -> None:
    """`place` (k, 2) in pixels from the middle of the cutout."""
    # a whole pixel moves the stamp, the rest moves the galaxy on it
    corner = np.rint((camera.size - size) / 2 + place).astype(int)
    rest = ((camera.size - size) / 2 + place - corner) * camera.pixel_scale
    stamps, _ = draw_galaxies(
        {name: listed.galaxies[name] for name in SHAPE},
        listed.flux,
        sky[listed.cutout],
        replace(camera, size=size),
        point_flux=listed.point_flux,
        knots=listed.knots,
        offset=rest,
    )
    for stamp, cutout, (x, y) in zip(stamps, listed.cutout, corner, strict=True):
        left, low = max(x, 0), max(y, 0)
        right, high = min(x + size, camera.size), min(y + size, camera.size)
        if left < right and low < high:
            images[cutout, :, low:high, left:right] += stamp[:, low - y : high - y, left - x : right - x]
