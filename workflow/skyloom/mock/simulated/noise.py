"""Magnitudes that are finite whatever the flux, and the noise of LSST and SPHEREx at the end of their surveys.

Without noise: AB magnitudes, at most FAINTEST. With noise: asinh magnitudes (Lupton, Gunn & Szalay 1999, AJ 118, 1406),
equal to AB magnitudes where a source is detected and finite where its measured flux is zero or negative. Their
softening is the noise of an empty place, so that every measured flux can be had back (`flux_of`).
"""

import numpy as np

FAINTEST = 35.0  # mag: nothing has been seen in this filter, and nothing will be
# Point-source 5 sigma depths of the ten-year LSST, u to y (Ivezic et al. 2019, ApJ 873, 111, table 2) and the gamma of
# their equation 5 (table 2 too): how noise grows as sources become brighter than the sky
LSST_DEPTH = np.array([26.1, 27.4, 27.5, 26.8, 26.1, 24.9])
LSST_GAMMA = np.array([0.038, 0.039, 0.039, 0.039, 0.039, 0.039])
LSST_SYSTEMATIC = 0.005  # mag
# Point-source 5 sigma depths of the two-year all-sky survey of SPHEREx, middle of each detector, to .3 mag at its ends
# (SPHEREx public products, point source sensitivity, baseline of v28; Crill et al. 2020, SPIE 11443, 114430I)
SPHEREX_DEPTH = np.repeat([19.5, 19.5, 19.6, 19.8, 18.7, 18.1], 17)
SPHEREX_SYSTEMATIC = 0.005  # mag; the requirement on relative gain, Crill et al. 2020
_POGSON = 2.5 / np.log(10)


def nanomaggy(magnitude: np.ndarray) -> np.ndarray:
    """Flux of an AB magnitude."""
    return 10 ** (0.4 * (22.5 - np.asarray(magnitude, float)))


def ab_magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes of fluxes in nanomaggy, at most FAINTEST."""
    return 22.5 - 2.5 * np.log10(np.maximum(flux, nanomaggy(FAINTEST)))


def lsst_sigma(flux: np.ndarray) -> np.ndarray:
    """Standard error (n, 6), nanomaggy, of LSST fluxes: equations 4 and 5 of Ivezic et al. 2019."""
    limit = nanomaggy(LSST_DEPTH)
    random = np.maximum((0.04 - LSST_GAMMA) * flux * limit, 0) + LSST_GAMMA * limit**2
    return np.sqrt(random + (LSST_SYSTEMATIC / _POGSON * flux) ** 2)


def spherex_sigma(flux: np.ndarray) -> np.ndarray:
    """Standard error (n, 102), nanomaggy: zodiacal light and detector, the same for all but bright sources."""
    return np.hypot(nanomaggy(SPHEREX_DEPTH) / 5, SPHEREX_SYSTEMATIC / _POGSON * flux)


def observe(flux: np.ndarray, sigma, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Asinh magnitudes (n, K) of fluxes (nanomaggy) with noise, and their standard errors.

    `sigma` is `lsst_sigma` or `spherex_sigma`; the errors are those at the measured flux, as a survey would state them.
    """
    softening = sigma(np.zeros(flux.shape[1:]))
    seen = flux + sigma(flux) * rng.standard_normal(flux.shape)
    error = _POGSON * sigma(np.maximum(seen, 0)) / np.hypot(seen, 2 * softening)
    return asinh_magnitude(seen, softening), error


def asinh_magnitude(flux: np.ndarray, softening: np.ndarray) -> np.ndarray:
    """22.5 - 2.5 log10(e) (asinh(flux / 2b) + ln b), flux and softening b in nanomaggy."""
    return 22.5 - _POGSON * (np.arcsinh(flux / (2 * softening)) + np.log(softening))


def flux_of(magnitude: np.ndarray, softening: np.ndarray) -> np.ndarray:
    """The flux (nanomaggy) that `asinh_magnitude` was given."""
    return 2 * softening * np.sinh((22.5 - magnitude) / _POGSON - np.log(softening))
