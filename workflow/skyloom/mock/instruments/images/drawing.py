"""Galaxies drawn in batches in Fourier space: disc, bulge, bar, dust, knots and an unresolved nucleus under the PSF.

See profiles.py and fourier.py; GalSim is the oracle in the tests.
"""

import functools
import math
from collections.abc import Iterator

import numpy as np
from scipy.special import j1
from threadpoolctl import threadpool_limits

from skyloom.mock.instruments.images.camera import Camera, Conditions, in_bands
from skyloom.mock.instruments.images.fourier import Plane, k_max, plane
from skyloom.mock.instruments.images.profiles import sersic
from skyloom.mock.instruments.images.structure import DISC_SCALE, Knots, bar_share
from skyloom.mock.universe.population import dust_layer

CHUNK = 4  # galaxies a batch: the working set stays in the processor's cache
FIBRE_RADIUS = 0.75  # arcsec
FIBRE_SEEING = 1.0 / 2.3548  # sigma of the Gaussian seeing that fibre fluxes are quoted for, arcsec
FIBRE_POINT = 1 - math.exp(-0.5 * (FIBRE_RADIUS / FIBRE_SEEING) ** 2)  # share of a point source's light in the fibre
PLANE_SIZES = (64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024)
BULGE_NODES = (4770.0, 6420.0, 9140.0)  # Angstrom, where bulge_fraction is known
SHAPE = (
    *("r_disk", "r_bulge", "q_disk", "q_bulge", "angle", "angle_bulge", "bulge_fraction", "dust_layer"),
    *("bar_fraction", "r_bar", "q_bar", "angle_bar"),
)


