"""The DESI spectrographs: what a fibre, three arms, photon noise and a detector make of a noiseless spectrum.

Numbers and where they come from
- Mirror area 8.66 m2, fibre diameter 1.5 arcsec (DESI Collaboration 2022, AJ 164, 207).
- Line spread: Gaussian, sigma .68 (b), .64 (r), .72 (z) Angstrom, as in the RESOLUTION of released coadds.
- THROUGHPUT: photons at the telescope that become electrons (atmosphere, optics, fibre run, spectrograph), piecewise
  linear, set so that the ivar of a faint target in the released coadd sv3-dark-26065 (1009 s, one exposure) comes out.
- Sky: the airglow lines of desispec (data/spec-sky.dat, 0.1 Angstrom, vacuum) on a flat dark continuum of .65e-17
  erg/s/cm2/Angstrom/arcsec2 (r = 21.1 mag/arcsec2 with the lines). Exposure times are therefore effective times under
  dark nominal conditions, as DESI quotes them (180 s for its bright program).
- Fluxes are calibrated on stars, so a galaxy's is its flux in the fibre over the share of a star's light in a fibre.
"""

import os
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from skyloom.errors import BadInput
from skyloom.surveys.desi import ARMS, NDIAG, STEP, arm_wavelength
from skyloom.surveys.mock.wavelengths import OBSERVED

AREA = 8.66e4  # cm2
FIBRE_AREA = np.pi * 0.75**2  # arcsec2
PSF_TO_FIBRE = 0.78  # share of a star's light in a fibre
HC = 1.98644586e-8  # erg Angstrom
LINE_SPREAD = {"b": 0.675, "r": 0.64, "z": 0.72}  # sigma, Angstrom
READ_VARIANCE = 45.0  # electrons^2 in an extracted pixel of one exposure: 5 CCD pixels of 3 electrons
CONTINUUM = 0.65  # 1e-17 erg/s/cm2/Angstrom/arcsec2
THROUGHPUT = {  # Angstrom -> share
    "b": {3600: 0.04, 3800: 0.07, 4000: 0.10, 4400: 0.135, 4700: 0.155, 5000: 0.19, 5600: 0.20, 5720: 0.17, 5800: 0.08},
    "r": {5760: 0.12, 5850: 0.19, 6000: 0.22, 6560: 0.28, 7000: 0.31, 7300: 0.29, 7500: 0.24, 7620: 0.06},
    "z": {7520: 0.10, 7620: 0.25, 7800: 0.32, 8300: 0.36, 9000: 0.34, 9400: 0.29, 9824: 0.19},
}
COSMIC, LOWFLAT = 4, 8  # bits of desispec.maskbits.specmask
COSMICS_PER_ARM = 1.5  # in one exposure
BAD_COLUMN_RATE = 0.02  # spectra with a bad stretch, per arm


@dataclass
class Observation:
    """Arms of N spectra: dicts b, r, z of (N, n_arm); `truth` is what `flux` would be without noise and cosmic rays."""

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
        sky[arm] = CONTINUUM + np.diff(np.interp(edges, bounds, total)) / STEP
    return sky


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
        (flux - truth) sqrt(ivar) has mean 0 and variance 1 wherever mask is 0; masked pixels have ivar 0.
    """
    caught = flux * (np.asarray(fibre_fraction) / PSF_TO_FIBRE)[:, None].astype("f4")
    observation = Observation({}, {}, {}, {})
    for arm in ARMS:
        truth = line_spread(caught, arm)
        sensitivity = electrons_per_flux(arm, exposure)
        expected = truth * (PSF_TO_FIBRE * sensitivity) + FIBRE_AREA * sky[arm] * sensitivity
        counts = rng.poisson(expected) + np.sqrt(READ_VARIANCE) * rng.standard_normal(expected.shape)
        ivar = (PSF_TO_FIBRE * sensitivity) ** 2 / (expected + READ_VARIANCE)
        noisy = truth + (counts - expected) / (PSF_TO_FIBRE * sensitivity)
        mask, hits = _defects(expected.shape, rng)
        noisy += hits / np.sqrt(ivar)
        observation.truth[arm] = truth.astype("f4")
        observation.flux[arm] = noisy.astype("f4")
        observation.ivar[arm] = np.where(mask == 0, ivar, 0).astype("f4")
        observation.mask[arm] = mask
    return observation


def line_spread(flux: np.ndarray, arm: str) -> np.ndarray:
    """Spectra (N, 9626) on OBSERVED, convolved with the arm's line spread, at the arm's pixels (N, n_arm)."""
    start, npix = ARMS[arm]
    first = round((start - OBSERVED[0]) / STEP)
    half = NDIAG // 2
    kernel = resolution(arm)[:, 0]
    return sum(kernel[half - k] * flux[:, first + k : first + k + npix] for k in range(-half, half + 1))


def electrons_per_flux(arm: str, exposure: float) -> np.ndarray:
    """Electrons (n_arm,) in a pixel for each 1e-17 erg/s/cm2/Angstrom that enters the fibre during `exposure` (s)."""
    wavelength = arm_wavelength(arm)
    throughput = np.interp(wavelength, list(THROUGHPUT[arm]), list(THROUGHPUT[arm].values()))
    return 1e-17 * STEP * AREA * exposure * throughput * wavelength / HC


def _defects(shape, rng):
    """Mask (N, n) i4 and what cosmic rays add, in sigmas: hits of a few pixels, and stretches of low sensitivity."""
    mask, hits = np.zeros(shape, "i4"), np.zeros(shape)
    count, npix = shape
    total = rng.poisson(COSMICS_PER_ARM * count)
    row, pixel, length = rng.integers(0, count, total), rng.integers(0, npix - 8, total), rng.integers(1, 7, total)
    strength = 10 ** rng.uniform(0.8, 2.5, total)
    for i in range(total):
        mask[row[i], pixel[i] : pixel[i] + length[i]] |= COSMIC
        hits[row[i], pixel[i] : pixel[i] + length[i]] += strength[i]
    for i in np.flatnonzero(rng.random(count) < BAD_COLUMN_RATE):
        start = rng.integers(0, npix - 40)
        mask[i, start : start + rng.integers(5, 40)] |= LOWFLAT
    return mask, hits
