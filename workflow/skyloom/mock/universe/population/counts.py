"""How many halos or galaxies of each mass and redshift the sky has, to draw from."""

from collections.abc import Callable

import numpy as np

from skyloom.mock.universe.light import cosmology


class MassRedshift:
    """Joint distribution of mass and redshift, the same all over a cell of a grid.

    Parameters
    ----------
    z_edges : (Z + 1,) evenly spaced
    m_edges : (M + 1,) log10 Msun, evenly spaced
    density : mass (M,), redshift (Z, 1) -> objects / Mpc^3 / dex (Z, M), 0 for those not to be drawn

    Attributes
    ----------
    total : objects in the whole sky
    """

    def __init__(
        self, z_edges: np.ndarray, m_edges: np.ndarray, density: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ):
        z, m = (0.5 * (edges[1:] + edges[:-1]) for edges in (z_edges, m_edges))
        volume = np.diff(cosmology.comoving_volume(z_edges))
        self._z_edges, self._m_edges = z_edges, m_edges
        self._cumulative = np.cumsum(density(m, z[:, None]) * volume[:, None])
        self.total = float(self._cumulative[-1] * (m_edges[1] - m_edges[0]))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """log10 masses (Msun) and redshifts of n objects."""
        cell = np.searchsorted(self._cumulative, rng.random(n) * self._cumulative[-1])
        i, j = np.divmod(cell, len(self._m_edges) - 1)
        dz, dm = np.diff(self._z_edges[:2]), np.diff(self._m_edges[:2])
        return self._m_edges[j] + dm * rng.random(n), self._z_edges[i] + dz * rng.random(n)
