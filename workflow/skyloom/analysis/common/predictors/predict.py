"""Predictions of properties: kNN and MLP, each property with the candidate that does best on the validation split.

The MLP is trained `seeds` times: everything is chosen by, and scored of, the first; the others, with what was chosen,
say how much of a score is the luck of a training.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skyloom.analysis.common import heads, neighbours, statistics
from skyloom.analysis.common.predictors import PredictorSettings
from skyloom.analysis.common.predictors.sources import LEAST, Source


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predictions of one source and method.

    Attributes
    ----------
    values : "validation", "test" -> (n, P), NaN for properties of which the source's galaxies have no labels
    rows : split -> (n,) numbers of its galaxies among those of the split
    chosen : of each property, what was chosen for it (components, whitened, metric, k or epochs); None where it is not
        predicted
    again : test predictions (n, P) of further trainings, each with a seed of its own
    """

    model: str
    modality: str
    method: str
    traits: Mapping
    values: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    chosen: list[dict[str, float] | None]
    again: tuple[np.ndarray, ...] = ()


def predict(
    source: Source,
    labels: dict[str, np.ndarray],
    properties: Sequence[str],
    settings: PredictorSettings,
    seed: int,
    method: str,
) -> Prediction:
    """For each property, the predictions of the candidate that does best on the validation split.

    `labels` : split -> (N, P) of all its galaxies, NaN where unknown.
    """
    own = {split: values[source.rows[split]] for split, values in labels.items()}
    counts = np.array([np.isfinite(values).sum(axis=0) for values in own.values()])
    known = np.flatnonzero((counts >= LEAST).all(axis=0))
    names = [properties[p] for p in known]
    values = {split: np.full(own[split].shape, np.nan) for split in ("validation", "test")}
    chosen: list[dict | None] = [None] * len(properties)
    again = ()
    if len(known):
        train = own["train"][:, known]
        found = knn(source, train, settings) if method == "knn" else mlp(source, train, names, settings, seed)
        candidates = list(found)
        for column, p in enumerate(known):
            truth = own["validation"][:, p]
            labelled = np.isfinite(truth)
            scores = [_score(truth[labelled], got["validation"][labelled, column]) for _, got in candidates]
            chosen[p], best = candidates[int(np.argmax(scores))]
            for split in values:
                values[split][:, p] = best[split][:, column]
        if method == "mlp":
            again = _again(source, own["train"], properties, chosen, settings, seed)
    return Prediction(source.model, source.modality, method, source.traits, values, source.rows, chosen, again)


def knn(source: Source, train: np.ndarray, settings: PredictorSettings) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Predictions on validation and test for each width, metric and k."""
    metrics = settings.metric if source.standardise else ["cosine"]
    for (width, scaled), metric, count in itertools.product(source.candidates(), metrics, source.whitened):
        features = dict(zip(scaled, neighbours.whiten(count, *scaled.values()), strict=True)) if count else scaled
        found = {
            k: {s: np.full((len(features[s]), train.shape[1]), np.nan) for s in ("validation", "test")}
            for k in settings.k
        }
        for known, members in same_galaxies(train):
            for split in ("validation", "test"):
                reference = features["train"][known]
                distance, index = neighbours.nearest(features[split], reference, max(settings.k), metric)
                for k, p in itertools.product(settings.k, members):
                    near = train[known, p][index[:, :k]]
                    found[k][split][:, p] = neighbours.average(distance[:, :k], near, settings.weights)
        for k in settings.k:
            yield {"components": count or width, "whitened": count, "metric": metric, "k": k}, found[k]


def mlp(
    source: Source, train: np.ndarray, names: Sequence[str], settings: PredictorSettings, seed: int
) -> Iterator[tuple[dict, dict]]:
    """Predictions on validation and test of the properties `names` for each width and number of epochs."""
    for width, features in source.candidates():
        queries = np.concatenate([features["validation"], features["test"]])
        found = fit(features["train"], train, names, queries, source.modality, settings, settings.epochs, seed)
        for epochs, got in found.items():
            validation, test = np.split(got, [len(features["validation"])])
            yield {"components": width, "epochs": epochs}, {"validation": validation, "test": test}


def fit(
    train: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    queries: np.ndarray,
    modality: str,
    settings: PredictorSettings,
    epochs: Sequence[int],
    seed: int,
) -> dict[int, np.ndarray]:
    """Predictions (Q, P) of MLPs after each number of epochs, from features (N, d) and labels (N, P) of `names`.

    Properties of the same batch size (`batch_sizes`) are trained side by side.
    """
    own = settings.batch_sizes.get(modality, {})
    sizes = np.array([own.get(name, settings.batch_size) for name in names])
    found = {count: np.full((len(queries), len(names)), np.nan) for count in epochs}
    for size in dict.fromkeys(sizes.tolist()):
        members = np.flatnonzero(sizes == size)
        config = settings.plain() | {"batch_size": size, "epochs": list(epochs), "seed": seed}
        for count, got in heads.fit_predict(train, labels[:, members], queries, config).items():
            found[count][:, members] = got
    return found


def by_width(chosen: Sequence[Mapping | None]) -> Iterator[tuple[int, list[int], list[int]]]:
    """The widths that were chosen, each with its properties (numbers) and their numbers of epochs."""
    for width in dict.fromkeys(choice["components"] for choice in chosen if choice):
        members = [p for p, choice in enumerate(chosen) if choice and choice["components"] == width]
        yield width, members, sorted({chosen[p]["epochs"] for p in members})


def _again(
    source: Source,
    train: np.ndarray,
    properties: Sequence[str],
    chosen: Sequence[Mapping | None],
    settings: PredictorSettings,
    seed: int,
) -> tuple[np.ndarray, ...]:
    """Test predictions of `seeds` - 1 further trainings, each property with what was chosen for it."""
    others = range(1, settings.seeds)
    values = tuple(np.full((len(source.rows["test"]), len(properties)), np.nan) for _ in others)
    wanted = {width: (members, epochs) for width, members, epochs in by_width(chosen)} if values else {}
    for width, features in source.candidates() if values else ():
        members, epochs = wanted.get(width, ([], []))
        names = [properties[p] for p in members]
        for further, found in zip(others, values, strict=True) if members else ():
            given = (features["train"], train[:, members], names, features["test"], source.modality)
            got = fit(*given, settings, epochs, seed + further)
            for column, p in enumerate(members):
                found[:, p] = got[chosen[p]["epochs"]][:, column]
    return values


def same_galaxies(labels: np.ndarray) -> list[tuple[np.ndarray, list[int]]]:
    """Properties grouped by which galaxies have a label, so that neighbours are searched once a group."""
    groups: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for p in range(labels.shape[1]):
        known = np.isfinite(labels[:, p])
        groups.setdefault(known.tobytes(), (known, []))[1].append(p)
    return list(groups.values())


def _score(truth: np.ndarray, prediction: np.ndarray) -> float:
    value = statistics.r2(truth, prediction)
    return float(value) if np.isfinite(value) else -np.inf
