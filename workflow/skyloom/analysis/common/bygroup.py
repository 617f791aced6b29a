"""R2 of predictions in groups of galaxies (clusters of the sky, environments, brightness), with intervals.

The predictions are those of the analysis `regression`, of its test split, in long form.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas

from skyloom.analysis.common import statistics, tables

COLUMNS = [*tables.COLUMNS[:6], "group", *tables.COLUMNS[6:]]
"""The tidy table with the group of galaxies after the split."""
PREDICTIONS = ["targetid", "model", "modality", "method", "property", "truth", "prediction"]
"""Columns of a table of predictions."""
ALL = "all"
"""The group of all galaxies that are in one of the others."""
SOURCE = ["model", "modality", "method"]


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What M sources (model, modality, method) say of a property of N galaxies.

    Attributes
    ----------
    name : of the property
    targetid : (N,)
    truth : (N,)
    sources : M of (model, modality, method)
    values : (M, N), NaN where a source says nothing
    """

    name: str
    targetid: np.ndarray
    truth: np.ndarray
    sources: list[tuple[str, str, str]]
    values: np.ndarray


def read_predictions(path: str | os.PathLike) -> Iterator[Predicted]:
    """The table of predictions of a regression, property by property, in its order; BadInput if it is not one."""
    frame = tables.read_parquet(path, PREDICTIONS)
    for name, rows in frame.groupby("property", sort=False):
        ids, place = np.unique(rows["targetid"].to_numpy(), return_inverse=True)
        codes, found = _sources(rows)
        truth, values = np.full(len(ids), np.nan), np.full((len(found), len(ids)), np.nan)
        truth[place] = rows["truth"].to_numpy(float)
        values[codes, place] = rows["prediction"].to_numpy(float)
        yield Predicted(str(name), ids, truth, found, values)


def _sources(rows: pandas.DataFrame) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """Which source each row (n,) is of, and the sources in their order: column by column, since rows are millions."""
    code, sizes = np.zeros(len(rows), np.int64), []
    for name in SOURCE:
        own, words = pandas.factorize(rows[name])
        code = code * len(words) + own
        sizes.append([str(word) for word in words])
    codes, found = pandas.factorize(code)
    places = np.unravel_index(found, tuple(map(len, sizes)))
    return codes, [
        tuple(words[i] for words, i in zip(sizes, place, strict=True)) for place in zip(*places, strict=True)
    ]


def scored(
    survey: str,
    predicted: Predicted,
    groups: Mapping[str, np.ndarray],
    resamples: int = 1000,
    seed: int = 0,
    differences: Sequence[tuple[str, str]] = (),
    least: int = 2,
) -> Iterator[dict]:
    """Rows of COLUMNS: `r2` of every source in every group and in ALL, and `delta_r2` of pairs of groups.

    Parameters
    ----------
    groups : name -> targetids of its galaxies; those that are not among the predicted do not count
    differences : pairs of names, the first minus the second: `group` is then "first - second". The intervals are of
        resamples of all galaxies, so that the numbers in the groups vary too
    least : galaxies without which a group has no score (value NaN, its number stated)
    """
    inside = {name: np.isin(predicted.targetid, ids) for name, ids in groups.items()}
    members = np.stack([np.logical_or.reduce(list(inside.values())), *inside.values()])
    names = [ALL, *inside]
    values, numbers = statistics.r2_of_many(predicted.truth, predicted.values, members)
    draws = statistics.bootstrap_r2_of_many(predicted.truth, predicted.values, members, resamples, seed)
    for m, source in enumerate(predicted.sources):
        key = (survey, *source, predicted.name, "test")
        for g, name in enumerate(names):
            yield _row(key, name, "r2", values[m, g], draws[m, g], numbers[m, g], least)
        for one, other in differences:
            a, b = names.index(one), names.index(other)
            number = min(numbers[m, a], numbers[m, b])
            spread = draws[m, a] - draws[m, b]
            yield _row(key, f"{one} - {other}", "delta_r2", values[m, a] - values[m, b], spread, number, least)


def _row(key: tuple, group: str, metric: str, value: float, draws: np.ndarray, n: int, least: int) -> dict:
    if n < least or not np.isfinite(value):
        value, ci = np.nan, (np.nan, np.nan)
    else:
        ci = statistics.interval(draws)
    return tables.row(*key, metric, value, ci, n) | {"group": group}
