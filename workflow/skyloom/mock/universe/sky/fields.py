"""Smooth random fields on the sphere, that no map stores."""

import zlib

import numpy as np


def smooth_field(ra: np.ndarray, dec: np.ndarray, name: str, seed: int, scale: float) -> np.ndarray:
    """Gaussian random field on the sphere with mean 0 and variance 1: the same number wherever and whenever asked.

    A sum of plane waves through the sphere, so that it needs no map, has no seams, and tiles need not know each other.

    Parameters
    ----------
    ra, dec : (n,) degrees.
    name, seed : which field.
    scale : typical wavelength, degrees.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    direction = rng.normal(size=(32, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    waves = direction * (360.0 / scale) * rng.uniform(0.5, 1.5, (32, 1))
    phase = rng.uniform(0, 2 * np.pi, 32)

    ra, dec = np.radians(ra), np.radians(dec)
    vector = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    # one wave after the other: the order of the sum, and so its last bit, must not depend on how many points are asked
    total = np.zeros(np.shape(ra))
    for (kx, ky, kz), start in zip(waves, phase, strict=True):
        total += np.cos(kx * vector[0] + ky * vector[1] + kz * vector[2] + start)
    return total * np.sqrt(2 / len(phase))
