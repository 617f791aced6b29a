"""Rest-frame light of galaxies: mass formed by age and metallicity, times the grid, behind dust.

Two dust layers as in Charlot & Fall 2000 (ApJ 539, 718): one in front of all stars, a second in front of what is
younger than 10 Myr and of the nebulae. All functions work on a batch; sums are matrix products.
"""

from dataclasses import dataclass

import numpy as np

from skyloom.surveys.mock import dust
from skyloom.surveys.mock.ssp import SSPGrid

BIRTH_CLOUD_AGE = 1e7  # yr
MAG = np.float32(-0.4 * np.log(10))


@dataclass(frozen=True)
class Templates:
    """The grid's spectra at some wavelengths (W,), split by the dust layers they lie behind.

    old, young, nebular : (M * bins, W) f4, Lsun/Angstrom per Msun formed, metallicity the slower index
    """

    grid: SSPGrid
    wavelength: np.ndarray
    old: np.ndarray
    young: np.ndarray
    nebular: np.ndarray

    @classmethod
    def of(cls, grid: SSPGrid, bin_pixels: int = 1) -> "Templates":
        """Templates on the grid's own wavelengths, or averaged over bins of `bin_pixels` of them."""
        split = int(np.searchsorted(grid.age_edges, BIRTH_CLOUD_AGE * 1.01)) - 1
        binned = [_bin(a, bin_pixels) for a in (grid.stars[:, split:], grid.stars[:, :split], grid.nebular_continuum)]
        return cls(
            grid,
            np.exp(_bin(np.log(grid.wavelength), bin_pixels)),
            *(a.reshape(-1, a.shape[-1]) for a in binned),
        )

    def continuum(self, sfh, log_z, log_z_gas, av, dust_slope, av_birth) -> np.ndarray:
        """Stars and nebular continuum (n, W) f4, Lsun/Angstrom, attenuated; arguments as in Population."""
        grid = self.grid
        young_bins = len(self.young) // len(grid.log_z)
        nebular_bins = len(self.nebular) // len(grid.log_z)
        stars = node_weights(grid.log_z, log_z)
        gas = node_weights(grid.log_z, log_z_gas)
        light = _weights(stars, sfh[:, :young_bins]) @ self.young
        light += _weights(gas, sfh[:, :nebular_bins]) @ self.nebular
        curve = dust.attenuation(self.wavelength, dust_slope).astype("f4")
        light *= np.exp(MAG * av_birth[:, None].astype("f4") * curve)
        light += _weights(stars, sfh[:, young_bins:]) @ self.old
        light *= np.exp(MAG * av[:, None].astype("f4") * curve)
        return light


def line_luminosities(grid: SSPGrid, sfh, log_z_gas, log_u, av, dust_slope, av_birth) -> np.ndarray:
    """Luminosity of each emission line (n, L), Lsun, behind both dust layers; arguments as in Population."""
    bins = grid.lines.shape[2]
    z_weight = node_weights(grid.log_z, log_z_gas)
    u_weight = node_weights(grid.log_u, log_u)
    weights = np.einsum("nm,nu,ny->nmuy", z_weight, u_weight, sfh[:, :bins]).reshape(len(sfh), -1)
    light = weights @ grid.lines.reshape(-1, grid.lines.shape[-1]).astype(float)
    curve = dust.attenuation(grid.line_wavelength, dust_slope)
    return light * 10 ** (-0.4 * (av + av_birth)[:, None] * curve)


def node_weights(nodes: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Weights (n, M) of linear interpolation between `nodes` (M,); beyond the ends the end node counts."""
    position = np.interp(value, nodes, np.arange(len(nodes)))
    return np.maximum(1 - np.abs(position[:, None] - np.arange(len(nodes))), 0.0)


def _weights(metals, mass):
    """Mass in each (metallicity, age) cell, (n, M * A) f4."""
    return (metals[:, :, None] * mass[:, None, :]).reshape(len(mass), -1).astype("f4")


def _bin(array, size):
    keep = array.shape[-1] // size * size
    return array[..., :keep].reshape(*array.shape[:-1], -1, size).mean(axis=-1, dtype=float).astype(array.dtype)
