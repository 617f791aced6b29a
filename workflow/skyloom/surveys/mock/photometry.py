"""Fluxes through the DECam g, r, z curves (speclite's decam2014), in nanomaggy.

Exactly, as a sum over a spectrum on the observed grid; and fast, from templates in wide bins, to select galaxies before
their spectra exist.
"""

import functools
from dataclasses import dataclass

import numpy as np
from speclite.filters import load_filters

from skyloom.surveys.mock import cosmology
from skyloom.surveys.mock.ssp import SSPGrid
from skyloom.surveys.mock.synthesis import Templates, line_luminosities
from skyloom.surveys.mock.wavelengths import OBSERVED, PIXEL

FILTERS = ("decam2014-g", "decam2014-r", "decam2014-z")
HC = 1.98644586e-8  # erg Angstrom
SPECTRUM_UNIT = 1e-17  # erg / s / cm2 / Angstrom
BIN_PIXELS = 18  # 900 km/s: 16 Angstrom at 5500
_STEPS = 18  # lookups of a filter curve between two bins


@functools.cache
def responses(names: tuple[str, ...] = FILTERS):
    """The filter curves, loaded once."""
    return load_filters(*names)


def _sensitivity(wavelength: np.ndarray) -> np.ndarray:
    """Nanomaggy (W, 3) for each 1e-17 erg/s/cm2 arriving at `wavelength`: photons over a 0-magnitude source's."""
    columns = []
    for response in responses():
        curve = np.interp(wavelength, response.wavelength, response.response, left=0, right=0)
        columns.append(curve * wavelength / HC * SPECTRUM_UNIT / response.ab_zeropoint.value * 1e9)
    return np.stack(columns, axis=-1)


@functools.cache
def _pixel_weights() -> np.ndarray:
    return _sensitivity(OBSERVED) * PIXEL


def photometry(flux: np.ndarray) -> np.ndarray:
    """g, r, z fluxes (n, 3), nanomaggy, of spectra (n, 9626) on OBSERVED in 1e-17 erg/s/cm2/Angstrom."""
    return flux.astype(float) @ _pixel_weights()


@dataclass(frozen=True)
class FastPhotometry:
    """Magnitudes of galaxies from templates averaged over bins of 900 km/s: within .005 mag of the spectrum's.

    filters : (K, 3) filter curves on a logarithmic wavelength grid finer than the bins
    lines : (L, B) share of each emission line in each bin, per Angstrom
    """

    templates: Templates
    filters: np.ndarray
    lines: np.ndarray

    @classmethod
    def of(cls, grid: SSPGrid) -> "FastPhotometry":
        """Prepare the bins and filter tables for a grid."""
        templates = Templates.of(grid, BIN_PIXELS)
        w = templates.wavelength
        step = np.log(w[1] / w[0])
        nearest = np.rint(np.log(grid.line_wavelength / w[0]) / step).astype(int)
        lines = np.zeros((len(nearest), len(w)))
        inside = (nearest >= 0) & (nearest < len(w))
        lines[inside, nearest[inside]] = 1 / (w[nearest[inside]] * step)
        fine = w[0] * np.exp(step / _STEPS * np.arange(_STEPS * (len(w) + 800)))
        return cls(templates, _sensitivity(fine), lines)

    def magnitudes(self, sfh, log_z, log_z_gas, log_u, redshift, av, dust_slope, av_birth) -> np.ndarray:
        """AB magnitudes (n, 3) without Milky Way extinction; arguments as in Population."""
        light = self.templates.continuum(sfh, log_z, log_z_gas, av, dust_slope, av_birth).astype(float)
        grid = self.templates.grid
        light += line_luminosities(grid, sfh, log_z_gas, log_u, av, dust_slope, av_birth) @ self.lines
        w = self.templates.wavelength
        step = np.log(w[1] / w[0])
        light *= w * step  # Lsun in each bin, which redshift does not change but for 1 / (1+z) on the way
        shift = np.rint(np.log1p(redshift) / step * _STEPS).astype(int)
        flux = np.empty((len(light), 3))
        for i, first in enumerate(shift):
            flux[i] = light[i] @ self.filters[first : first + _STEPS * len(w) : _STEPS]
        return 22.5 - 2.5 * np.log10(flux * flux_scale(redshift)[:, None])


def flux_scale(redshift: np.ndarray) -> np.ndarray:
    """1e-17 erg/s/cm2 received for each Lsun emitted."""
    distance = cosmology.luminosity_distance(redshift) * cosmology.MPC_IN_CM
    return cosmology.LSUN_IN_ERG_S / (4 * np.pi * distance**2) / SPECTRUM_UNIT
