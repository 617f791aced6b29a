"""Fluxes through filter curves, in nanomaggy: DECam, HSC, LSST and WISE as speclite has them, or any others.

Exactly, as a sum over a spectrum on the observed grid (`photometry`); and fast, from the wide grid's bins of 1000 km/s
and the emission lines at their places (`FastPhotometry`), to select galaxies before their spectra exist and for
filters beyond the spectra.
"""

import functools
from dataclasses import dataclass

import numpy as np
from speclite.filters import FilterResponse, load_filter

from skyloom.mock.universe.light import active, cosmology, igm
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.light.synthesis import Templates, wide_light
from skyloom.mock.universe.light.wavelengths import OBSERVED, PIXEL

FILTERS = ("decam2014-g", "decam2014-r", "decam2014-z")
HSC_FILTERS = ("hsc2017-g", "hsc2017-r2", "hsc2017-i2", "hsc2017-z", "hsc2017-y")  # r2, i2: since 2016
LSST_FILTERS = tuple(f"lsst2023-{band}" for band in "ugrizy")
WISE = ("wise2010-W1", "wise2010-W2")
HC = 1.98644586e-8  # erg Angstrom
SPECTRUM_UNIT = 1e-17  # erg / s / cm2 / Angstrom
LYMAN_ALPHA = 1215.67  # Angstrom; the intergalactic medium absorbs light emitted below it
_STEPS = 20  # places of a bin on a filter curve: 50 km/s apart
_IGM_REDSHIFTS = np.linspace(0.0, 6.0, 121)


@functools.cache
def responses(names: tuple[str, ...] = FILTERS) -> tuple[FilterResponse, ...]:
    """The filter curves of these names, loaded once."""
    return tuple(load_filter(name) for name in names)


def _sensitivity(response: FilterResponse, wavelength: np.ndarray) -> np.ndarray:
    """Nanomaggy (W,) for each 1e-17 erg/s/cm2 arriving at `wavelength`: photons over a 0-magnitude source's."""
    curve = np.interp(wavelength, response.wavelength, response.response, left=0, right=0)
    return curve * wavelength / HC * SPECTRUM_UNIT / response.ab_zeropoint.value * 1e9


@functools.cache
def _pixel_weights(names: tuple[str, ...]) -> np.ndarray:
    return np.stack([_sensitivity(response, OBSERVED) for response in responses(names)], axis=-1) * PIXEL


def photometry(flux: np.ndarray, names: tuple[str, ...] = FILTERS) -> np.ndarray:
    """Fluxes (n, K), nanomaggy, of spectra (n, 9626) on OBSERVED in 1e-17 erg/s/cm2/Angstrom.

    The filters must lie between 3300 and 11000 Angstrom, as the DECam g, r, z and HSC ones do.
    """
    return flux.astype(float) @ _pixel_weights(tuple(names))


