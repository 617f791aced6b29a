"""What the members of clusters have in common: counts, means, and mutual information with its permutation p."""

from collections.abc import Iterator

import numpy as np
import pandas
from scipy.special import xlogy
from scipy.stats import random_table
from sklearn.metrics import adjusted_mutual_info_score


def describe(
    labels: np.ndarray, values: pandas.DataFrame, bins: int, permutations: int = 0, seed: int = 0
) -> Iterator[tuple[str, str, float]]:
    """Rows (property, metric, value): count and means of each cluster, AMI with binned properties and its p.

    Of a property count those galaxies of which it is known; means are in its own units. (AMI: the mutual information
    adjusted for chance; Vinh, Epps and Bailey 2010.)

    Parameters
    ----------
    labels : (N,) int
    values : (N,) rows, a column for each property, NaN where unknown
    bins : quantiles of a property
    permutations : for p (metric `ami_p`); 0: none
    """
    for c in np.unique(labels):
        yield f"cluster={c}", "count", (labels == c).sum()
        for name in values:
            own = values[name][labels == c]
            yield f"cluster={c}", f"mean_{name}", np.nanmean(own) if own.notna().any() else np.nan
    for name in values:
        known = values[name].notna().to_numpy()
        if known.sum() > bins:
            quantiles = pandas.qcut(values[name][known], bins, labels=False, duplicates="drop").to_numpy()
            yield name, "ami", adjusted_mutual_info_score(quantiles, labels[known])
            if permutations:
                yield name, "ami_p", permutation_p(quantiles, labels[known], permutations, seed)


def permutation_p(one: np.ndarray, other: np.ndarray, permutations: int, seed: int) -> float:
    """The share of permutations of labels whose mutual information is no smaller than that of the labels as they are.

    The labels as they are count as one of them, so that p is never 0. A permutation changes neither the marginal counts
    nor, with them, the entropies and the expected information: AMI is no smaller exactly where the sum of n log n over
    the contingency table is not. Tables of permuted labels are drawn without permuting, by the algorithm of Patefield
    (1981): the cost hangs on the size of the table, not on (N,).
    """
    table = contingency(one, other)
    if min(table.shape) < 2:  # permuting changes nothing (and scipy 1.17 draws negative counts)
        return 1.0
    found = _information(table)
    drawn = random_table(table.sum(1), table.sum(0)).rvs(permutations, random_state=np.random.default_rng(seed))
    beyond = _information(drawn) >= found - 1e-9 * max(1.0, abs(found))  # sums in another order are the same
    return float((1 + beyond.sum()) / (1 + permutations))


def contingency(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Galaxies (A, B) of each pair of labels (N,); labels that nobody has do not count."""
    (first, a), (second, b) = (np.unique(labels, return_inverse=True) for labels in (one, other))
    shape = len(first), len(second)
    return np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape)


def _information(table: np.ndarray) -> np.ndarray | float:
    """Sum of n log n: the mutual information but for what permutations leave as it is."""
    return xlogy(table, table).sum(axis=(-2, -1))
