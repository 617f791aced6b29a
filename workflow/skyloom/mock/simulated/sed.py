"""Rest-frame spectral energy distributions in 921 bins, 912 Angstrom to 5 micron, evenly spaced in ln (1300 km/s).

All that leaves the galaxy: stars, nebular continuum and lines, warm dust, an active nucleus, behind the galaxy's own
dust; no intergalactic or Milky Way absorption. The value is log10 of the flux density in Jy that an observer at 10 pc
would see, so that it holds no redshift: log10(Jy) = 3.56 - 0.4 M_AB. MOSAIC (Xia et al. 2025) gives the number of bins
and the unit; wavelengths and distance are our choice.
"""

import functools

import numpy as np
import scipy.sparse

from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.light.wavelengths import C_ANGSTROM_S

EDGES = np.geomspace(912.0, 50000.0, 922)  # Angstrom
FLOOR = 2.0  # log10 Jy; M_AB = 3.9, less than a single A star
_JANSKY = 1e-23  # erg / s / cm2 / Hz


def energy_distribution(grid: SSPGrid, light: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Flux densities (n, 921), log10 Jy at 10 pc.

    Parameters
    ----------
    grid : whose wide bins and lines the light is in
    light : (n, V) Lsun/Angstrom;  lines: (n, L) Lsun
    """
    bins, places = _bin_weights(grid)
    energy = (bins @ light.T).T + lines.astype("f4") @ places  # Lsun in each bin
    # of a bin with constant F_nu, mean F_lambda = F_nu c / (product of its edges)
    distance = 1e-5 * cosmology.MPC_IN_CM
    jansky = EDGES[1:] * EDGES[:-1] / C_ANGSTROM_S / np.diff(EDGES)
    jansky *= cosmology.LSUN_IN_ERG_S / (4 * np.pi * distance**2) / _JANSKY
    return np.log10(np.maximum(energy * jansky.astype("f4"), np.float32(10**FLOOR)))


@functools.lru_cache(maxsize=2)
def _bin_weights(grid):
    """Width (Angstrom) of each wide bin that lies in each SED bin, sparse (921, V); and which bin a line is in."""
    edges = grid.wide.edges
    first = np.searchsorted(edges, EDGES[:-1], side="right") - 1
    last = np.searchsorted(edges, EDGES[1:], side="left")
    bins = scipy.sparse.lil_matrix((len(EDGES) - 1, len(edges) - 1), dtype="f4")
    for i, (j, k) in enumerate(zip(first, last, strict=True)):
        bins[i, j:k] = np.minimum(edges[j + 1 : k + 1], EDGES[i + 1]) - np.maximum(edges[j:k], EDGES[i])
    inside = (grid.line_wavelength >= EDGES[0]) & (grid.line_wavelength < EDGES[-1])
    places = np.zeros((len(inside), len(EDGES) - 1), "f4")
    places[inside, np.searchsorted(EDGES, grid.line_wavelength[inside], side="right") - 1] = 1
    return bins.tocsr(), places
