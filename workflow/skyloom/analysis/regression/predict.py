"""Predictions of properties: kNN and MLP, each property with the candidate that does best on the validation split."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from skyloom.analysis.common import heads, neighbours, statistics
from skyloom.analysis.regression import Settings
from skyloom.analysis.regression.sources import LEAST, Source


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predictions of one source and method.

    Attributes
    ----------
    values : "validation", "test" -> (n, P), NaN for properties of which the source's galaxies have no labels
    rows : split -> (n,) numbers of its galaxies among those of the split
    chosen : of each property, what was chosen for it (components, metric, k or epochs); None where it is not predicted
    """

    model: str
    modality: str
    method: str
    traits: Mapping
    values: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    chosen: list[dict[str, float] | None]


def predict(source: Source, labels: dict[str, np.ndarray], settings: Settings, seed: int, method: str) -> Prediction:
    """For each property, the predictions of the candidate that does best on the validation split.

    `labels` : split -> (N, P) of all its galaxies, NaN where unknown.
    """
    own = {split: values[source.rows[split]] for split, values in labels.items()}
    counts = np.array([np.isfinite(values).sum(axis=0) for values in own.values()])
    known = np.flatnonzero((counts >= LEAST).all(axis=0))
    values = {split: np.full(own[split].shape, np.nan) for split in ("validation", "test")}
    chosen: list[dict | None] = [None] * own["train"].shape[1]
    if len(known):
        train = own["train"][:, known]
        found = knn(source, train, settings) if method == "knn" else mlp(source, train, settings, seed)
        candidates = list(found)
        for column, p in enumerate(known):
            truth = own["validation"][:, p]
            labelled = np.isfinite(truth)
            scores = [_score(truth[labelled], got["validation"][labelled, column]) for _, got in candidates]
            chosen[p], best = candidates[int(np.argmax(scores))]
            for split in values:
                values[split][:, p] = best[split][:, column]
    return Prediction(source.model, source.modality, method, source.traits, values, source.rows, chosen)


def knn(source: Source, train: np.ndarray, settings: Settings) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Predictions on validation and test for each width, metric and k."""
    metrics = settings.metric if source.standardise else ["cosine"]
    for (width, scaled), metric, count in itertools.product(source.candidates(), metrics, source.whitened):
        features = dict(zip(scaled, neighbours.whiten(count, *scaled.values()), strict=True)) if count else scaled
        found = {
            k: {s: np.full((len(features[s]), train.shape[1]), np.nan) for s in ("validation", "test")}
            for k in settings.k
        }
        for known, members in _same_galaxies(train):
            for split in ("validation", "test"):
                reference = features["train"][known]
                distance, index = neighbours.nearest(features[split], reference, max(settings.k), metric)
                for k, p in itertools.product(settings.k, members):
                    near = train[known, p][index[:, :k]]
                    found[k][split][:, p] = neighbours.average(distance[:, :k], near, settings.weights)
        for k in settings.k:
            yield {"components": count or width, "metric": metric, "k": k}, found[k]


def mlp(source: Source, train: np.ndarray, settings: Settings, seed: int) -> Iterator[tuple[dict, dict]]:
    """Predictions on validation and test for each width and number of epochs."""
    config = settings.plain() | {"seed": seed}
    for width, features in source.candidates():
        queries = np.concatenate([features["validation"], features["test"]])
        for epochs, got in heads.fit_predict(features["train"], train, queries, config).items():
            validation, test = np.split(got, [len(features["validation"])])
            yield {"components": width, "epochs": epochs}, {"validation": validation, "test": test}


def _same_galaxies(labels: np.ndarray) -> list[tuple[np.ndarray, list[int]]]:
    """Properties grouped by which galaxies have a label, so that neighbours are searched once a group."""
    groups: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for p in range(labels.shape[1]):
        known = np.isfinite(labels[:, p])
        groups.setdefault(known.tobytes(), (known, []))[1].append(p)
    return list(groups.values())


def _score(truth: np.ndarray, prediction: np.ndarray) -> float:
    value = statistics.r2(truth, prediction)
    return float(value) if np.isfinite(value) else -np.inf
