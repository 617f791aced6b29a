"""What else is on a cutout: field galaxies and stars at the real sky's counts, and companions of the target."""

import math
from dataclasses import dataclass

import numpy as np

from skyloom.surveys.mock.camera import Camera, Conditions
from skyloom.surveys.mock.fourier import k_max, plane
from skyloom.surveys.mock.profiles import moffat_scale, sersic
from skyloom.surveys.mock.structure import DISC_SCALE

STAR, DISC, BULGE = 0, 1, 2
FAINTEST = 24.2  # r magnitude, a little below the depth: sources too faint to see still make the sky uneven
MARGIN = 5.0  # arcsec outside the cutout from which light still falls in
VISIBLE = 0.3  # surface brightness, in units of a pixel's noise, at which a stamp may end
STAMP_SIZES = np.array([24, 32, 48, 64, 96, 128, 192, 256, 384])
CHUNK = 64  # stamps a batch
NODES = np.log([4770.0, 6420.0, 9140.0])  # g, r, z: magnitudes in other bands are interpolated between these
COMPANIONS = 0.5  # mean number within 20 arcsec of a target


@dataclass(frozen=True)
class Objects:
    """Stars and galaxies to be added to cutouts; every attribute has one entry an object.

    Attributes
    ----------
    cutout : which image it falls on.
    kind : STAR, DISC or BULGE.
    x, y : offset from the cutout's centre, arcsec.
    flux : (k, bands) nanomaggy.
    radius : half-light radius along the major axis, arcsec; 0 for stars.
    axis_ratio, angle : as for the targets.
    """

    cutout: np.ndarray
    kind: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    radius: np.ndarray
    axis_ratio: np.ndarray
    angle: np.ndarray

    def __getitem__(self, rows) -> "Objects":
        return Objects(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.cutout)


def add_neighbours(
    images: np.ndarray, flux: np.ndarray, sky: Conditions, rng: np.random.Generator, density: float, camera: Camera
) -> Objects:
    """Draw the neighbours of n targets of `flux` (n, bands) and add them, noiseless, to `images` in place.

    `density` scales the real counts; 0 leaves the images as they are. Returns what was added.
    """
    reference = int(np.argmin(np.abs(np.subtract(camera.wavelength, 6420.0))))
    target = 22.5 - 2.5 * np.log10(np.maximum(flux[:, reference], 1e-3))
    objects = draw_objects(target, rng, density, camera)
    paint(images, objects, sky, camera)
    return objects


def draw_objects(target_magnitude: np.ndarray, rng: np.random.Generator, density: float, camera: Camera) -> Objects:
    """Field galaxies, stars and companions for cutouts whose targets have `target_magnitude` (n,) in r."""
    side = camera.size * camera.pixel_scale + 2 * MARGIN
    parts = []
    for draw, counts in ((_galaxy_colours, galaxy_counts), (_star_colours, star_counts)):
        grid = np.linspace(13.0, FAINTEST, 449)
        cumulative = np.concatenate([[0.0], np.cumsum(counts(grid[:-1] + 0.0125) * 0.025)])
        number = rng.poisson(density * cumulative[-1] * (side / 3600) ** 2, len(target_magnitude))
        cutout = np.repeat(np.arange(len(number)), number)
        magnitude = np.interp(rng.random(len(cutout)) * cumulative[-1], cumulative, grid)
        x, y = rng.uniform(-side / 2, side / 2, (2, len(cutout)))
        parts.append((cutout, magnitude, x, y, draw(magnitude, rng)))
    parts.append(_companions(target_magnitude, rng, density))

    cutout, magnitude, x, y = (np.concatenate([part[i] for part in parts]) for i in range(4))
    colours = np.concatenate([part[4] for part in parts])
    is_star = np.repeat([False, True, False], [len(part[0]) for part in parts])
    flux = _fluxes(magnitude, colours, camera)
    radius, kind = _shapes(magnitude, colours, is_star, rng)
    objects = Objects(
        cutout, kind, x, y, flux, radius, rng.uniform(0.25, 1.0, len(kind)), rng.uniform(0, math.pi, len(kind))
    )
    # What outshines the target on top of it would itself be the target, or have kept it out of the catalogue.
    eclipsed = (magnitude < target_magnitude[cutout] + 1.0) & (np.hypot(x, y) < 4.0 + radius)
    return objects[np.flatnonzero(~eclipsed)]


