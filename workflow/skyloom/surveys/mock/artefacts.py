"""What goes wrong in real images, put in on purpose and labelled."""

import math

import numpy as np

from skyloom.surveys.mock.camera import Camera, Conditions
from skyloom.surveys.mock.neighbours import STAR, Objects

FLAGS = {"satellite_trail": 1, "bleed": 2, "edge": 4, "masked_pixels": 8}
RATES = {"satellite_trail": 0.01, "edge": 0.015, "masked_pixels": 0.06}  # share of cutouts
SATURATION = 15.0  # magnitude at which a point source saturates in a single exposure
CLEAR = 12  # pixels around the target that an edge leaves alone: otherwise it would not be in the catalogue


def add_artefacts(
    images: np.ndarray, crowd: Objects, sky: Conditions, rng: np.random.Generator, rate: float, camera: Camera
) -> np.ndarray:
    """Spoil some of `images` in place; pixels without data become 0, as in coadds with inverse variance 0.

    `rate` multiplies RATES; bleeds follow from the bright stars in `crowd` unless it is 0. Returns (n,) int32 of FLAGS.
    """
    flags = np.zeros(len(images), np.int32)
    chance = rng.random((len(images), len(RATES)))
    hit = chance < rate * np.array(list(RATES.values()))
    spoil = {"satellite_trail": _trail, "edge": _edge, "masked_pixels": _mask}
    if rate > 0:
        for index in np.flatnonzero((crowd.kind == STAR) & (crowd.flux.max(axis=1) > _flux(SATURATION))):
            if _bleed(images[crowd.cutout[index]], crowd[[index]], sky, camera):
                flags[crowd.cutout[index]] |= FLAGS["bleed"]
    for index, which in np.argwhere(hit):
        name = list(RATES)[which]
        spoil[name](images[index], sky[index], rng, camera)
        flags[index] |= FLAGS[name]
    return flags


def _flux(magnitude: float) -> float:
    return 10 ** (0.4 * (22.5 - magnitude))


def _distance_to_line(size: int, rng: np.random.Generator, offset: float) -> np.ndarray:
    """Signed distance (size, size), pixels, to a line of random direction that passes the centre at `offset`."""
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return x * math.cos(angle) + y * math.sin(angle) - offset


def _trail(image: np.ndarray, sky: Conditions, rng: np.random.Generator, camera: Camera) -> None:
    """A satellite crosses in one band; outlier rejection has left a part of it in the coadd."""
    distance = _distance_to_line(camera.size, rng, rng.uniform(-0.5, 0.5) * camera.size)
    band = rng.integers(len(image))
    width = sky.fwhm[band] / 2.3548 / camera.pixel_scale * rng.uniform(1.0, 1.6)
    peak = sky.sky_sigma[band] * 10 ** rng.uniform(0.5, 1.5)
    image[band] += (peak * np.exp(-0.5 * (distance / width) ** 2)).astype(np.float32)


def _edge(image: np.ndarray, sky: Conditions, rng: np.random.Generator, camera: Camera) -> None:
    """No data beyond a line: the survey's edge (all bands) or that of one band's pointings."""
    missing = _distance_to_line(camera.size, rng, rng.uniform(CLEAR, 0.45 * camera.size)) > 0
    bands = slice(None) if rng.random() < 0.3 else slice(band := rng.integers(len(image)), band + 1)
    image[bands, missing] = 0


def _mask(image: np.ndarray, sky: Conditions, rng: np.random.Generator, camera: Camera) -> None:
    """Up to five cosmic rays, and sometimes a bad column, in one band."""
    band = rng.integers(len(image))
    for _ in range(rng.integers(1, 6)):
        row, column = rng.integers(0, camera.size, 2)
        image[band, row : row + rng.integers(1, 5), column : column + rng.integers(1, 5)] = 0
    if rng.random() < 0.3:
        image[band, :, rng.integers(0, camera.size)] = 0


def _bleed(image: np.ndarray, star: Objects, sky: Conditions, camera: Camera) -> bool:
    """Charge runs along the columns of the detector (east-west for DECam) from a saturated star; True if on the image.

    The saturated core widens and the bleed lengthens with the flux beyond saturation.
    """
    column = (camera.size - 1) / 2 + star.x[0] / camera.pixel_scale
    row = (camera.size - 1) / 2 + star.y[0] / camera.pixel_scale
    y, x = np.mgrid[: camera.size, : camera.size]
    seen = False
    for band, flux in enumerate(star.flux[0]):
        excess = flux / _flux(SATURATION)
        if excess <= 1:
            continue
        core = 0.5 * sky.fwhm[star.cutout[0], band] / camera.pixel_scale * excess**0.3
        length = core + 4.0 * excess**0.7
        inside = np.hypot(x - column, y - row) < core
        inside |= (np.abs(y - row) < 1 + 0.2 * core) & (np.abs(x - column) < length)
        image[band, inside] = 0
        seen = seen or bool(inside.any())
    return seen
