"""The DESI spectrographs: what a fibre, three arms, photon noise and a detector make of a noiseless spectrum.

Numbers and where they come from
- Mirror area 8.66 m2, fibre diameter 1.5 arcsec (DESI Collaboration 2022, AJ 164, 207).
- Line spread: Gaussian, sigma .68 (b), .64 (r), .72 (z) Angstrom, as in the RESOLUTION of released coadds.
- THROUGHPUT: photons at the telescope that become electrons (atmosphere, optics, fibre run, spectrograph).
  TELLURIC: what the bands of O2 and H2O let pass. CONTINUUM: the dark sky between the airglow lines, which are those of
  desispec (data/spec-sky.dat, 0.1 Angstrom, vacuum). All three are set so that the ivar of faint targets in released
  coadds comes out for their effective exposure times (12.15 TSNR2_LRG seconds; Guy et al. 2023, AJ 165, 144).
- Exposure times are therefore effective ones, under dark nominal conditions: about 180 s and 1000 s in DESI's programs.
- Fluxes are calibrated on stars, so a galaxy's is its flux in the fibre over the share of a star's light in a fibre.
"""

import os
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from skyloom.core.errors import BadInput
from skyloom.formats.desi import ARMS, NDIAG, STEP, arm_wavelength
from skyloom.mock.instruments.spectrograph.residuals import calibration_error, sky_residual
from skyloom.mock.universe.light.wavelengths import OBSERVED

AREA = 8.66e4  # cm2
FIBRE_AREA = np.pi * 0.75**2  # arcsec2
PSF_TO_FIBRE = 0.78  # share of a star's light in a fibre
HC = 1.98644586e-8  # erg Angstrom
LINE_SPREAD = {"b": 0.675, "r": 0.64, "z": 0.72}  # sigma, Angstrom
SMOOTHING = 2.0  # pixels, sigma: over how many the photons of an object are estimated
READ_VARIANCE = 45.0  # electrons^2 in an extracted pixel of one exposure: 5 CCD pixels of 3 electrons
CONTINUUM = {
    7000.0: 0.95,
    8200.0: 0.62,
}  # Angstrom -> 1e-17 erg/s/cm2/Angstrom/arcsec2, of the sky between airglow lines
THROUGHPUT = {  # Angstrom -> share
    "b": {
        3600: 0.018, 3700: 0.035, 3800: 0.055, 3900: 0.072, 4000: 0.088, 4400: 0.122, 4700: 0.14, 5000: 0.17,
        5600: 0.18, 5720: 0.153, 5800: 0.072,
    },
    "r": {
        5760: 0.088, 5800: 0.145, 5820: 0.19, 6000: 0.22, 6560: 0.28, 7000: 0.31, 7300: 0.30, 7450: 0.295, 7500: 0.24,
        7580: 0.12, 7600: 0.05, 7620: 0.03,
    },
    "z": {7520: 0.10, 7620: 0.25, 7800: 0.32, 8300: 0.36, 9000: 0.345, 9250: 0.33, 9400: 0.285, 9824: 0.165},
}  # fmt: skip
# Angstrom -> share of a target's light that passes the bands of O2 and H2O, at DESI's resolution
TELLURIC = {
    6862: 1.0, 6870: 0.85, 6885: 0.95, 6905: 1.0, 7594: 1.0, 7598: 0.5, 7606: 0.28, 7613: 0.55, 7621: 0.69, 7630: 0.62,
    7642: 0.74, 7652: 0.89, 7665: 1.0, 8120: 1.0, 8180: 0.93, 8250: 1.0, 9285: 1.0, 9310: 0.82, 9335: 0.78, 9356: 0.62,
    9380: 0.88, 9405: 0.85, 9430: 0.73, 9480: 0.77, 9550: 0.86, 9620: 0.93, 9700: 1.0,
}  # fmt: skip
EXPOSURES = {"bright": 200.0, "dark": 1000.0}  # effective seconds by program
BADPIX, LOWFLAT = 1, 8  # bits of desispec.maskbits.specmask: SOMEBADPIX is what cosmic rays leave in released coadds
COSMICS = {"b": 0.5, "r": 2.5, "z": 3.5}  # a spectrum in 1000 s (sv3-dark-26065: 0, 4 and 5 in 1009 s)
BAD_STRETCH_RATE = 0.02  # spectra with a stretch of low sensitivity, per arm


