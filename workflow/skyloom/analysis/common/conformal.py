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
    """Maps of levels, one for each group of galaxies; `pits` : the sorted PIT (n,) of each group's calibration set.

    A group without calibration galaxies keeps its levels.
    """

    pits: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, pit: np.ndarray, group: np.ndarray | None = None, groups: int = 1) -> "Recalibration":
        """From the PIT (n,) of calibration galaxies, NaN where the truth is not known, and their groups (n,)."""
        group = np.zeros(len(pit), int) if group is None else group
        known = np.isfinite(pit)
        return cls(tuple(np.sort(pit[known & (group == g)]) for g in range(groups)))

    @property
    def n(self) -> int:
        """Calibration galaxies in all."""
        return sum(map(len, self.pits))

    @property
    def shift(self) -> float:
        """The farthest that a level moves: the Kolmogorov-Smirnov distance of the PIT from uniform; NaN for none."""
        distances = [stats.ks_1samp(pit, stats.uniform.cdf).statistic for pit in self.pits if len(pit)]
        return float(max(distances, default=np.nan))

    def probabilities(self, levels: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        """At which levels of the uncorrected densities to look: (L,), or (N, L) for the groups (N,) of N galaxies.

        A level that takes more calibration galaxies than there are becomes 0 or 1.
        """
        found = np.stack([_order_statistics(pit, np.asarray(levels, float)) for pit in self.pits])
        return found[0] if group is None else found[group]

    def pit(self, pit: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        """The corrected PIT (N,), linear between the order statistics."""
        found = np.stack([_rank(sample, pit) for sample in self.pits])
        return found[0] if group is None else found[group, np.arange(len(pit))]


def _order_statistics(pit: np.ndarray, levels: np.ndarray) -> np.ndarray:
    if not len(pit):
        return levels
    # 1e-9: a rank that is whole stays so, 0.05 * 20 is not 1.0000000000000002
    rank = levels * (len(pit) + 1)
    rank = np.where(levels < MIDDLE, np.floor(rank + 1e-9), np.ceil(rank - 1e-9)).astype(int)
    return np.concatenate([[0.0], pit, [1.0]])[np.clip(rank, 0, len(pit) + 1)]


def _rank(sample: np.ndarray, pit: np.ndarray) -> np.ndarray:
    if not len(sample):
        return pit
    return np.interp(pit, np.concatenate([[0.0], sample, [1.0]]), np.linspace(0, 1, len(sample) + 2))


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


def share_interval(share: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap interval of a share of n galaxies: resampled, it is binomial, so its percentiles need no draws."""
    tail = (1 - level) / 2
    return tuple(stats.binom.ppf(p, n, share) / np.maximum(n, 1) for p in (tail, 1 - tail))


def by_chance(level: float, n: int, calibration: int) -> "stats.distributions.rv_frozen":
    """How many of n galaxies central intervals of `level` cover when nothing but chance is at work.

    Beta-binomial: the coverage itself varies with the `calibration` galaxies of the conformal step.
    """
    ends = _order_ranks(level, calibration)
    inside = ends[1] - ends[0]
    return stats.betabinom(n, inside, calibration + 1 - inside) if 0 < inside <= calibration else stats.binom(n, 1.0)


def _order_ranks(level: float, n: int) -> tuple[int, int]:
    low, high = (1 - level) / 2 * (n + 1), (1 + level) / 2 * (n + 1)
    return int(np.floor(low + 1e-9)), int(np.ceil(high - 1e-9))
