"""Small pictures of simulated galaxies as the ten-year coadd of LSST shows them: one more modality of numbers."""

import numpy as np

from skyloom.mock.instruments.images.camera import Camera, conditions
from skyloom.mock.instruments.images.images import IMAGE_FIELDS, draw_scene, render
from skyloom.mock.universe.population.population import Population

# Ivezic et al. 2019 (ApJ 873, 111), table 2: pixels, effective seeing, sky and ten-year depth in g, r, i
LSST = Camera(
    name="lsst",
    bands=("g", "r", "i"),
    wavelength=(4830.0, 6220.0, 7550.0),
    pixel_scale=0.2,
    size=24,
    fwhm=(0.87, 0.83, 0.80),
    depth=(27.4, 27.5, 26.8),
    sky=(22.26, 21.20, 20.48),
)
TILE = 8
"""Pixels a side of a tile: the numbers of a picture lie tile by tile, (3, 3, bands, TILE, TILE) flattened, so that
a run of TILE * TILE * bands of them is a piece of the sky."""
SIZE = LSST.size**2 * len(LSST.bands)


def pictures(
    galaxies: Population, ra: np.ndarray, dec: np.ndarray, flux: np.ndarray, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Pictures (N, SIZE) float32: asinh of a pixel's flux over its sky noise, tile by tile.

    Always with sky, noise and neighbours, whatever the magnitudes have. A nucleus shines with the disc.

    Parameters
    ----------
    ra, dec : degrees
    flux : (N, 6) nanomaggy in u, g, r, i, z, y, without noise
    seed : of what varies smoothly over the sky
    rng : of all else
    """
    shape = {name: getattr(galaxies, name) for name in IMAGE_FIELDS}
    config = {"seed": seed, "artefact_rate": 0.0, "neighbours": 1.0}
    scene = draw_scene({**shape, "ra": ra, "dec": dec, "flux": flux[:, 1:6]}, rng, config)
    images, _ = render(scene, flux[:, 1:4], LSST, rng, config)
    noise = conditions(ra, dec, LSST, seed).sky_sigma
    return tiled(np.arcsinh(images / noise[:, :, None, None]))


def tiled(images: np.ndarray) -> np.ndarray:
    """(N, bands, size, size) -> (N, SIZE) float32, tile by tile."""
    n, bands, size, _ = images.shape
    parts = images.reshape(n, bands, size // TILE, TILE, size // TILE, TILE)
    return parts.transpose(0, 2, 4, 1, 3, 5).reshape(n, -1).astype(np.float32)


def untiled(numbers: np.ndarray) -> np.ndarray:
    """The inverse of `tiled`: (N, SIZE) -> (N, bands, size, size)."""
    side = LSST.size // TILE
    parts = numbers.reshape(len(numbers), side, side, len(LSST.bands), TILE, TILE)
    return parts.transpose(0, 3, 1, 4, 2, 5).reshape(len(numbers), len(LSST.bands), LSST.size, LSST.size)