def draw_galaxies(
    galaxies: dict,
    flux: np.ndarray,
    sky: Conditions,
    camera: Camera,
    *,
    point_flux: np.ndarray | None = None,
    knots: Knots | None = None,
    offset: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Noiseless images, integrated over the pixels, of galaxies under a Moffat PSF.

    A galaxy is an exponential disc, a de Vaucouleurs bulge, a bar (a Gaussian: Sersic indices of bars are about 0.5 to
    1, Gadotti 2011, MNRAS 415, 3308), Gaussian knots and a point; a layer of dust takes light of the disc.

    Parameters
    ----------
    galaxies : (n,) arrays, see `images.draw_scene` (clumpiness, arms and positions on the sky are not used).
    flux : (n, bands) nanomaggy, all light.
    sky : conditions at the n galaxies, of which the PSF is used.
    point_flux : (n, bands) the part of `flux` that comes from an unresolved nucleus; None for 0.
    knots : arms and clumps that carry part of the disc's light; None for smooth discs.
    offset : (n, 2) of the galaxy from the cutout's centre, x then y, arcsec; None for 0.

    Returns
    -------
    images : (n, bands, size, size) float32.
    fibre_fraction : (n, bands) float64, share of the light, but for the nucleus, in a centred aperture of 1.5 arcsec
        under Gaussian seeing of 1 arcsec, as in the fibre fluxes of the Legacy Surveys; the nucleus's is FIBRE_POINT.
    """
    count, bands = flux.shape
    images = np.empty((count, bands, camera.size, camera.size), np.float32)
    fibre_fraction = np.empty((count, bands))
    offset = np.zeros((count, 2)) if offset is None else offset
    point_flux = np.zeros_like(flux) if point_flux is None else point_flux
    # One thread: the sums inside a matrix product must not depend on how many cores there are.
    with threadpool_limits(1, user_api="blas"):
        for rows, grid, *light in _batches(galaxies, knots, camera):
            parts, beside, share = light
            fibre_fraction[rows] = _fibre_fraction(*light, grid, camera)
            amount = share * (flux - point_flux)[rows, :, None]
            transform = _convolve(parts, beside, amount, point_flux[rows], sky[rows], offset[rows], grid, camera)
            images[rows] = grid.image(transform, camera.size)
    return images, fibre_fraction


def fibre_fractions(galaxies: dict, camera: Camera, knots: Knots | None = None) -> np.ndarray:
    """What `draw_galaxies` says of fibres in a camera's bands, (n, bands), without images."""
    found = np.empty((len(galaxies["r_disk"]), len(camera.bands)))
    with threadpool_limits(1, user_api="blas"):
        for rows, grid, *light in _batches(galaxies, knots, camera):
            found[rows] = _fibre_fraction(*light, grid, camera)
    return found


def _batches(galaxies: dict, knots: Knots | None, camera: Camera) -> Iterator[tuple]:
    """Galaxies that share a plane, a few at a time: rows, plane, transforms of their components and of what lies beside
    the middle, and shares of the light."""
    size = _plane_size(galaxies, camera)
    for value in np.unique(size):
        grid = plane(int(value), camera.pixel_scale, _cut(camera))
        same = np.flatnonzero(size == value)
        batch = max(1, CHUNK * 192**2 // int(value) ** 2)
        for start in range(0, len(same), batch):
            rows = same[start : start + batch]
            shape = {name: galaxies[name][rows] for name in SHAPE}
            some = knots and knots[rows]
            yield rows, grid, _components(shape, grid), _beside(shape, some, grid), _shares(shape, some, camera)


def _cut(camera: Camera) -> float:
    """Wavenumber, rad / arcsec, beyond which a camera sees nothing."""
    return k_max(min(camera.fwhm), camera.moffat_beta)


def _plane_size(galaxies: dict, camera: Camera) -> np.ndarray:
    """Pixels of the periodic plane for each galaxy, so that the next period's copy is faint inside the cutout.

    Six and a half scale lengths leave 0.15 % of a disc's central brightness. The largest plane serves what is larger.
    """
    disc = 6.5 * DISC_SCALE * galaxies["r_disk"]
    bulge = 3.5 * galaxies["r_bulge"] * (galaxies["bulge_fraction"].max(axis=1) > 0)
    needed = camera.size / 2 + np.maximum(disc, bulge) / camera.pixel_scale
    sizes = np.array([s for s in PLANE_SIZES if s >= camera.size] or [camera.size])
    return sizes[np.minimum(np.searchsorted(sizes, needed), len(sizes) - 1)]


def _components(shape: dict, grid: Plane) -> np.ndarray:
    """Transforms of bulge, disc and bar, each of unit flux: (n, 3, rows, columns); 0 for bars that are not there."""
    parts = np.zeros((len(shape["angle"]), 3, len(grid.ky), len(grid.kx)), np.float32)
    parts[:, 0] = grid.transform(sersic(4.0), shape["r_bulge"], shape["q_bulge"], shape["angle_bulge"])
    parts[:, 1] = grid.transform(sersic(1.0), shape["r_disk"], shape["q_disk"], shape["angle"])
    if len(barred := np.flatnonzero(shape["bar_fraction"] > 0)):
        bar = (shape[name][barred] for name in ("r_bar", "q_bar", "angle_bar"))
        parts[barred, 2] = grid.transform(sersic(0.5), *bar)
    return parts


def _beside(shape: dict, knots: Knots | None, grid: Plane) -> np.ndarray:
    """Transforms of what does not lie in the middle, each of unit flux, (n, 1 or 2, rows, columns) complex64: the light
    that dust hides, and all knots of a galaxy together."""
    found = np.zeros((len(shape["angle"]), 1 if knots is None else 2, len(grid.ky), len(grid.kx)), np.complex64)
    if len(dusty := np.flatnonzero(shape["dust_layer"][:, 1] > 0)):
        some = {name: shape[name][dusty] for name in ("r_disk", "q_disk", "angle", "dust_layer")}
        ratio, aside = dust_layer.tilt(some["q_disk"])
        radius, aside = some["r_disk"] * dust_layer.scale(some["dust_layer"][:, 1]), aside * DISC_SCALE * some["r_disk"]
        # x runs to the west, angles from north to east: left of the major axis is east of north
        place = grid.moved(-aside * np.cos(some["angle"]), -aside * np.sin(some["angle"]))
        found[dusty, 0] = grid.transform(sersic(1.0), radius, ratio, some["angle"]) * place
    if knots is not None:
        # a Gaussian and a shift are both products of a function of kx and one of ky: a sum is a matrix product
        rows, columns = grid.knots(knots.x, knots.y, knots.sigma)
        found[:, 1] = np.matmul(rows * knots.weight.astype(np.float32)[:, None, :], columns)
    return found


def _shares(shape: dict, knots: Knots | None, camera: Camera) -> np.ndarray:
    """Share of the light in bulge, disc, bar, what dust hides (negative) and knots: (n, bands, 5), sums to 1."""
    bulge = in_bands(shape["bulge_fraction"], BULGE_NODES, camera)
    bar = (1 - bulge) * bar_share(shape["bar_fraction"], camera.wavelength)
    disc = 1 - bulge - bar
    lumps = disc * (0 if knots is None else knots.share(camera.wavelength))
    hidden = in_bands(shape["dust_layer"], BULGE_NODES, camera)
    hidden = disc * hidden / (1 - hidden)
    return np.stack([bulge, disc - lumps + hidden, bar, -hidden, lumps], axis=-1)


def _convolve(parts, beside, amount, point_flux, sky: Conditions, offset, grid: Plane, camera: Camera) -> np.ndarray:
    """Transforms (n, bands, rows, columns) of the components times `amount` (n, bands, 5), under each band's PSF."""
    centre = (camera.size - 1) / 2 * camera.pixel_scale
    place = grid.places(centre + offset[:, 0], centre + offset[:, 1], sky.anisotropy)
    amount = amount.astype(np.float32)
    n, bands = point_flux.shape
    light = np.matmul(amount[..., :3], parts.reshape(n, 3, -1)).reshape(n, bands, *place.shape[1:])
    light += point_flux.astype(np.float32)[..., None, None]
    total = light * place[:, None]
    for kind in range(beside.shape[1]):
        placed = beside[:, kind] * place
        for band in range(bands):
            total[:, band] += amount[:, band, 3 + kind, None, None] * placed
    total *= grid.psf(sky.fwhm, camera.moffat_beta)
    return total


def _fibre_fraction(parts, beside, share, grid: Plane, camera: Camera) -> np.ndarray:
    """Share of the light (n, bands) within a centred 1.5 arcsec aperture under 1 arcsec Gaussian seeing."""
    aperture = _aperture(grid.size, camera.pixel_scale, _cut(camera))
    caught = [np.einsum("nprc,rc->np", x, aperture) for x in (parts, beside.real)]
    caught = np.concatenate(caught, axis=1)
    return np.einsum("nbp,np->nb", share[..., : caught.shape[1]], caught)


@functools.lru_cache(maxsize=64)
def _aperture(size: int, pixel_scale: float, cut: float) -> np.ndarray:
    """Weights (rows, columns) with which transforms on a plane add up to the light in the fibre."""
    grid = plane(size, pixel_scale, cut)
    return grid.weights() * _fibre_transform(grid.ky, grid.kx)


def _fibre_transform(ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
    """Transform (rows, columns) of the fibre's aperture, arcsec^2, times that of the seeing."""
    k = np.hypot(ky[:, None], kx).astype(float)
    argument = np.maximum(k * FIBRE_RADIUS, 1e-9)
    return 2 * np.pi * FIBRE_RADIUS**2 * j1(argument) / argument * np.exp(-0.5 * (k * FIBRE_SEEING) ** 2)
