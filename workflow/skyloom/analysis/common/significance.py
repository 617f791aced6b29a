"""p-values of differences, from their bootstrap, and corrected for how many are claimed."""

import numpy as np

LEVEL = 0.05
FINE = 40
"""Resamples for each difference that is tested."""


def resamples_for(tests: int, least: int) -> int:
    """How many resamples let any of `tests` differences be significant after Holm's correction.

    A p-value is at least 1/(resamples + 1), and the smallest of all is multiplied by `tests`: a thousand resamples can
    never tell one of fifty differences from chance, however large it is.
    """
    return max(least, FINE * tests)


def two_sided(draws: np.ndarray) -> float:
    """p of a difference being 0: twice the smaller share of its bootstrap values (count,) on one side of 0.

    At least 1/(count + 1), the finest that so many can tell, and at most 1; NaN where no value is finite.
    """
    draws = np.asarray(draws)[np.isfinite(draws)]
    if not len(draws):
        return np.nan
    share = min((draws <= 0).mean(), (draws >= 0).mean())
    return float(np.clip(2 * share, 1 / (len(draws) + 1), 1))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (n,) corrected for their number (Holm 1979): any below .05 by chance alone in one table of twenty.

    The i-th smallest of n (from 0) is multiplied by n - i, and none is below a smaller one's; at most 1. NaN stay so
    and do not count.
    """
    p = np.asarray(p, dtype=float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected
