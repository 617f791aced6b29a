"""How much the clusters depend on which galaxies were drawn."""

import itertools

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score

from skyloom.analysis.clusters import Settings
from skyloom.analysis.common import statistics

DRAWS = 1000


def kmeans_fit(values: np.ndarray, k: int, settings: Settings, seed: int) -> MiniBatchKMeans:
    """k-means (k-means++, the best of several starts) on values (N, d)."""
    options = {"init": "k-means++", "n_init": settings.n_init, "random_state": seed, "batch_size": 2048}
    return MiniBatchKMeans(k, **options).fit(values)


def stability(values: np.ndarray, k: int, settings: Settings, seed: int) -> tuple[float, tuple[float, float]]:
    """Mean adjusted Rand index between fits on bootstrap resamples, each labelling all galaxies, and its interval.

    1: the same clusters whichever galaxies are drawn; 0: as alike as random labels. The interval is that of a bootstrap
    over fits; pairs of a fit with itself do not count.
    """
    rng = np.random.default_rng(seed)
    labels = []
    for number in range(settings.resamples_stability):
        rows = rng.integers(0, len(values), len(values))
        labels.append(kmeans_fit(values[rows], k, settings, seed + 1 + number).predict(values))
    agreement = np.zeros((len(labels), len(labels)))
    for i, j in itertools.combinations(range(len(labels)), 2):
        agreement[i, j] = adjusted_rand_score(labels[i], labels[j])
    above = np.triu(np.ones(agreement.shape), 1)
    (drawn,) = statistics.resamples(len(labels), DRAWS, seed)
    times = (drawn[:, :, None] == np.arange(len(labels))).sum(axis=1).astype(float)
    pairs = np.einsum("bi,ij,bj->b", times, above, times)
    means = np.einsum("bi,ij,bj->b", times, agreement, times) / np.where(pairs > 0, pairs, np.nan)
    return float(agreement[above > 0].mean()), statistics.interval(means)
