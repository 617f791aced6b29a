"""Two models error by error: net counts by the size of the error and the value of the property, and who is closer.

Both models have an error for each galaxy, so the comparison is paired: a bin of errors has b galaxies for the first
model alone and c for the second alone, those of both cancel, and the net count is b - c. Given b + c, b is binomial,
with 1/2 if neither model has more errors of this size. The exact (Clopper and Pearson 1934) interval of that share
gives that of the net count; it excludes 0 where the exact test of McNemar (1947) has p < 0.05. Edges of bins are
quantiles of what is counted and are taken as given.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import binomtest

from skyloom.analysis.common import statistics


def inner_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Quantiles (bins - 1,) that part `values` (NaN apart, at least one) into bins of the same size."""
    return np.nanquantile(values, np.arange(1, bins) / bins)


def place(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin (n,) of each value, from 0; -1 where it is NaN. A value on an edge is in the lower bin."""
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="left"), -1)


def bin_names(bins: int) -> list[str]:
    """`low`, `bin 2`, ..., `high`."""
    return ["low", *(f"bin {number}" for number in range(2, bins)), "high"]


@dataclasses.dataclass(frozen=True)
class Compared:
    """Errors of a first and a second model, counted in T bins of the property and all together, and E bins of errors.

    Attributes
    ----------
    edges : (E + 1,) of the absolute errors of both
    galaxies : (T + 1,) in each bin of the property, all of them in row 0
    first_only, second_only : (T + 1, E) galaxies whose error lies in the bin with one model and not with the other
    closer, further : (T + 1,) galaxies whose error is smaller, larger with the first model
    """

    edges: np.ndarray
    galaxies: np.ndarray
    first_only: np.ndarray
    second_only: np.ndarray
    closer: np.ndarray
    further: np.ndarray

    @property
    def net(self) -> np.ndarray:
        """(T + 1, E) galaxies of the first model in the bin minus those of the second; each row adds up to 0."""
        return self.first_only - self.second_only


def compare(first: np.ndarray, second: np.ndarray, target: np.ndarray, bins: int, error_bins: int) -> Compared:
    """Count the absolute errors of two models.

    Parameters
    ----------
    first, second : (n,) absolute errors of the same galaxies; NaN where a model has none: such galaxies do not count
    target : (n,) bin of the property, 0 to bins - 1
    """
    both = np.isfinite(first) & np.isfinite(second) & (target >= 0)
    first, second, target = first[both], second[both], target[both]
    errors = np.concatenate([first, second])
    inner = inner_edges(errors, error_bins)
    members = np.stack([np.ones(len(target), bool), *(target == number for number in range(bins))]).astype(float)
    one, other = (place(values, inner)[:, None] == np.arange(error_bins) for values in (first, second))
    counted = [members, members @ (one & ~other), members @ (other & ~one), members @ (first < second)]
    counted = [np.rint(found).astype(int) for found in (*counted, members @ (first > second))]
    edges = np.concatenate([[errors.min()], inner, [errors.max()]])
    return Compared(edges, counted[0].sum(axis=1), *counted[1:])


def net_interval(first_only: int, second_only: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a net count, given how many galaxies are in the bin for one model alone."""
    differing = int(first_only + second_only)
    if not differing:
        return 0.0, 0.0
    low, high = statistics.exact_interval(int(first_only), differing, level)
    return differing * (2 * low - 1), differing * (2 * high - 1)


def sign_test(closer: int, further: int) -> float:
    """Two-sided p of the exact test that either model is closer as often as the other; 1 where no galaxy tells."""
    number = int(closer + further)
    return float(binomtest(int(closer), number).pvalue) if number else 1.0


def matched(sources: Sequence[tuple[str, str, str]], pairs: Sequence[tuple], methods: Sequence[str]) -> Iterator[tuple]:
    """Numbers of the two sources of each comparison.

    `pairs` : (first, second, modality), modality None for each that both have. Only methods of `methods`, in the order
    of the sources.
    """
    number = {source: place for place, source in enumerate(sources)}
    for first, second, modality in pairs:
        for model, own, method in sources:
            other = number.get((second, own, method))
            if model == first and other is not None and modality in (None, own) and method in methods:
                yield number[model, own, method], other