def galaxy_counts(magnitude: np.ndarray) -> np.ndarray:
    """Galaxies per square degree and r magnitude.

    Slopes .45 (Euclidean with evolution) and .33 beyond r = 21, through the counts of DESI BGS targets (864 per square
    degree to r = 19.5, Hahn et al. 2023, AJ 165, 253) and 24,000 at r = 23.1 (Metcalfe et al. 2001, MNRAS 323, 795).
    """
    return 4680.0 * 10 ** (np.where(magnitude < 21, 0.45, 0.33) * (magnitude - 21))


def star_counts(magnitude: np.ndarray) -> np.ndarray:
    """Stars per square degree and r magnitude at high galactic latitude: about 2,000 to r = 20."""
    return 300.0 * 10 ** (0.12 * (magnitude - 18))


def _galaxy_colours(magnitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(k, 2) colours g-r and r-z: blue cloud and a red sequence that thins out towards faint magnitudes."""
    red = rng.random(len(magnitude)) < np.clip(0.5 - 0.06 * (magnitude - 19), 0.15, 0.6)
    g_r = np.where(red, rng.normal(1.2, 0.25, len(red)), rng.normal(0.55, 0.25, len(red)))
    # the two colours go together: few galaxies are green
    r_z = np.where(red, 0.7 * g_r, 0.2 + 0.45 * g_r) + rng.normal(0, 0.15, len(red))
    return np.stack([g_r, r_z], axis=1)


def _star_colours(magnitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(k, 2) colours g-r and r-z: turn-off stars at the bright end, M dwarfs at the faint end."""
    dwarf = rng.random(len(magnitude)) < np.clip(0.15 + 0.09 * (magnitude - 15), 0.1, 0.8)
    g_r = np.where(dwarf, rng.normal(1.45, 0.1, len(dwarf)), rng.normal(0.5, 0.2, len(dwarf)))
    r_z = np.where(dwarf, rng.uniform(0.7, 2.2, len(dwarf)), 0.5 * g_r)
    return np.stack([g_r, r_z], axis=1)


def _companions(target_magnitude: np.ndarray, rng: np.random.Generator, density: float):
    """Satellites: fainter than their target, and denser towards it as the correlation function asks (slope -0.8)."""
    number = rng.poisson(COMPANIONS * density, len(target_magnitude))
    cutout = np.repeat(np.arange(len(number)), number)
    magnitude = target_magnitude[cutout] + 1.0 + rng.gamma(2.0, 0.8, len(cutout))
    distance = 20.0 * rng.random(len(cutout)) ** (1 / 1.2)
    angle = rng.uniform(0, 2 * math.pi, len(cutout))
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    return cutout, magnitude, x, y, _galaxy_colours(magnitude, rng)


def _fluxes(magnitude: np.ndarray, colours: np.ndarray, camera: Camera) -> np.ndarray:
    """(k, bands) nanomaggy; magnitudes are interpolated linearly in log wavelength."""
    g_r_z = np.stack([magnitude + colours[:, 0], magnitude, magnitude - colours[:, 1]], axis=1)
    position = np.clip(np.interp(np.log(camera.wavelength), NODES, [0.0, 1.0, 2.0]), 0, 2)
    lower = np.minimum(position.astype(int), 1)
    in_band = g_r_z[:, lower] * (1 - (position - lower)) + g_r_z[:, lower + 1] * (position - lower)
    return 10 ** (0.4 * (22.5 - in_band))


def _shapes(magnitude: np.ndarray, colours: np.ndarray, is_star: np.ndarray, rng: np.random.Generator):
    """Half-light radius (arcsec) and kind of each object; median radius 1.2" at r = 20 and 0.45" at r = 24."""
    median = 1.2 * 10 ** (-0.106 * (magnitude - 20))
    radius = np.clip(median * 10 ** rng.normal(0, 0.18, len(magnitude)), 0.1, 10.0)
    early = rng.random(len(magnitude)) < np.where(colours[:, 0] > 0.9, 0.6, 0.05)
    kind = np.where(is_star, STAR, np.where(early, BULGE, DISC))
    return np.where(is_star, 0.0, radius), kind


def paint(images: np.ndarray, objects: Objects, sky: Conditions, camera: Camera) -> None:
    """Add `objects` to `images` in place, each on a stamp that ends where its light sinks into the noise."""
    if not len(objects):
        return
    sizes = STAMP_SIZES[np.minimum(np.searchsorted(STAMP_SIZES, _extent(objects, sky, camera)), len(STAMP_SIZES) - 1)]
    # the order in which stamps are added is fixed: sums of floats depend on it
    for size in np.unique(sizes):
        for kind in (STAR, DISC, BULGE):
            same = np.flatnonzero((sizes == size) & (objects.kind == kind))
            batch = max(1, min(CHUNK, CHUNK * 48**2 // size**2))
            for start in range(0, len(same), batch):
                _paint_stamps(images, objects[same[start : start + batch]], int(size), sky, camera)


def _extent(objects: Objects, sky: Conditions, camera: Camera) -> np.ndarray:
    """Pixels a side of a stamp that holds each object down to VISIBLE in its best band."""
    scale = moffat_scale(sky.fwhm[objects.cutout], camera.moffat_beta)
    contrast = objects.flux / sky.sky_sigma[objects.cutout] * camera.pixel_scale**2 / VISIBLE
    beta = camera.moffat_beta
    core = contrast * (beta - 1) / (math.pi * scale**2)
    star = (scale * np.sqrt(np.maximum(core, 1) ** (1 / beta) - 1)).max(axis=1)

    radius = np.maximum(objects.radius, 0.05)
    area = radius**2 * objects.axis_ratio
    best = contrast.max(axis=1)
    disc = radius * DISC_SCALE * np.log(np.maximum(best / (2 * math.pi * DISC_SCALE**2 * area), 1))
    # I(r) = I_e exp(-7.67 ((r/r_e)^(1/4) - 1)), total 22.66 q r_e^2 I_e
    bulge = radius * np.maximum(1 + np.log(best / (22.66 * area)) / 7.67, 0) ** 4
    profile = np.select([objects.kind == DISC, objects.kind == BULGE], [disc, bulge], 0.0)
    return 2 * (np.maximum(star, profile) + 0.5 * scale.max(axis=1)) / camera.pixel_scale


def _paint_stamps(images: np.ndarray, objects: Objects, size: int, sky: Conditions, camera: Camera) -> None:
    grid = plane(size, camera.pixel_scale, k_max(min(camera.fwhm), camera.moffat_beta))
    middle = size // 2
    # split each position into a whole pixel, which moves the stamp, and a rest, which moves the profile
    column = (camera.size - 1) / 2 + objects.x / camera.pixel_scale
    row = (camera.size - 1) / 2 + objects.y / camera.pixel_scale
    corner_x, corner_y = np.rint(column).astype(int) - middle, np.rint(row).astype(int) - middle
    rows, columns = grid.phases((column - corner_x) * camera.pixel_scale, (row - corner_y) * camera.pixel_scale)
    light = rows * columns
    if objects.kind[0] != STAR:
        table = sersic(1.0 if objects.kind[0] == DISC else 4.0)
        light *= grid.transform(table, objects.radius, objects.axis_ratio, objects.angle)
    transform = np.empty((len(objects), images.shape[1], *light.shape[1:]), np.complex64)
    for band in range(images.shape[1]):
        psf = grid.psf(sky.fwhm[objects.cutout, band], camera.moffat_beta)
        psf *= objects.flux[:, band, None, None].astype(np.float32)
        np.multiply(light, psf, out=transform[:, band])
    stamps = grid.image(transform, size)
    for stamp, cutout, x, y in zip(stamps, objects.cutout, corner_x, corner_y, strict=True):
        left, low = max(x, 0), max(y, 0)
        right, high = min(x + size, camera.size), min(y + size, camera.size)
        if left < right and low < high:
            images[cutout, :, low:high, left:right] += stamp[:, low - y : high - y, left - x : right - x]
