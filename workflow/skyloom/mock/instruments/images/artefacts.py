"""What goes wrong in real images, put in on purpose and labelled."""

import math

import numpy as np

from skyloom.mock.instruments.images.camera import Camera, Conditions
from skyloom.mock.instruments.images.neighbours import STAR, Objects

FLAGS = {"satellite_trail": 1, "bleed": 2, "edge": 4, "masked_pixels": 8, "halo": 16}
# share of cutouts; in this order, so that nothing is added to pixels beyond an edge
RATES = {"satellite_trail": 0.01, "halo": 0.01, "masked_pixels": 0.06, "edge": 0.015}
CLEAR = 3.2  # arcsec around the target that an edge leaves alone: otherwise it would not be in the catalogue


def add_artefacts(
    images: np.ndarray, crowd: Objects, sky: Conditions, rng: np.random.Generator, rate: float, camera: Camera
) -> np.ndarray:
    """Spoil some of `images` in place; pixels without data become 0, as in coadds with inverse variance 0.

    What is lost to saturation, cosmic rays and bad columns is filled from beside it if the pipeline does so.
    `rate` multiplies RATES; bleeds follow from the bright stars in `crowd` unless it is 0. Returns (n,) int32 of FLAGS.
    """
    flags = np.zeros(len(images), np.int32)
    chance = rng.random((len(images), len(RATES)))
    hit = chance < rate * np.array(list(RATES.values()))
    spoil = {"satellite_trail": _trail, "halo": _halo, "masked_pixels": _mask, "edge": _edge}
    if rate > 0:
        for index in np.flatnonzero((crowd.kind == STAR) & (crowd.flux.max(axis=1) > _flux(camera.saturation))):
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
    peak = sky.sky_sigma[band] * 10 ** rng.uniform(0.2, 1.3)
    image[band] += (peak * np.exp(-0.5 * (distance / width) ** 2)).astype(np.float32)


def _halo(image: np.ndarray, sky: Conditions, rng: np.random.Generator, camera: Camera) -> None:
    """The reflection of a bright star outside of the cutout: a disc of light whose rim crosses it, in all bands."""
    radius = rng.uniform(20, 60) / camera.pixel_scale
    inside = radius - np.hypot(*_from_outside(radius, rng, camera))
    profile = 0.5 * (1 + np.tanh(inside / 3)) * (1 + 0.5 * np.maximum(inside, 0) / radius)
    level = sky.sky_sigma * 10 ** (rng.uniform(-0.3, 0.4) + rng.normal(0, 0.1, len(image)))
    image += (level[:, None, None] * profile).astype(np.float32)


def _from_outside(radius: float, rng: np.random.Generator, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Offsets y and x (size, size), pixels, from a point about `radius` away from the middle of the cutout."""
    angle = rng.uniform(0, 2 * math.pi)
    distance = radius + rng.uniform(-0.45, 0.45) * camera.size
    y, x = np.mgrid[: camera.size, : camera.size] - (camera.size - 1) / 2
    return y - distance * math.sin(angle), x - distance * math.cos(angle)


def _edge(image: np.ndarray, sky: Conditions, rng: np.random.Generator, camera: Camera) -> None:
    """No data beyond a line: the survey's edge (all bands) or that of one band's pointings."""
    missing = _distance_to_line(camera.size, rng, rng.uniform(CLEAR / camera.pixel_scale, 0.45 * camera.size)) > 0
    bands = slice(None) if rng.random() < 0.3 else slice(band := rng.integers(len(image)), band + 1)
    image[bands, missing] = 0


def _mask(image: np.ndarray, sky: Conditions, rng: np.random.Generator, camera: Camera) -> None:
    """Up to five cosmic rays, and sometimes a bad column, in one band."""
    lost = np.zeros(image.shape[1:], bool)
    band = rng.integers(len(image))
    for _ in range(rng.integers(1, 6)):
        row, column = rng.integers(0, camera.size, 2)
        lost[row : row + rng.integers(1, 5), column : column + rng.integers(1, 5)] = True
    if rng.random() < 0.3:
        lost[:, rng.integers(0, camera.size)] = True
    _lose(image[band], lost, camera)


def _bleed(image: np.ndarray, star: Objects, sky: Conditions, camera: Camera) -> bool:
    """Charge runs along the columns of the detector from a saturated star; True if on the image.

    The saturated core widens and the bleed lengthens with the flux beyond saturation.
    """
    column = (camera.size - 1) / 2 + star.x[0] / camera.pixel_scale
    row = (camera.size - 1) / 2 + star.y[0] / camera.pixel_scale
    y, x = np.mgrid[: camera.size, : camera.size]
    along, across = (y - row, x - column) if camera.bleed == 0 else (x - column, y - row)
    seen = False
    for band, flux in enumerate(star.flux[0]):
        excess = flux / _flux(camera.saturation)
        if excess <= 1:
            continue
        core = 0.5 * sky.fwhm[star.cutout[0], band] / camera.pixel_scale * excess**0.3
        length = core + 4.0 * excess**0.7
        lost = np.hypot(x - column, y - row) < core
        lost |= (np.abs(across) < 1 + 0.2 * core) & (np.abs(along) < length)
        _lose(image[band], lost, camera)
        seen = seen or bool(lost.any())
    return seen


def _lose(image: np.ndarray, lost: np.ndarray, camera: Camera) -> None:
    """Set the pixels `lost` (size, size) of one band to 0, or fill them from their row if the camera interpolates."""
    if not camera.interpolated:
        image[lost] = 0
        return
    rows = np.flatnonzero(lost.any(axis=1) & ~lost.all(axis=1))
    kept, columns = ~lost[rows], np.arange(camera.size)
    # the nearest kept pixel on either side, or at the border the one on the other side
    left = np.maximum.accumulate(np.where(kept, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(kept, columns, camera.size)[:, ::-1], axis=1)[:, ::-1]
    left, right = np.where(left < 0, right, left), np.where(right == camera.size, left, right)
    near, far = (np.take_along_axis(image[rows], side, axis=1) for side in (left, right))
    share = (columns - left) / np.maximum(right - left, 1)
    image[rows] = np.where(kept, image[rows], near + share * (far - near))
