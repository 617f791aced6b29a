"""Whether what is known of a galaxy belongs together: its modalities with each other, and each with the catalogue."""

import itertools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas

from skyloom.analysis.anomalies.scores import Neighbourhood, Score
from skyloom.analysis.common import bygroup, neighbours, statistics
from skyloom.analysis.common.embeddings import EmbeddingFile, open_embedding
from skyloom.analysis.common.traits import Described
from skyloom.settings.names import JOINT

PAIR, REDSHIFT, CATALOGUE = "pair", "redshift", "catalogue"
"""Families: modalities that contradict each other; a redshift that the spectrum contradicts; `in_catalogue`."""
Z = "z"
SPECTRA = ("spectrum",)
"""Modalities that a catalogued redshift is from."""
BINS, IN_BIN = 10, 50
TELLS = 0.5
"""R2 that neighbours must reach for a column: what they do not know, they do not contradict."""
LIGHT = ("mag_", "flux_")
"""How columns begin that a spectrum does not contradict: a fibre catches an unknown share of the light."""
NEIGHBOURS = "neighbours"


def in_catalogue(modality: str) -> str:
    """The family of what a modality and the catalogue disagree about."""
    return f"{modality}_{CATALOGUE}"


def in_shared_spaces(described: Iterable[Described], splits: list[str], counted: Mapping[str, bool]) -> Iterator[Score]:
    """Of every two modalities of a model that embeds them in one space: 1 - cosine, and the rank of the counterpart as
    a share of the galaxies of the split, the mean of both directions (0 is first)."""
    models: dict[str, list[Described]] = {}
    for place in described:
        if place.shared_space and place.modality != JOINT:
            models.setdefault(place.model, []).append(place)
    for model, places in models.items():
        for first, second in itertools.combinations(places, 2):
            parts = [_pair(open_embedding(first.path), open_embedding(second.path), split) for split in splits]
            for method in ("cosine", "rank"):
                values = pandas.concat([part[method] for part in parts])
                name = f"{first.modality}+{second.modality}"
                yield Score(model, name, method, "", PAIR, counted.get(model, True), values)


def _pair(first: EmbeddingFile, second: EmbeddingFile, split: str) -> pandas.DataFrame:
    targetid = np.intersect1d(first.targetid[first.split == split], second.targetid[second.split == split])
    columns = {"cosine": np.empty(0), "rank": np.empty(0)}
    if first.width == second.width and len(targetid) > 1:
        a, b = (unit(file.of(targetid)) for file in (first, second))
        columns = {"cosine": 1 - (a * b).sum(axis=1, dtype=float), "rank": (ranks(a, b) + ranks(b, a)) / 2}
    else:
        targetid = targetid[:0]
    return pandas.DataFrame(columns, index=targetid)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows (n, d) of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def ranks(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Share (n,) of the other rows of a gallery more like query i than row i is, ties half; of unit vectors."""
    found = []
    for rows in np.array_split(np.arange(len(queries)), 1 + len(queries) * len(gallery) // neighbours.BLOCK):
        similarity = queries[rows] @ gallery.T
        own = similarity[np.arange(len(rows)), rows][:, None]
        found.append((similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) - 1) / 2)
    return np.concatenate(found) / max(len(gallery) - 1, 1)


def between_predictions(path: str, properties: list[str], modalities: set[str], counted: Mapping[str, bool]):
    """Of every two modalities of a table of predictions: how far apart they say a property is, in units of the typical
    distance of galaxies of which the second says the same. A modality says the mean of its counted models.
    """
    for predicted in bygroup.read_predictions(path):
        if predicted.name not in properties:
            continue
        said = {}
        for modality in sorted(modalities):
            rows = [i for i, (model, m, _) in enumerate(predicted.sources) if m == modality and counted.get(model)]
            values = predicted.values[rows]
            if np.isfinite(values).any():
                number = np.isfinite(values).sum(axis=0)
                said[modality] = np.where(number > 0, np.nansum(values, axis=0) / np.maximum(number, 1), np.nan)
        for first, second in itertools.combinations(said, 2):
            values = pandas.Series(scaled(said[first] - said[second], said[second]), predicted.targetid)
            yield Score("", f"{first}+{second}", "prediction", predicted.name, PAIR, True, values)


def with_catalogue(
    around: Mapping[str, list[Neighbourhood]], catalogue: pandas.DataFrame, columns: Iterable[str]
) -> Iterator[Score]:
    """How far catalogued values are from the mean of a galaxy's training neighbours, as in `between_predictions`.

    A column counts where the mean tells it (TELLS), and the light that is catalogued not against spectra (LIGHT).

    Parameters
    ----------
    around : modality -> the neighbourhoods of its counted models
    catalogue : by targetid, `columns` of numbers
    """
    for modality, places in around.items():
        ids = np.unique(np.concatenate([place.targetid for place in places]))
        for column in columns:
            known = catalogue[column]
            means = [pandas.Series(_mean(known.reindex(p.near.ravel()), p.near.shape), p.targetid) for p in places]
            said = pandas.concat(means, axis=1).mean(axis=1).reindex(ids).to_numpy(float)
            there = known.reindex(ids).to_numpy(float)
            values = pandas.Series(scaled(there - said, said), ids)
            family = in_catalogue(modality)
            if column == Z:
                family = REDSHIFT if modality in SPECTRA else PAIR
            both = np.isfinite(said) & np.isfinite(there)
            if both.any() and np.isfinite(values).any():
                counts = bool(statistics.r2(there[both], said[both]) >= TELLS)
                counts = counts and not (modality in SPECTRA and column.startswith(LIGHT))
                yield Score("", modality, NEIGHBOURS, column, family, counts, values)


def _mean(values: pandas.Series, shape: tuple[int, int]) -> np.ndarray:
    return pandas.DataFrame(values.to_numpy(float).reshape(shape)).mean(axis=1).to_numpy()


def scaled(difference: np.ndarray, against: np.ndarray) -> np.ndarray:
    """|difference - median| in units of 1.4826 times the median of that, (n,), among galaxies alike in `against` (n,):
    equally many in each of up to BINS bins. What regresses to the mean is thus no disagreement. NaN where unknown.
    """
    result = np.full(len(difference), np.nan)
    known = np.flatnonzero(np.isfinite(difference) & np.isfinite(against))
    order = known[np.argsort(against[known], kind="stable")]
    for rows in np.array_split(order, int(np.clip(len(order) // IN_BIN, 1, BINS))):
        if len(rows) > 2:
            off = np.abs(difference[rows] - np.median(difference[rows]))
            typical = 1.4826 * np.median(off)
            result[rows] = off / typical if typical > 0 else np.nan
    return result
