"""What the sky and the detector do to noiseless images."""

import numpy as np

from skyloom.mock.instruments.images.camera import Camera, Conditions, neighbour_weight


def expose(images: np.ndarray, sky: Conditions, camera: Camera, rng: np.random.Generator) -> None:
    """Add what the sky and the detector do to noiseless `images` (n, bands, size, size), in place."""
    sky_flux = 10 ** (0.4 * (22.5 - np.asarray(camera.sky))) * camera.pixel_scale**2
    sigma = sky.sky_sigma.astype(np.float32)[..., None, None]
    # photons of the source on top of those of the sky
    spread = images * (1 / sky_flux).astype(np.float32)[:, None, None]
    spread += 1
    np.sqrt(np.maximum(spread, 0, out=spread), out=spread)
    spread *= sigma
    images *= sky.zero_point.astype(np.float32)[..., None, None]
    spread *= _correlated_noise(images.shape, camera.correlation, rng)
    images += spread
    # the sky level is known to a few hundredths of a pixel's noise
    images += sigma * 0.03 * rng.standard_normal(sigma.shape, np.float32)


def _correlated_noise(shape: tuple[int, ...], correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of variance 1 in which adjacent pixels have the given correlation (at most 0.7)."""
    *stack, height, width = shape
    noise = rng.standard_normal((*stack, height + 2, width + 2), np.float32)
    a = np.float32(neighbour_weight(correlation))
    rows = noise[..., :-2, :] + noise[..., 2:, :]
    rows *= a
    rows += noise[..., 1:-1, :]
    both = rows[..., :-2] + rows[..., 2:]
    both *= a
    both += rows[..., 1:-1]
    both *= 1 / (1 + 2 * a**2)
    return both
