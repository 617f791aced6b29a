"""The conformal step: densities corrected as a whole by how they did on galaxies set apart, and tests of calibration.

Distributional conformal prediction (Chernozhukov, Wuthrich and Zhu 2021): of n calibration galaxies, the values of the
distribution function at the truth (PIT) are sorted; a level below the median becomes the order statistic of rank
floor(level * (n + 1)), one above it of rank ceil(level * (n + 1)). If the calibration galaxies and a new one are
exchangeable, a central interval of level L then holds the truth with a probability between L and L + 2 / (n + 1),
whatever the densities were, on average over draws of the calibration galaxies. Exchangeability is what fails from a
mock to the sky, or for a subset chosen by something: there the coverage is measured and not promised.
"""

import dataclasses

import numpy as np
from scipy import stats

MIDDLE = 0.5


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """A map of levels; `pits` : the sorted PIT (n,) of the calibration galaxies. Without any, levels stay."""

    pits: np.ndarray

    @classmethod
    def of(cls, pit: np.ndarray) -> "Recalibration":
        """From the PIT (n,) of calibration galaxies, NaN where the truth is not known."""
        return cls(np.sort(pit[np.isfinite(pit)]))

    @property
    def n(self) -> int:
        """Calibration galaxies."""
        return len(self.pits)

    @property
    def shift(self) -> float:
        """The farthest that a level moves: the Kolmogorov-Smirnov distance of the PIT from uniform; NaN for none."""
        return float(stats.ks_1samp(self.pits, stats.uniform.cdf).statistic) if self.n else float("nan")

    def probabilities(self, levels: np.ndarray) -> np.ndarray:
        """At which levels (L,) of the uncorrected densities to look for the quantiles at `levels` (L,).

        A level that takes more calibration galaxies than there are becomes 0 or 1.
        """
        levels = np.asarray(levels, float)
        if not self.n:
            return levels
        # 1e-9: a rank that is whole stays so, 0.05 * 20 is not 1.0000000000000002
        rank = levels * (self.n + 1)
        rank = np.where(levels < MIDDLE, np.floor(rank + 1e-9), np.ceil(rank - 1e-9)).astype(int)
        return np.concatenate([[0.0], self.pits, [1.0]])[np.clip(rank, 0, self.n + 1)]

    def pit(self, pit: np.ndarray) -> np.ndarray:
        """The corrected PIT (N,), linear between the order statistics."""
        if not self.n:
            return pit
        return np.interp(pit, np.concatenate([[0.0], self.pits, [1.0]]), np.linspace(0, 1, self.n + 2))


def uniformity(pit: np.ndarray, calibration: int | None = None) -> float:
    """P-value of the Kolmogorov-Smirnov test that PIT (n,) are uniform; NaN for fewer than 2.

    `calibration` : how many galaxies the conformal step took; None when there was none. The PIT after that step carry
    the noise of its galaxies too: the test is then the one of two samples, for which n m / (n + m) galaxies count
    (asymptotic form with Stephens' correction).
    """
    n = len(pit)
    if n < 2 or calibration == 0:
        return float("nan")
    distance = stats.ks_1samp(pit, stats.uniform.cdf).statistic
    root = np.sqrt(n if calibration is None else n * calibration / (n + calibration))
    return float(stats.kstwobign.sf((root + 0.12 + 0.11 / root) * distance))


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """P-value of the two-sample Kolmogorov-Smirnov test, NaN left out; 1 when there is nothing to compare."""
    first, second = (values[np.isfinite(values)] for values in (first, second))
    return float(stats.ks_2samp(first, second, method="asymp").pvalue) if len(first) and len(second) else 1.0


def share_interval(share: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap interval of a share of n galaxies: resampled, it is binomial, so its percentiles need no draws."""
    tail = (1 - level) / 2
    return tuple(stats.binom.ppf(p, n, share) / np.maximum(n, 1) for p in (tail, 1 - tail))


def by_chance(level: float, n: int, calibration: int) -> "stats.distributions.rv_frozen":
    """How many of n galaxies central intervals of `level` cover when nothing but chance is at work.

    Beta-binomial: the coverage itself varies with the `calibration` galaxies of the conformal step.
    """
    if not calibration:
        return stats.binom(n, level)
    low, high = (1 - level) / 2 * (calibration + 1), (1 + level) / 2 * (calibration + 1)
    inside = int(np.ceil(high - 1e-9)) - int(np.floor(low + 1e-9))  # as in `Recalibration.probabilities`
    return stats.betabinom(n, inside, calibration + 1 - inside) if inside <= calibration else stats.binom(n, 1.0)
