"""Rows of the table of outliers: rates, how many properties coincide, and how alike the outliers of two models are."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from skyloom.analysis.common import bygroup, statistics, tables
from skyloom.analysis.outliers import Settings
from skyloom.analysis.outliers.chance import (
    coincidence,
    jaccard,
    jaccard_by_chance,
    pair_of,
    poisson_binomial,
    pooled_coincidence,
)
from skyloom.analysis.outliers.flags import Flags

ALL = bygroup.ALL
ANY = "any"
"""The property of galaxies that are outliers in at least one."""
SEVERAL = "2+"
"""The group of galaxies that are outliers in two properties or more."""


def rate_rows(survey: str, flags: Flags, names: Sequence[str]) -> Iterator[dict]:
    """Threshold, number and share of the outliers of each property."""
    for p in np.flatnonzero(np.isfinite(flags.threshold)):
        n, hits = int(flags.known[:, p].sum()), int(flags.outlier[:, p].sum())
        low, high = statistics.exact_interval(hits, n)
        key = (survey, *flags.source, names[p], "test")
        yield _row(key, ALL, "threshold", flags.threshold[p], n=n)
        yield _row(key, ALL, "count", hits, (n * low, n * high), n)
        yield _row(key, ALL, "outlier_rate", hits / n, (low, high), n)


def multiplicity_rows(survey: str, flags: Flags) -> Iterator[dict]:
    """In how many properties galaxies are outliers, of those that have all (benchmark, Table 18).

    `group` k of `count` and `share`: galaxies that are outliers in k properties, and their share of those that are in
    any; `expected` and `expected_share`: what independent properties with the same rates of outliers would give
    (Poisson binomial). `excess` of two or more: `chance.coincidence`.
    """
    whole = flags.whole
    n, most = whole.shape
    if not n:
        return
    key = (survey, *flags.source, ALL, "test")
    counts = np.bincount(whole.sum(axis=1), minlength=most + 1)
    chance = poisson_binomial(whole.mean(axis=0))
    touched, expected = n - counts[0], 1 - chance[0]
    for k in range(1, most + 1):
        low, high = statistics.exact_interval(int(counts[k]), n)
        yield _row(key, k, "count", counts[k], (n * low, n * high), n)
        yield _row(key, k, "expected", n * chance[k], n=n)
        if touched:
            ci = statistics.exact_interval(int(counts[k]), int(touched))
            yield _row(key, k, "share", counts[k] / touched, ci, touched)
            yield _row(key, k, "expected_share", chance[k] / expected, n=touched)
    if most > 1:
        yield _row(key, SEVERAL, "excess", *coincidence(whole), n)


def pooled_rows(survey: str, found: list[Flags], settings: Settings, seed: int) -> Iterator[dict]:
    """`excess` of all models of a method together, model and modality "all"; n is of galaxies that count for any."""
    for method in settings.methods:
        own = [flags for flags in found if flags.source[2] == method and "->" not in flags.source[1]]
        if not own or own[0].outlier.shape[1] < 2:
            continue
        counted = np.stack([flags.complete for flags in own])
        value, draws = pooled_coincidence(np.stack([f.outlier for f in own]), counted, settings.resamples, seed)
        if np.isfinite(value):
            ci = statistics.interval(draws)
            yield _row((survey, ALL, ALL, method, ALL, "test"), SEVERAL, "excess", value, ci, counted.any(axis=0).sum())


def overlap_rows(survey: str, found: list[Flags], names: Sequence[str], methods: Sequence[str]) -> Iterator[dict]:
    """Overlap of the outliers of any two sources of a method, property by property and of any property, with chance.

    `jaccard` has as n the galaxies that are outliers of either; those of one modality among another's galaxies ("a->b")
    are left out.
    """
    asked = [flags for flags in found if flags.source[2] in methods and "->" not in flags.source[1]]
    for one, other in itertools.combinations(asked, 2):
        if one.source[2] != other.source[2]:
            continue
        names_of = pair_of(one.source[:2], other.source[:2])
        for name, known, first, second in _shared(one, other, names):
            value, ci, either = jaccard(first[known], second[known])
            if not either:
                continue
            key = (survey, *names_of, one.source[2], name, "test")
            chance = jaccard_by_chance(int(first[known].sum()), int(second[known].sum()), int(known.sum()))
            yield _row(key, ALL, "jaccard", value, ci, either)
            yield _row(key, ALL, "jaccard_expected", chance, n=either)


def _shared(one: Flags, other: Flags, names: Sequence[str]) -> Iterator[tuple]:
    for p, name in enumerate(names):
        if np.isfinite(one.threshold[p]) and np.isfinite(other.threshold[p]):
            yield name, one.known[:, p] & other.known[:, p], one.outlier[:, p], other.outlier[:, p]
    both = np.isfinite(one.threshold) & np.isfinite(other.threshold)
    if both.any():
        known = (one.known & other.known)[:, both].all(axis=1)
        yield ANY, known, one.outlier[:, both].any(axis=1), other.outlier[:, both].any(axis=1)


def _row(key: tuple, group: object, metric: str, value: float, ci=(np.nan, np.nan), n=0) -> dict:
    return tables.row(*key, metric, value, ci, n) | {"group": str(group)}
