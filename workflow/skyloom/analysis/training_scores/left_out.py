"""Predictions of training galaxies that had no part in them: leave-one-out kNN, cross-validated MLP.

A kNN with distance weights that may find the galaxy itself gives its own label back, and R2 = 1 whatever the embedding
is: that naive prediction is made beside the honest one, to be seen.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from skyloom.analysis.common import neighbours
from skyloom.analysis.common.predictors import PredictorSettings
from skyloom.analysis.common.predictors.predict import by_width, fit, same_galaxies
from skyloom.analysis.common.predictors.sources import LEAST, Source

Choice = Mapping[str, object]


def leave_one_out(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, k: int, metric: str, weights: str
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means (q, P) of labels, of the k nearest *other* galaxies and of the k nearest with the galaxy itself.

    Parameters
    ----------
    features, labels : (n, d), (n, P) of galaxies whose labels are known
    queries : (q,) row numbers of those that are predicted

    A twin, another galaxy at distance 0, is a neighbour like any other. Of a single galaxy the means are NaN.
    """
    if len(features) < LEAST:
        return np.full((2, len(queries), labels.shape[1]), np.nan)
    distance, index = neighbours.nearest(features[queries], features, k + 1, metric)
    own = index == queries[:, None]
    # itself stands first unless it has twins; behind more than k of them it is not found at all
    dropped = np.where(own.any(axis=1), own.argmax(axis=1), index.shape[1] - 1)
    kept = np.arange(index.shape[1]) != dropped[:, None]
    shape = (len(queries), index.shape[1] - 1)
    others = distance[kept].reshape(shape), index[kept].reshape(shape)
    found = []
    for far, near in (others, (distance[:, :k], index[:, :k])):
        columns = [neighbours.average(far, labels[near, p], weights) for p in range(labels.shape[1])]
        found.append(np.stack(columns, axis=1))
    return found[0], found[1]


def knn(
    source: Source, labels: np.ndarray, scored: np.ndarray, chosen: Sequence[Choice | None], settings: PredictorSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (n, P) of the source's training galaxies, left out and naive, NaN where not `scored` (n,) or unknown.

    `chosen` : of each property, what the regression chose (width, whitened components, metric, k); None: not predicted.
    """
    left_out, naive = (np.full(labels.shape, np.nan) for _ in range(2))
    keys = [None if c is None else (c["components"], c["whitened"], c["metric"], c["k"]) for c in chosen]
    for width, scaled in source.candidates():
        for key in dict.fromkeys(key for key in keys if key is not None):
            components, whitened, metric, k = key
            if components not in (width, whitened):
                continue
            features = neighbours.whiten(whitened, scaled["train"])[0] if whitened else scaled["train"]
            members = np.array([p for p, own in enumerate(keys) if own == key])
            for known, some in same_galaxies(labels[:, members]):
                columns = members[some]
                rows = np.flatnonzero(known)
                queries = np.flatnonzero(scored[rows])
                given = (features[rows], labels[np.ix_(rows, columns)], queries, k, metric, settings.weights)
                for values, got in zip((left_out, naive), leave_one_out(*given), strict=True):
                    values[np.ix_(rows[queries], columns)] = got
    return left_out, naive


def folds(n: int, count: int, seed: int) -> np.ndarray:
    """The fold (n,) of each of n galaxies, 0 to count - 1: at random, as equal as they can be."""
    return np.random.default_rng(seed).permutation(np.arange(n) % count)


def mlp(
    source: Source,
    labels: np.ndarray,
    scored: np.ndarray,
    chosen: Sequence[Choice | None],
    properties: Sequence[str],
    settings: PredictorSettings,
    count: int,
    seed: int,
) -> np.ndarray:
    """Predictions (n, P) of the `scored` training galaxies of a source by the MLP that learned from the other `count`-1
    folds of them; NaN elsewhere.

    `chosen` : of each property, the width and number of epochs that the regression chose; None: not predicted.
    """
    values = np.full(labels.shape, np.nan)
    rows = np.flatnonzero(scored)
    fold = folds(len(rows), count, seed)
    wanted = {width: (members, epochs) for width, members, epochs in by_width(chosen)}
    for (width, scaled), number in itertools.product(source.candidates(), range(count)):
        members, epochs = wanted.get(width, ([], []))
        taught, asked = rows[fold != number], rows[fold == number]
        members = [p for p in members if np.isfinite(labels[taught, p]).sum() >= LEAST]
        if not members or not len(asked):
            continue
        given = (scaled["train"][taught], labels[np.ix_(taught, members)], [properties[p] for p in members])
        got = fit(*given, scaled["train"][asked], source.modality, settings, epochs, seed)
        for column, p in enumerate(members):
            values[asked, p] = got[chosen[p]["epochs"]][:, column]
    return values
