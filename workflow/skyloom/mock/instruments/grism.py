"""The red grism of Euclid's NISP: line spread, noise, what neighbours leave, and what is masked.

Published: 1.2 to 1.9 micron, 13.4 Angstrom and 0.3 arcsec a pixel, resolution above 450 for a source of 0.5 arcsec
(Euclid Collaboration: Jahnke et al. 2025, A&A 697, A3). Every number below that comes without a reference was measured
on 50 combined spectra of the first quick release (Q1; Copin et al. 2025, arXiv:2503.15308), the half with the smaller
identifiers of those inside the wheel `spectrapyle` 5.0.3; the other half was kept for tests. Where a spectrum says its
noise is one, it is 1.25 in the median, as if its pixels were drawn from finer ones: 0.3 of it is shared by neighbours.
"""

import numpy as np
from scipy.special import ndtr

from skyloom.settings.survey import Grid

POINT_SPREAD = 14.0  # Angstrom, sigma of a line of a point source
SIZE_SPREAD = 44.0  # Angstrom of sigma for an arcsec of half-light radius: 13.4 Angstrom each 0.3 arcsec
# of the noise that is stated, by wavelength; it rises where the filter ends
EDGES = (11950, 11980, 12007, 12034, 12087, 12302, 12436, 12704, 12972, 13240, 13508, 14044, 14580, 15384, 16724, 18064)
EDGES += (18600, 18760, 18814, 18868, 18894, 18921, 18948, 18975, 19002)
RELATIVE = (12.0, 5.2, 3.2, 2.2, 1.55, 1.5, 1.36, 1.24, 1.17, 1.11, 1.06, 1.01, 0.96, 0.93, 0.93, 0.96)
RELATIVE += (1.0, 1.08, 1.26, 1.7, 2.15, 3.2, 5.3, 9.1, 17.0)
LEVEL = 0.09  # 1e-17 erg/s/cm2/Angstrom, of four exposures together
LEVEL_SCATTER = 0.13  # in ln: zodiacal light, and how long was exposed
EXPOSURES = ((2, 3, 4), (0.13, 0.39, 0.48))  # how many reach a pixel, and how often; they change along a spectrum
TRUE_NOISE = (1.25, 0.2)  # of the stated one: median, and scatter in ln
NEIGHBOUR = 0.16  # weight of each neighbouring pixel in the noise of one: neighbours share .3 of it
WILD = (0.012, 3.5)  # share of pixels with more noise, and how many times as much
CONTAMINATION = 0.13  # 1e-17 erg/s/cm2/Angstrom: scale of what is left of neighbours' continua, of both signs
OFFSET = -0.03  # its mean, in that unit
BUMPS, BUMP_WIDTH = 6, (40.0, 3000.0)  # its shape: a level, and Gaussians of this sigma in Angstrom
STRAY_LINES = (
    0.25,
    1.5,
    6.0,
)  # how many in a spectrum, their flux in 1e-16 erg/s/cm2 (median), sigma in pixels at most
MASKED = (0.2, 0.12)  # how often a part of a spectrum is hidden, and its largest share
FIRST, LAST = 11950.0, 18990.0  # Angstrom: nothing is measured beyond


def line_spread(radius: np.ndarray) -> np.ndarray:
    """Sigma (n,) in Angstrom of a narrow line of galaxies with half-light radii (n,) in arcsec."""
    return np.hypot(POINT_SPREAD, SIZE_SPREAD * np.asarray(radius))


def add_lines(flux: np.ndarray, grid: Grid, line_flux: np.ndarray, centre: np.ndarray, sigma: np.ndarray) -> None:
    """Add Gaussian lines to spectra (n, P) in place, integrated over the pixels: no flux is lost.

    Parameters
    ----------
    line_flux : (n, L) in the unit of `flux` times Angstrom
    centre, sigma : (n, L) Angstrom
    """
    edges = grid.start + grid.step * (np.arange(grid.pixels + 1) - 0.5)
    for light, middle, width in zip(line_flux.T, centre.T, sigma.T, strict=True):
        seen = np.flatnonzero((light > 0) & (middle > edges[0] - 5 * width) & (middle < edges[-1] + 5 * width))
        if len(seen):
            place = (edges - middle[seen, None]) / width[seen, None]
            flux[seen] += light[seen, None] / grid.step * np.diff(ndtr(place), axis=1)


def stated_noise(n: int, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Standard deviations (n, P) as the archive states them, 1e-17 erg/s/cm2/Angstrom; infinite where nothing is
    measured."""
    wavelength = grid.start + grid.step * np.arange(grid.pixels)
    shape = np.exp(np.interp(wavelength, EDGES, np.log(RELATIVE)))
    level = LEVEL * np.exp(LEVEL_SCATTER * rng.standard_normal((n, 1)))
    exposures = rng.choice(EXPOSURES[0], (n, 2), p=np.divide(EXPOSURES[1], sum(EXPOSURES[1])))
    change = rng.uniform(wavelength[0], wavelength[-1], (n, 1))
    many = np.where(wavelength < change, exposures[:, :1], exposures[:, 1:])
    sigma = level * shape * np.sqrt(4 / many)
    hidden = (rng.random(n) < MASKED[0])[:, None]
    width = MASKED[1] * rng.random((n, 1)) * (wavelength[-1] - wavelength[0])
    begin = rng.uniform(wavelength[0], wavelength[-1], (n, 1))
    hidden = hidden & (wavelength > begin) & (wavelength < begin + width)
    return np.where(hidden | (wavelength < FIRST) | (wavelength > LAST), np.inf, sigma)


def noise(sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise (n, P) of pixels with a stated standard deviation: more than that, shared by neighbours, and at times
    wild; 0 where the standard deviation is infinite."""
    n, pixels = sigma.shape
    white = rng.standard_normal((n, pixels + 2))
    white *= np.where(rng.random(white.shape) < WILD[0], WILD[1], 1)
    drawn = white[:, 1:-1] + NEIGHBOUR * (white[:, :-2] + white[:, 2:])
    drawn /= np.sqrt(1 + 2 * NEIGHBOUR**2)
    drawn *= TRUE_NOISE[0] * np.exp(TRUE_NOISE[1] * rng.standard_normal((n, 1)))
    return np.where(np.isfinite(sigma), drawn * np.where(np.isfinite(sigma), sigma, 0), 0)


def contamination(n: int, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """What is left of other objects' spectra after their removal (n, P): smooth, of both signs, and some lines."""
    wavelength = grid.start + grid.step * np.arange(grid.pixels)
    size = CONTAMINATION * rng.exponential(1.0, (n, 1))
    left = OFFSET + size * rng.standard_normal((n, 1)) * np.ones(grid.pixels)
    for _ in range(BUMPS):
        middle, width = (
            rng.uniform(wavelength[0], wavelength[-1], (n, 1)),
            np.exp(rng.uniform(*np.log(BUMP_WIDTH), (n, 1))),
        )
        left += size * rng.standard_normal((n, 1)) * np.exp(-0.5 * ((wavelength - middle) / width) ** 2)
    often, median, widest = STRAY_LINES
    there = (rng.random((n, 1)) < often).astype(float)
    flux = 10 * median * np.exp(0.5 * rng.standard_normal((n, 1)))
    sigma = grid.step * rng.uniform(1.0, widest, (n, 1))
    add_lines(left, grid, there * flux, rng.uniform(wavelength[0], wavelength[-1], (n, 1)), sigma)
    return left
