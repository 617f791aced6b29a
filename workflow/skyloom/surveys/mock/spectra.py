"""Noiseless spectra as they arrive: stars and nebulae, broadened, redshifted, in vacuum, on one 0.8 Angstrom grid.

The grid (OBSERVED, 3300 to 11000 Angstrom) has DESI's pixel centres and holds the DECam g, r, z curves, so that the
photometry of a spectrum is a sum over its pixels. Values are means over the pixel; the instrument's line spread comes
later (instrument.py).
"""

import numpy as np
import scipy.fft
from scipy.special import ndtr

from skyloom.surveys.mock import dust
from skyloom.surveys.mock.photometry import flux_scale
from skyloom.surveys.mock.population import Z_RANGE, Population
from skyloom.surveys.mock.synthesis import Templates, line_luminosities
from skyloom.surveys.mock.wavelengths import OBSERVED, PIXEL

C_KM_S = 299792.458
MILES_SIGMA = 59.0  # km/s: the 2.54 Angstrom FWHM of the MILES spectra at 5500 Angstrom is already in the templates
MARGIN = 1.012  # what the convolution's periodic edges may spoil
REST_RANGE = (OBSERVED[0] / (1 + Z_RANGE[1]) / MARGIN, OBSERVED[-1] / (1 + Z_RANGE[0]) * MARGIN)
LINE_WINDOW = 24  # pixels each side of an emission line


def spectra(population: Population, templates: Templates, ebv: np.ndarray) -> np.ndarray:
    """Noiseless spectra (n, 9626) f4 on OBSERVED, 1e-17 erg/s/cm2/Angstrom, total light of each galaxy.

    Parameters
    ----------
    population : n galaxies
    templates : of a grid loaded with at least REST_RANGE
    ebv : (n,) E(B-V) of the Milky Way in front of them, mag
    """
    p = population
    rest = templates.continuum(p.sfh, p.log_z, p.log_z_gas, p.av, p.dust_slope, p.av_birth)
    rest = broaden(rest, p.sigma_v, templates.grid.velocity_step)
    scale = flux_scale(p.redshift)
    flux = redshift(rest, templates.wavelength, p.redshift)
    flux *= (scale / (1 + p.redshift))[:, None].astype("f4")
    lines = line_luminosities(templates.grid, p.sfh, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth)
    add_lines(flux, lines * scale[:, None], templates.grid.line_wavelength, p.redshift, p.sigma_gas)
    flux *= np.exp(-0.4 * np.log(10) * np.asarray(ebv)[:, None] * dust.milky_way(OBSERVED)).astype("f4")
    return flux


def broaden(rest: np.ndarray, sigma_v: np.ndarray, velocity_step: float) -> np.ndarray:
    """Convolve spectra (n, W), `velocity_step` km/s a pixel, with Gaussians of `sigma_v` (n,) km/s.

    What the templates have already (MILES_SIGMA) is subtracted in quadrature; narrower galaxies stay as the templates.
    """
    extra = np.sqrt(np.maximum(np.square(sigma_v) - MILES_SIGMA**2, 0)) / velocity_step
    length = scipy.fft.next_fast_len(rest.shape[1], real=True)
    frequency = 2 * np.pi * scipy.fft.rfftfreq(length)
    # the padding continues the last value: a step to zero would ring into the spectrum
    padded = np.concatenate([rest, np.repeat(rest[:, -1:], length - rest.shape[1], axis=1)], axis=1)
    transform = scipy.fft.rfft(padded, axis=1)
    transform *= np.exp(-0.5 * np.square(extra[:, None] * frequency)).astype("f4")
    return scipy.fft.irfft(transform, length, axis=1)[:, : rest.shape[1]]


def redshift(rest: np.ndarray, wavelength: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Spectra (n, W) at rest `wavelength`, evenly spaced in ln, seen at OBSERVED by linear interpolation."""
    step = np.log(wavelength[1] / wavelength[0])
    base = np.log(OBSERVED / wavelength[0]) / step
    out = np.empty((len(rest), len(OBSERVED)), "f4")
    for i, shift in enumerate(np.log1p(z) / step):
        position = base - shift
        low = position.astype(np.intp)
        part = (position - low).astype("f4")
        left = rest[i][low]
        out[i] = left + part * (rest[i][low + 1] - left)
    return out


def add_lines(flux: np.ndarray, line_flux: np.ndarray, line_wavelength: np.ndarray, z: np.ndarray, sigma: np.ndarray):
    """Add Gaussian emission lines to `flux` (n, 9626) in place, integrated over the pixels: no flux is lost.

    Parameters
    ----------
    line_flux : (n, L) 1e-17 erg/s/cm2
    line_wavelength : (L,) Angstrom, vacuum
    z, sigma : (n,) redshift, velocity dispersion of the gas in km/s
    """
    observed = line_wavelength * (1 + np.asarray(z)[:, None])
    width = observed * np.asarray(sigma)[:, None] / C_KM_S
    centre = np.rint((observed - OBSERVED[0]) / PIXEL).astype(int)
    fits = (centre >= LINE_WINDOW) & (centre < len(OBSERVED) - LINE_WINDOW) & (line_flux > 0)
    row, line = np.nonzero(fits)
    pixel = centre[row, line][:, None] + np.arange(-LINE_WINDOW, LINE_WINDOW + 1)
    edges = OBSERVED[0] + PIXEL * (centre[row, line][:, None] + np.arange(-LINE_WINDOW, LINE_WINDOW + 2) - 0.5)
    share = np.diff(ndtr((edges - observed[row, line][:, None]) / width[row, line][:, None]), axis=1)
    values = (share * line_flux[row, line][:, None] / PIXEL).astype("f4")
    np.add.at(flux, (np.broadcast_to(row[:, None], pixel.shape), pixel), values)
