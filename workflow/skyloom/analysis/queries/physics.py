"""Do the numbers that a model gives belong to one galaxy?

Checks that need no other model. A history must have formed the stars that are there: the mass formed, less the
share that dying stars gave back, is the stellar mass. A spectrum, moved to the redshift and seen through the filters,
must give the magnitudes. The same sums of the true galaxy stand beside them: they miss by the width of the bins, by gas
between the galaxies, and by the noise of magnitudes. Galaxies that are drawn must pass too: a history and the mass that
was drawn with it belong together more closely than with the mass of another draw, and histories are as smooth as true
ones.
"""

import functools

import numpy as np
from astropy import units as u
from astropy.cosmology import Planck18
from speclite.filters import load_filters

from skyloom.mock.universe.light.photometry import LSST_FILTERS

AB_ZERO = 8.9
"""mag: -2.5 log10 of 1 Jy, AB."""


def log_formed(history: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """log10 of the mass (N,), Msun, that a history (N, B), log10 Msun/yr in bins of `edges` (B+1,) Gyr, forms."""
    rate = 10.0 ** np.asarray(history, float)
    return np.log10((rate * np.diff(edges) * 1e9).sum(axis=1))


def roughness(history: np.ndarray) -> np.ndarray:
    """Mean absolute difference (...), dex, of neighbouring bins of histories (..., B)."""
    return np.abs(np.diff(history, axis=-1)).mean(axis=-1)


def apart(values: np.ndarray) -> np.ndarray:
    """Draws (N, samples, ...) in another order: what was drawn with them is now of another galaxy that could be."""
    return np.roll(values, 1, axis=1)


def magnitudes(sed: np.ndarray, edges: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """LSST magnitudes (N, 6) of spectra (N, B), log10 Jy at 10 pc at rest in bins of `edges` (B+1,) Angstrom.

    A filter counts photons: the mean of F_nu over its response, weighted by 1 / lambda. NaN where the filter looks
    beyond the spectrum.
    """
    centre = np.sqrt(edges[1:] * edges[:-1])
    modulus = Planck18.distmod(np.maximum(redshift, 1e-4)).to_value(u.mag)
    jansky = 10.0 ** np.asarray(sed, float)
    found = np.empty((len(sed), len(LSST_FILTERS)))
    for number, (wavelength, weight) in enumerate(_responses()):
        for row in range(len(sed)):
            rest = wavelength / (1 + redshift[row])
            flux = np.interp(rest, centre, jansky[row], left=np.nan, right=np.nan)
            found[row, number] = AB_ZERO - 2.5 * np.log10(np.sum(flux * weight))
    # F_nu(nu) is (1 + z) larger than the flux at 10 pc dimmed by the distance modulus
    return found + modulus[:, None] - 2.5 * np.log10(1 + redshift)[:, None]


@functools.lru_cache(maxsize=1)
def _responses() -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for response in load_filters(*LSST_FILTERS):
        wavelength = np.linspace(response.wavelength[0], response.wavelength[-1], 80)
        weight = response(wavelength) / wavelength
        found.append((wavelength, weight / weight.sum()))
    return found


def light_residual(sed: np.ndarray, redshift: np.ndarray, edges: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """By how much (N, 6), mag, a spectrum at a redshift misses magnitudes (N, 6)."""
    return magnitudes(sed, edges, redshift) - seen
