"""Whether distributions that are given as quantiles hold: PIT, draws, and whether answers crowd."""

import numpy as np
from scipy import stats


def pit_of(truth: np.ndarray, quantiles: np.ndarray, levels: list[float]) -> np.ndarray:
    """The probability (N,) below the truth (N,) of quantiles (N, L); beyond the outermost, half of what is left."""
    levels = np.concatenate([[levels[0] / 2], levels, [(1 + levels[-1]) / 2]])
    found = np.empty(len(truth))
    for row, (value, knots) in enumerate(zip(truth, quantiles, strict=True)):
        below, above = np.searchsorted(knots, value, "left"), np.searchsorted(knots, value, "right")
        if below != above:  # on knots that coincide: anywhere between their levels
            found[row] = (levels[below + 1] + levels[above]) / 2
        elif below in (0, len(knots)):
            found[row] = levels[0] if below == 0 else levels[-1]
        else:
            share = (value - knots[below - 1]) / (knots[below] - knots[below - 1])
            found[row] = levels[below] + share * (levels[below + 1] - levels[below])
    return found


def drawn_from(quantiles: np.ndarray, levels: list[float], rng: np.random.Generator) -> np.ndarray:
    """A draw (N,) for each galaxy from its quantiles (N, L), within the outermost."""
    at = rng.uniform(levels[0], levels[-1], len(quantiles))
    return np.array([np.interp(u, levels, knots) for u, knots in zip(at, quantiles, strict=True)])


def crowding(values: np.ndarray, truth: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of the distribution of answers from that of the truth.

    Point answers gather where most training galaxies are when little is known: the vertical clusters in the paper's
    scatter plots. Draws from a right distribution do not.
    """
    return float(stats.ks_2samp(values, truth).statistic) if len(truth) > 1 else float("nan")
