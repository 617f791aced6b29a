"""Noiseless spectra as they arrive: stars, nebulae and active nuclei, redshifted, in vacuum, on one 0.8 Angstrom grid.

The grid (OBSERVED, 3300 to 11000 Angstrom) has DESI's pixel centres and holds the DECam g, r, z curves, so that the
photometry of a spectrum is a sum over its pixels. Values are means over the pixel; the instrument's line spread comes
later (instrument.py).
"""

import numpy as np
import scipy.fft
from scipy.special import ndtr

from skyloom.mock.universe.light import active, dust, igm
from skyloom.mock.universe.light.lyman import LINES
from skyloom.mock.universe.light.nuclear_lines import HARD
from skyloom.mock.universe.light.photometry import flux_scale
from skyloom.mock.universe.light.synthesis import Templates, line_luminosities
from skyloom.mock.universe.light.wavelengths import C_KM_S, OBSERVED, PIXEL, log_grid
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.population.programs import Z_RANGES

MILES_SIGMA = 59.0  # km/s: the 2.54 Angstrom FWHM of the MILES spectra at 5500 Angstrom is already in the templates
LYMAN_ALPHA = LINES[0, 0]
SFD_SCALE = 0.86  # of the map's E(B-V): Schlafly & Finkbeiner 2011 (ApJ 737, 103)
MARGIN = 1.012  # what the convolution's periodic edges may spoil
LINE_WINDOWS = (8, 24, 96)  # pixels each side of an emission line: the smallest with 5 sigma
FAINTEST = 1e-4  # of a galaxy's brightest line: what is fainter is left out
# of the nuclei's light at rest: broad lines need no finer steps than 100 km/s
NUCLEUS = log_grid(OBSERVED[0] / (1 + Z_RANGES["qso"][1]) / MARGIN, OBSERVED[-1] * MARGIN, 100.0)
NARROW_SIGMA = (80.0, 400.0)  # km/s: narrow lines have the stars' dispersion (Greene & Ho 2005, ApJ 627, 721)


def rest_range(target: str = "bgs") -> tuple[float, float]:
    """Rest-frame wavelengths (Angstrom) that the templates of a target must span to fill OBSERVED."""
    low, high = Z_RANGES[target]
    return OBSERVED[0] / (1 + high) / MARGIN, OBSERVED[-1] / (1 + low) * MARGIN


def spectra(population: Population, templates: Templates, ebv: np.ndarray) -> np.ndarray:
    """Noiseless spectra (n, 9626) f4 on OBSERVED, 1e-17 erg/s/cm2/Angstrom, total light of each galaxy.

    Parameters and errors as in `components`, whose sum this is.
    """
    host, nucleus = components(population, templates, ebv)
    host += nucleus
    return host


def components(population: Population, templates: Templates, ebv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light of the galaxies and of their active nuclei, each (n, 9626) f4 on OBSERVED, 1e-17 erg/s/cm2/Angstrom.

    Parameters
    ----------
    population : n galaxies
    templates : of a grid loaded with at least `rest_range` of their target
    ebv : (n,) E(B-V) of the Milky Way in front of them, mag, on the scale of the SFD map
    """
    p = population
    scale = flux_scale(p.redshift)
    host = _host(p, templates, scale)
    nucleus = _nucleus(p, templates.grid.line_name, templates.grid.line_wavelength, scale)
    reddening = SFD_SCALE * np.asarray(ebv)[:, None]
    through = np.exp(-0.4 * np.log(10) * reddening * dust.milky_way(OBSERVED)).astype("f4")
    far = np.flatnonzero((1 + p.redshift) * LYMAN_ALPHA > OBSERVED[0])
    through[far] *= igm.transmission(OBSERVED, p.redshift[far], p.igm_seed[far])
    host *= through
    nucleus *= through
    return host, nucleus


def _host(p, templates, scale):
    """Stars and HII regions (n, 9626) f4."""
    rest = templates.continuum(p.sfh, p.log_z, p.log_z_gas, p.av, p.dust_slope, p.av_birth)
    rest = broaden(rest, p.sigma_v, templates.grid.velocity_step)
    flux = redshift(rest, templates.wavelength, p.redshift)
    flux *= (scale / (1 + p.redshift))[:, None].astype("f4")
    lines = line_luminosities(templates.grid, p.sfh, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth)
    add_lines(flux, lines * scale[:, None], templates.grid.line_wavelength, p.redshift, p.sigma_gas)
    return flux


def _nucleus(p, line_name, line_wavelength, scale):
    """Continuum, broad and narrow lines of the active nuclei (n, 9626) f4."""
    flux = np.zeros((len(p.redshift), len(OBSERVED)), "f4")
    fields = active.nucleus_of(p)
    seen = np.flatnonzero(p.agn_type == 2)
    if len(seen):
        rest = active.continuum(NUCLEUS, {name: values[seen] for name, values in fields.items()})
        flux[seen] = redshift(rest, NUCLEUS, p.redshift[seen])
        flux[seen] *= (scale[seen] / (1 + p.redshift[seen]))[:, None].astype("f4")
    rows = np.flatnonzero(p.agn_type > 0)
    if len(rows):
        names = np.append(line_name, list(HARD))
        wavelength = np.append(line_wavelength, [centre for centre, *_ in HARD.values()])
        lines = active.narrow_lines(names, wavelength, {name: values[rows] for name, values in fields.items()})
        with_lines = flux[rows]
        add_lines(
            with_lines, lines * scale[rows, None], wavelength, p.redshift[rows], np.clip(p.sigma_v[rows], *NARROW_SIGMA)
        )
        flux[rows] = with_lines
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
    out = np.zeros((len(rest), len(OBSERVED)), "f4")
    for i, shift in enumerate(np.log1p(z) / step):
        # the grid starts at the Lyman limit: below it nothing arrives
        first = np.searchsorted(base, shift)
        position = base[first:] - shift
        low = position.astype(np.intp)
        part = (position - low).astype("f4")
        left = rest[i][low]
        out[i, first:] = left + part * (rest[i][low + 1] - left)
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
    bright = line_flux > FAINTEST * line_flux.max(axis=1, keepdims=True)
    reach = np.ceil(5 * width / PIXEL + 0.5)
    smallest = 0
    for window in LINE_WINDOWS:
        inside = (centre >= window) & (centre < len(OBSERVED) - window)
        row, line = np.nonzero(bright & inside & (reach > smallest) & (reach <= window))
        smallest = window
        middle = observed[row, line][:, None]
        pixel = centre[row, line][:, None] + np.arange(-window, window + 1)
        edges = OBSERVED[0] + PIXEL * (centre[row, line][:, None] + np.arange(-window, window + 2) - 0.5)
        share = np.diff(ndtr((edges - middle) / width[row, line][:, None]), axis=1)
        values = (share * line_flux[row, line][:, None] / PIXEL).astype("f4")
        np.add.at(flux, (np.broadcast_to(row[:, None], pixel.shape), pixel), values)