@dataclass(frozen=True)
class FastPhotometry:
    """Fluxes of galaxies from the wide grid: within .005 mag of the spectrum's, to redshift 6 and 5.6 micron.

    Attributes
    ----------
    templates : of the wide grid
    curves : (F, K) f4, sensitivity to a line on wavelengths 50 km/s apart, the first that of the wide grid
    bins : for each filter, its first index on these wavelengths and the (20, w) f4 sensitivity to light spread evenly
        over a bin whose lower edge is 0..19 steps beyond the first; w bins span the filter
    igm : (Z, V' + L') f4, mean transmission of the V' bins and L' lines bluer than Lyman alpha at _IGM_REDSHIFTS
    """

    templates: Templates
    curves: np.ndarray
    bins: tuple[tuple[int, np.ndarray], ...]
    igm: np.ndarray

    @classmethod
    @functools.lru_cache(maxsize=8)
    def of(cls, grid: SSPGrid, names: tuple[str | FilterResponse, ...] = FILTERS) -> "FastPhotometry":
        """The tables of a grid and some filters, made once: speclite names, or curves that speclite does not have."""
        templates = Templates.wide(grid)
        step = np.log(grid.wide.edges[1] / grid.wide.edges[0]) / _STEPS
        filters = [responses((name,))[0] if isinstance(name, str) else name for name in names]
        last = max(response.wavelength[-1] for response in filters)
        fine = grid.wide.edges[0] * np.exp(step * np.arange(int(np.log(last / grid.wide.edges[0]) / step) + 2 * _STEPS))
        curves = np.stack([_sensitivity(response, fine) for response in filters], axis=-1)
        blue = np.concatenate([w[w < LYMAN_ALPHA] for w in (templates.wavelength, grid.line_wavelength)])
        rising, place = np.unique(blue, return_inverse=True)
        transmission = [igm.transmission(rising * (1 + z), np.array([z]))[0, place] for z in _IGM_REDSHIFTS]
        bins = tuple(_bin_table(curve) for curve in curves.T)
        return cls(templates, curves.astype("f4"), bins, np.array(transmission, "f4"))

    def magnitudes(
        self, sfh, log_z, log_z_gas, log_u, redshift, av, dust_slope, av_birth, nucleus: dict | None = None
    ) -> np.ndarray:
        """AB magnitudes (n, K) without Milky Way extinction; arguments as in Population.

        `nucleus` holds the arrays of active.NUCLEUS_FIELDS for galaxies that may have an active nucleus.
        """
        light, lines = self.light(sfh, log_z, log_z_gas, log_u, av, dust_slope, av_birth, nucleus)
        return 22.5 - 2.5 * np.log10(self.fluxes(light, lines, redshift))

    def light(self, sfh, log_z, log_z_gas, log_u, av, dust_slope, av_birth, nucleus: dict | None = None):
        """Rest-frame continuum (n, V) f4, Lsun/Angstrom, and lines (n, L), Lsun, of hosts and nuclei."""
        light, lines = wide_light(self.templates, sfh, log_z, log_z_gas, log_u, av, dust_slope, av_birth)
        if nucleus is not None:
            grid = self.templates.grid
            light += active.continuum(self.templates.wavelength, nucleus)
            lines += active.narrow_lines(grid.line_name, grid.line_wavelength, nucleus)
        return light, lines

    def fluxes(self, light: np.ndarray, lines: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Fluxes (n, K), nanomaggy, of what `light` returns, at a redshift (n,), dimmed by the intergalactic medium."""
        grid = self.templates.grid
        step = np.log(grid.wide.edges[1] / grid.wide.edges[0]) / _STEPS
        steps = np.log1p(redshift) / step
        shift = np.rint(steps).astype(int)
        energy, lines = self._absorbed(light * np.diff(grid.wide.edges).astype("f4"), lines, redshift)
        flux = np.empty((len(light), len(self.bins)))
        for k, (first, table) in enumerate(self.bins):
            flux[:, k] = _through(energy, shift, first, table)
        steps = steps.astype("f4")
        places = (np.log(grid.line_wavelength / grid.wide.edges[0]) / step).astype("f4")
        for line, place in zip(lines.T.astype("f4"), places, strict=True):
            # narrow channels have steep sides: a line's place counts to a few km/s
            seen = (steps + place).clip(0, len(self.curves) - 2)  # the curves end in zeros
            low = seen.astype(int)
            upper = line * (seen - low).astype("f4")
            flux += (line - upper)[:, None] * self.curves[low] + upper[:, None] * self.curves[low + 1]
        return flux * flux_scale(redshift)[:, None]

    def _absorbed(self, energy, lines, redshift):
        """Light and lines after the intergalactic medium, its transmission linear in redshift between the nodes."""
        wavelength = self.templates.grid.line_wavelength
        bins, blue = int(np.sum(self.templates.wavelength < LYMAN_ALPHA)), wavelength < LYMAN_ALPHA
        position = np.interp(redshift, _IGM_REDSHIFTS, np.arange(len(_IGM_REDSHIFTS)))
        low = np.minimum(position.astype(int), len(_IGM_REDSHIFTS) - 2)
        part = (position - low)[:, None].astype("f4")
        share = (1 - part) * self.igm[low] + part * self.igm[low + 1]
        energy[:, :bins] *= share[:, :bins]
        lines = lines.copy()
        lines[:, blue] *= share[:, bins:]
        return energy, lines


def _bin_table(curve):
    """First fine index of a filter, and its mean over bins by phase (20, w): where it lies within the bins."""
    inside = np.flatnonzero(curve)
    first = inside[0] - _STEPS
    width = -(-(inside[-1] + 1 - first) // _STEPS)
    # a bin covers the steps from its lower edge to its upper one; the curve is linear between them
    trapezoid = np.r_[0.5, np.ones(_STEPS - 1), 0.5] / _STEPS
    padded = np.concatenate([curve[first:], np.zeros(3 * _STEPS)])
    mean = np.convolve(padded, trapezoid, mode="valid")[: width * _STEPS]
    return first, np.ascontiguousarray(mean.reshape(width, _STEPS).T.astype("f4"))


def _through(energy, shift, first, table):
    """Sum (n,) of the energy (n, V) in each bin, redshifted by `shift` (n,) steps, through one filter's table."""
    steps, width = table.shape
    start = -((shift - first) // steps)  # the first bin whose lower edge is at or beyond the filter's first step
    phase = start * steps + shift - first
    padded = np.pad(energy, ((0, 0), (width, width)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    rows = np.arange(len(energy))
    seen = windows[rows, (start + width).clip(0, windows.shape[1] - 1)]
    return np.einsum("nw,nw->n", seen, table[phase])


def flux_scale(redshift: np.ndarray) -> np.ndarray:
    """1e-17 erg/s/cm2 received for each Lsun emitted."""
    distance = cosmology.luminosity_distance(redshift) * cosmology.MPC_IN_CM
    return cosmology.LSUN_IN_ERG_S / (4 * np.pi * distance**2) / SPECTRUM_UNIT
