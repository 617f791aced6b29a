"""Star-formation histories in 117 bins of cosmic time, 0 to 13.8 Gyr after the Big Bang, as log10 Msun/yr.

A bin holds the mass formed in it before the galaxy is seen, over the width of the bin, so that the sum over bins is the
mass formed. Where less than 0.0001 Msun/yr formed, and in the galaxy's future, the value is FLOOR: no star formation.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from skyloom.mock.universe.light import cosmology

EDGES = np.linspace(0.0, 13.8, 118)  # Gyr; MOSAIC has 117 bins, linear ones are our choice (Xia et al. 2025)
FLOOR = -4.0  # log10 Msun/yr; a galaxy of 10^6.5 Msun forms 10^-3.6 Msun/yr over the age of the universe


def star_formation(mass: np.ndarray, age_edges: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Star formation rates (n, 117), log10 Msun/yr.

    Parameters
    ----------
    mass : (n, A) Msun formed in each bin of lookback age from `redshift`
    age_edges : (A+1,) yr, from 0
    redshift : (n,)

    The mass formed by each age is interpolated monotonically (PCHIP; Fritsch & Carlson 1980), which keeps the mass of
    every age bin and makes histories continuous where age bins are wider than bins of cosmic time.
    """
    formed = np.concatenate([np.zeros((len(mass), 1)), np.cumsum(mass, axis=1)], axis=1)
    curve = PchipInterpolator(age_edges, formed, axis=1).c  # (4, A, n)
    universe = cosmology.age(redshift)[:, None] * 1e9
    age = universe - EDGES * 1e9
    # the oldest age bin reaches back beyond the Big Bang: what formed in it, formed after
    oldest = np.searchsorted(age_edges, universe, side="right").clip(1, len(age_edges) - 1) - 1
    start, width = age_edges[oldest], np.diff(age_edges)[oldest]
    age = np.where(age > start, start + (age - start) * width / (universe - start), age)
    age[:, 0] = age_edges[-1]
    age = age.clip(0, age_edges[-1])
    place = np.searchsorted(age_edges, age, side="right").clip(1, len(age_edges) - 1) - 1
    rest = age - age_edges[place]
    rows = np.arange(len(mass))[:, None]
    younger = np.zeros_like(age)  # mass younger than each edge
    for coefficient in curve:
        younger = younger * rest + coefficient[place, rows]
    rate = (younger[:, :-1] - younger[:, 1:]) / (np.diff(EDGES) * 1e9)
    return np.log10(np.maximum(rate, 10**FLOOR))