@dataclass
class Observation:
    """Arms of N spectra: dicts b, r, z of (N, n_arm).

    `truth` is what `flux` would be without noise, cosmic rays and what is left of the sky: it has the line spread and
    the errors of the flux calibration.
    """

    flux: dict[str, np.ndarray]
    ivar: dict[str, np.ndarray]
    mask: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]


def load_sky(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Sky surface brightness on each arm's pixels, 1e-17 erg/s/cm2/Angstrom/arcsec2, from desispec's spec-sky.dat.

    Raises BadInput if the file is not two columns (wavelength, lines) that cover the arms.
    """
    try:
        wavelength, lines = np.loadtxt(path).T
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: expected two columns, Angstrom and flux (desispec's spec-sky.dat): {error}") from error
    if wavelength[0] > 3590 or wavelength[-1] < 9830:
        raise BadInput(f"{path}: runs {wavelength[0]:.0f}..{wavelength[-1]:.0f} Angstrom, expected 3600..9824")
    fine = wavelength[1] - wavelength[0]
    sky = {}
    for arm in ARMS:
        spread = gaussian_filter1d(lines, LINE_SPREAD[arm] / fine, truncate=6)
        # mean over each pixel, from the integral: exact wherever the pixel's edges fall
        total = np.append(0, np.cumsum(spread) * fine)
        edges = np.append(arm_wavelength(arm) - STEP / 2, arm_wavelength(arm)[-1] + STEP / 2)
        bounds = np.append(wavelength - fine / 2, wavelength[-1] + fine / 2)
        sky[arm] = dark_continuum(arm) + np.diff(np.interp(edges, bounds, total)) / STEP
    return sky


def dark_continuum(arm: str) -> np.ndarray:
    """The sky (n_arm,) between airglow lines, 1e-17 erg/s/cm2/Angstrom/arcsec2."""
    return np.interp(arm_wavelength(arm), list(CONTINUUM), list(CONTINUUM.values()))


def resolution(arm: str) -> np.ndarray:
    """Diagonals (11, n_arm) f4 of the arm's resolution matrix, as desispec stores them (offsets 5 to -5, by column)."""
    offsets = np.arange(NDIAG // 2, -NDIAG // 2, -1)
    share = np.diff(ndtr(np.stack([-offsets - 0.5, -offsets + 0.5]) * STEP / LINE_SPREAD[arm]), axis=0)[0]
    return np.repeat((share / share.sum())[:, None], ARMS[arm][1], axis=1).astype("f4")


def observe(
    flux: np.ndarray, fibre_fraction: np.ndarray, exposure: float, sky: dict[str, np.ndarray], rng: np.random.Generator
) -> Observation:
    """Observe noiseless spectra once.

    Parameters
    ----------
    flux : (N, 9626) on OBSERVED, 1e-17 erg/s/cm2/Angstrom, all light of each galaxy
    fibre_fraction : (N,) share of it that enters the fibre
    exposure : effective time under dark nominal conditions, s
    sky : from `load_sky`

    Returns
    -------
    Observation
        (flux - truth) sqrt(ivar) has mean 0 and variance 1 wherever mask is 0, to a few per cent as the ivar is made
        from the noisy spectrum, with correlations between pixels on airglow lines (residuals.py); masked pixels have
        ivar 0.
    """
    caught = flux * (np.asarray(fibre_fraction) / PSF_TO_FIBRE)[:, None].astype("f4")
    observation = Observation({}, {}, {}, {})
    for arm in ARMS:
        truth = line_spread(caught, arm)
        truth *= calibration_error(len(truth), arm, rng)
        electrons = electrons_per_flux(arm, exposure)
        scale = PSF_TO_FIBRE * electrons * telluric(arm)
        residual, residual_variance = sky_residual(len(truth), FIBRE_AREA * sky[arm] * electrons / scale, arm, rng)
        # photons of object and sky are many, or few against the detector's noise: a normal distribution serves both
        background = FIBRE_AREA * sky[arm] * electrons + READ_VARIANCE
        variance = np.maximum(truth, 0) / scale.astype("f4")
        variance += (background / scale**2).astype("f4")
        noisy = rng.standard_normal(truth.shape, dtype="f4")
        noisy *= np.sqrt(variance)
        noisy += truth
        noisy += residual
        mask, hits = _defects(truth.shape, COSMICS[arm] * exposure / 1000.0, rng)
        # what a pipeline knows of the object's photons is what it has seen, noise and all
        seen = gaussian_filter1d(noisy, SMOOTHING, axis=1)
        seen = np.where(noisy > seen + 5 * np.sqrt(variance), noisy, seen)
        ivar = 1 / (np.maximum(seen, 0) / scale.astype("f4") + (background / scale**2).astype("f4") + residual_variance)
        row, pixel = np.nonzero(mask)
        noisy[row, pixel] += hits[row, pixel] * np.sqrt(variance[row, pixel])
        ivar[row, pixel] = 0
        observation.truth[arm] = truth
        observation.flux[arm] = noisy
        observation.ivar[arm] = ivar
        observation.mask[arm] = mask
    return observation


def line_spread(flux: np.ndarray, arm: str) -> np.ndarray:
    """Spectra (N, 9626) on OBSERVED, convolved with the arm's line spread, at the arm's pixels (N, n_arm)."""
    start, npix = ARMS[arm]
    first = round((start - OBSERVED[0]) / STEP)
    half = NDIAG // 2
    kernel = resolution(arm)[:, 0]
    seen = kernel[half] * flux[:, first : first + npix]
    for k in range(1, half + 1):
        # the line spread is symmetric
        seen += kernel[half - k] * (flux[:, first + k : first + k + npix] + flux[:, first - k : first - k + npix])
    return seen


def electrons_per_flux(arm: str, exposure: float) -> np.ndarray:
    """Electrons (n_arm,) in a pixel for each 1e-17 erg/s/cm2/Angstrom that enters the fibre during `exposure` (s)."""
    wavelength = arm_wavelength(arm)
    throughput = np.interp(wavelength, list(THROUGHPUT[arm]), list(THROUGHPUT[arm].values()))
    return 1e-17 * STEP * AREA * exposure * throughput * wavelength / HC


def telluric(arm: str) -> np.ndarray:
    """Share (n_arm,) of a target's light that passes the molecular bands of the atmosphere."""
    return np.interp(arm_wavelength(arm), list(TELLURIC), list(TELLURIC.values()))


def _defects(shape, rate, rng):
    """Mask (N, n) i4 and what cosmic rays add, in sigmas: hits of a few pixels, and stretches of low sensitivity."""
    mask, hits = np.zeros(shape, "i4"), np.zeros(shape, "f4")
    count, npix = shape
    total = rng.poisson(rate * count)
    row, pixel, length = rng.integers(0, count, total), rng.integers(0, npix - 8, total), rng.integers(2, 7, total)
    strength = 10 ** rng.uniform(0.8, 2.5, total)
    for i in range(total):
        mask[row[i], pixel[i] : pixel[i] + length[i]] |= BADPIX
        hits[row[i], pixel[i] : pixel[i] + length[i]] += strength[i]
    for i in np.flatnonzero(rng.random(count) < BAD_STRETCH_RATE):
        start = rng.integers(0, npix - 40)
        mask[i, start : start + rng.integers(5, 40)] |= LOWFLAT
    return mask, hits
