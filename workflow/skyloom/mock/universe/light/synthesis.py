"""Rest-frame light of galaxies: mass formed by age and metallicity, times the grid, behind dust.

Two dust layers as in Charlot & Fall 2000 (ApJ 539, 718): one in front of all stars, a second in front of what is
younger than 10 Myr and of the nebulae. Over the wide grid, what they absorb leaves again in the infrared with the
spectrum of the grid's warm dust (energy balance; da Cunha et al. 2008, MNRAS 388, 1595). All functions work on a batch;
sums are matrix products.
"""

from dataclasses import dataclass

import numpy as np

from skyloom.mock.universe.light import dust
from skyloom.mock.universe.light.ssp import SSPGrid

BIRTH_CLOUD_AGE = 1e7  # yr
IONISING_SHARE = 0.6  # of ionising photons reach gas, dust takes the others (.57 in Hirashita et al. 2003, A&A 410, 83)
LYMAN_ALPHA_ESCAPE = 0.15  # of Ly-alpha, besides what dust takes of any light
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
    def of(cls, grid: SSPGrid) -> "Templates":
        """Templates on the grid's own fine wavelengths."""
        return cls._split(grid, grid.wavelength, grid.stars, grid.nebular_continuum)

    @classmethod
    def wide(cls, grid: SSPGrid) -> "Templates":
        """Templates in the coarse bins of the grid's wide part."""
        return cls._split(grid, grid.wide.wavelength, grid.wide.stars, grid.wide.nebular)

    @classmethod
    def _split(cls, grid, wavelength, stars, nebular):
        split = int(np.searchsorted(grid.age_edges, BIRTH_CLOUD_AGE * 1.01)) - 1
        parts = (stars[:, split:], stars[:, :split], nebular)
        return cls(grid, wavelength, *(a.reshape(-1, a.shape[-1]) for a in parts))

    def continuum(self, sfh, log_z, log_z_gas, av, dust_slope, av_birth) -> np.ndarray:
        """Stars and nebular continuum (n, W) f4, Lsun/Angstrom, attenuated; arguments as in Population."""
        old, young, nebular = self._weights(sfh, log_z, log_z_gas)
        light = young @ self.young
        light += nebular @ self.nebular
        curve = dust.attenuation(self.wavelength, dust_slope).astype("f4")
        light *= np.exp(MAG * av_birth[:, None].astype("f4") * curve)
        light += old @ self.old
        light *= np.exp(MAG * av[:, None].astype("f4") * curve)
        return light

    def integral(self, sfh, log_z, log_z_gas, width: np.ndarray) -> np.ndarray:
        """Light of stars and nebular continuum without any dust (n,), Lsun, over bins of `width` (W,) Angstrom."""
        old, young, nebular = self._weights(sfh, log_z, log_z_gas)
        light = old @ (self.old @ width) + young @ (self.young @ width)
        return light + nebular @ (self.nebular @ width) / IONISING_SHARE

    def _weights(self, sfh, log_z, log_z_gas):
        """Mass in each (metallicity, age) cell, f4, of the old and young stars and the nebulae."""
        nodes = self.grid.log_z
        young, nebular = len(self.young) // len(nodes), len(self.nebular) // len(nodes)
        stars, gas = node_weights(nodes, log_z), node_weights(nodes, log_z_gas)
        parts = ((stars, sfh[:, young:]), (stars, sfh[:, :young]), (gas, IONISING_SHARE * sfh[:, :nebular]))
        return [(metals[:, :, None] * mass[:, None, :]).reshape(len(mass), -1).astype("f4") for metals, mass in parts]


def wide_light(
    templates: Templates, sfh, log_z, log_z_gas, log_u, av, dust_slope, av_birth
) -> tuple[np.ndarray, np.ndarray]:
    """All light of galaxies from 912 Angstrom to 6 micron; arguments as in Population.

    Returns
    -------
    continuum : (n, V) f4, Lsun/Angstrom, of stars, nebulae and warm dust in the bins of `Templates.wide`
    lines : (n, L) Lsun, of the grid's emission lines
    """
    grid, width = templates.grid, np.diff(templates.grid.wide.edges)
    continuum = templates.continuum(sfh, log_z, log_z_gas, av, dust_slope, av_birth)
    emitted = _line_light(grid, sfh, log_z_gas, log_u)
    lines = emitted * _behind_dust(grid, av, dust_slope, av_birth)
    # a nebula gives back what it takes: so much more would come from it if no ionising photon were lost to dust
    without_dust = templates.integral(sfh, log_z, log_z_gas, width) + emitted.sum(axis=1) / IONISING_SHARE
    absorbed = without_dust - continuum @ width - lines.sum(axis=1)
    continuum += np.maximum(absorbed, 0).astype("f4")[:, None] * grid.wide.dust_emission.astype("f4")
    return continuum, lines


def line_luminosities(grid: SSPGrid, sfh, log_z_gas, log_u, av, dust_slope, av_birth) -> np.ndarray:
    """Luminosity of each emission line (n, L), Lsun, behind both dust layers; arguments as in Population."""
    return _line_light(grid, sfh, log_z_gas, log_u) * _behind_dust(grid, av, dust_slope, av_birth)


def _line_light(grid, sfh, log_z_gas, log_u):
    bins = grid.lines.shape[2]
    z_weight = node_weights(grid.log_z, log_z_gas)
    u_weight = node_weights(grid.log_u, log_u)
    mass = IONISING_SHARE * sfh[:, None, None, :bins]
    weights = (z_weight[:, :, None, None] * u_weight[:, None, :, None] * mass).reshape(len(sfh), -1).astype("f4")
    return (weights @ grid.lines.reshape(-1, grid.lines.shape[-1])).astype(float)


def _behind_dust(grid, av, dust_slope, av_birth):
    share = 10 ** (-0.4 * (av + av_birth)[:, None] * dust.attenuation(grid.line_wavelength, dust_slope))
    # scattered in the gas until dust takes it: some 5 % escapes in all (Hayes et al. 2010, Nature 464, 562)
    share[:, grid.line_name == "H  1  1215.67A"] *= LYMAN_ALPHA_ESCAPE
    return share


def node_weights(nodes: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Weights (n, M) of linear interpolation between `nodes` (M,); beyond the ends the end node counts."""
    position = np.interp(value, nodes, np.arange(len(nodes)))
    return np.maximum(1 - np.abs(position[:, None] - np.arange(len(nodes))), 0.0)
