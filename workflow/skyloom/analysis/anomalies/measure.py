"""Rows of the tidy table: how much of what is labelled each score finds, beside chance, and how right guesses are."""

from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.anomalies import Settings
from skyloom.analysis.anomalies.cause import GUESSES, KINDS
from skyloom.analysis.anomalies.metrics import AUC, Listing
from skyloom.analysis.anomalies.scores import Score
from skyloom.analysis.common import statistics, tables

COLUMNS = [*tables.COLUMNS[:6], "group", *tables.COLUMNS[6:]]
"""The tidy table with the kind of anomaly, or the guess, after the split."""
ANY = "any"
"""The group of all kinds together."""
COMBINED, FAMILY, CHANCE, GUESS, COMMONEST = "combined", "family", "chance", "guess", "commonest"
PROPERTY = "anomaly"
"""Stands as the property where a score is of none."""


def kinds_of(label: np.ndarray, least: int) -> dict[str, np.ndarray]:
    """Kind -> members (n,) bool of those with enough of them, ANY first; empty where nobody knows, or none is there."""
    wrong = np.array([isinstance(kind, str) and kind != "" for kind in label], bool)
    members = {ANY: wrong} | {kind: label == kind for kind in [*KINDS, *_others(label[wrong])]}
    others = np.array([kind == "" for kind in label], bool)
    return {name: inside for name, inside in members.items() if inside.sum() >= least} if others.any() else {}


def _others(label: np.ndarray) -> list[str]:
    return sorted(set(label) - set(KINDS))


def measured(job, split: str, score: Score, values: np.ndarray, label: np.ndarray, seed: int) -> Iterator[dict]:
    """Rows of a score for each kind: those labelled with another kind are left out, as are galaxies without the score.

    With those of the combined score come the rows of chance, on the same galaxies.
    """
    settings: Settings = job.settings
    for kind, inside in kinds_of(label, settings.least).items():
        rows = np.isfinite(values) & (inside | (label == ""))
        found, others = int((rows & inside).sum()), int((rows & ~inside).sum())
        if found < settings.least or not others:
            continue
        listing = Listing(values[rows], inside[rows])
        top = sorted({k for k in settings.top if k < found} | {found})
        reached, spread = listing.measure(top), listing.bootstrap(top, settings.resamples, seed)
        key = (job.survey, score.model, score.modality, score.method, score.property or PROPERTY, split)
        for metric, value in reached.items():
            row = tables.row(*key, metric, value, statistics.interval(spread[metric]), found + others)
            yield row | {"group": kind}
        if score.model == COMBINED:
            share = found / (found + others)
            for metric in reached:
                value = 0.5 if metric == AUC else share  # of the average precision in the limit of many galaxies
                row = tables.row(*key[:2], "", CHANCE, PROPERTY, split, metric, value, n=found + others)
                yield row | {"group": kind}


def guessed(job, guess: np.ndarray, label: np.ndarray, flagged: np.ndarray, how: str) -> Iterator[dict]:
    """Rows: how many galaxies each cause was guessed for; of flagged galaxies with a label, the share of right guesses,
    of each kind and of all, beside always guessing the commonest of them, which nobody knows beforehand."""
    split = job.settings.split
    key = (job.survey, COMBINED, "", how, PROPERTY, split)
    for name in GUESSES:
        number = int((guess[flagged] == name).sum())
        yield tables.row(*key, "flagged", number, n=flagged.sum()) | {"group": name}
    wrong = flagged & np.array([isinstance(kind, str) and kind != "" for kind in label], bool)
    if not wrong.any():
        return
    kinds = pandas.Series(label[wrong]).value_counts()
    for kind, number in [(ANY, wrong.sum()), *kinds.sort_index().items()]:
        inside = wrong if kind == ANY else wrong & (label == kind)
        right = int((guess[inside] == label[inside]).sum())
        interval = statistics.exact_interval(right, int(number))
        row = tables.row(job.survey, GUESS, "", how, PROPERTY, split, "right", right / number, interval, number)
        yield row | {"group": kind}
    most = int(kinds.iloc[0])
    interval = statistics.exact_interval(most, int(wrong.sum()))
    row = tables.row(
        job.survey, COMMONEST, "", how, PROPERTY, split, "right", most / wrong.sum(), interval, wrong.sum()
    )
    yield row | {"group": ANY}
