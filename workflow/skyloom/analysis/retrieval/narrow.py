"""Does an embedding find more than redshift?

Two answers. Among the galaxies within a narrow |dz|/(1 + z) of a query, redshift helps nobody who does not know it more
closely than that (an image does not; for two spectra the bin must be narrower): what is found there beyond chance is
more than redshift. And in the whole gallery, two ways to rank by redshift alone stand beside the embedding: by a
redshift known to that width, where all galaxies within it tie ("redshift"; an exact redshift would be a fingerprint and
no baseline), and by the redshift that the galaxy's neighbours in the embedding have ("redshift_neighbours"), all others
in the order of their |dz| from it.
"""

from collections.abc import Iterator

import numpy as np

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.retrieval import Settings
from skyloom.analysis.retrieval.pairs import Pairing
from skyloom.analysis.retrieval.similarity import ranks_within, window

NARROW = "narrow_"
"""What the metrics among galaxies of the same redshift begin with."""
KNOWN, ESTIMATED = "redshift", "redshift_neighbours"
"""Methods that rank by redshift alone."""
VOTING = 16
"""Neighbours whose median redshift is the estimate."""


def within(survey: str, pair: Pairing, settings: Settings, seed: int) -> Iterator[dict]:
    """Rows of recall, rank fraction and reciprocal rank in narrow bins of redshift, with chance for these galleries.

    The rank fraction is (rank - 1/2) / candidates, 1/2 by chance whatever their number. Queries with fewer candidates
    than `least` are left out; no rows when none is left.
    """
    rank, size = ranks_within(pair.queries, pair.others, pair.z, settings.narrow)
    enough = size >= settings.least
    rank, size = rank[enough], size[enough].astype(float)
    if not len(rank):
        return
    key, n = (survey, pair.model, pair.name), len(rank)
    metrics = {f"recall@{k}": lambda rank, size, k=k: (rank <= k).mean(-1) for k in settings.top}
    metrics["median_rank_fraction"] = lambda rank, size: np.median((rank - 0.5) / size, axis=-1)
    metrics["mean_reciprocal_rank"] = lambda rank, size: (1 / rank).mean(-1)
    expected = {f"recall@{k}": np.minimum(k / size, 1).mean() for k in settings.top}
    expected |= {"median_rank_fraction": 0.5, "mean_reciprocal_rank": (harmonic(size) / size).mean()}
    for name, metric in metrics.items():
        ci = statistics.interval(statistics.bootstrap(metric, rank, size, count=settings.resamples, seed=seed))
        row = ("identity", settings.split, NARROW + name)
        yield tables.row(*key, "cosine", *row, metric(rank, size), ci, n)
        yield tables.row(*key, "chance", *row, expected[name], n=n)
    yield tables.row(*key, "chance", "identity", settings.split, f"{NARROW}median_gallery", np.median(size), n=n)


def by_redshift(survey: str, pair: Pairing, found: np.ndarray, settings: Settings, seed: int) -> Iterator[dict]:
    """Rows of recall@k of redshift alone in the whole gallery.

    Parameters
    ----------
    found : (n, VOTING or fewer) rows of the most similar other galaxies
    """
    order, low, high = window(pair.z, settings.narrow)
    if not len(order):
        return
    size = np.full(len(pair.z), np.nan)
    size[order] = high - low
    methods = {KNOWN: lambda k: np.minimum(k / size, 1)}
    rank = ranks_by_redshift(voted(pair.z, found), pair.z)
    methods[ESTIMATED] = lambda k: np.where(np.isfinite(rank), rank <= k, np.nan)
    for method, hit in methods.items():
        for k in settings.top:
            hits = hit(k)
            hits = hits[np.isfinite(hits)]
            if len(hits):
                draws = statistics.bootstrap(_mean, hits, count=settings.resamples, seed=seed)
                row = (survey, pair.model, pair.name, method, "identity", settings.split, f"recall@{k}")
                yield tables.row(*row, hits.mean(), statistics.interval(draws), len(hits))


def voted(z: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Median redshift (n,) of the galaxies `found` (n, k) whose redshift is known; NaN where none is."""
    values = z[found]
    known = np.isfinite(values).any(axis=1)
    result = np.full(len(found), np.nan)
    if known.any():
        result[known] = np.nanmedian(values[known], axis=1)
    return result


def ranks_by_redshift(estimate: np.ndarray, z: np.ndarray, tie: float = 1e-9) -> np.ndarray:
    """Rank (n,) of galaxy i among all of known redshift by |z - estimate[i]|: 1 is closest, ties share their mean rank.

    NaN where estimate or redshift is unknown. n log n steps, no matrix.
    """
    rising = np.sort(z[np.isfinite(z)])
    known = np.isfinite(estimate) & np.isfinite(z)
    centre, reach = estimate[known], np.abs(estimate[known] - z[known])
    closer = np.searchsorted(rising, centre + reach - tie) - np.searchsorted(rising, centre - reach + tie, "right")
    closer = np.maximum(closer, 0)  # a reach of nothing
    up_to = np.searchsorted(rising, centre + reach + tie, "right") - np.searchsorted(rising, centre - reach - tie)
    result = np.full(len(z), np.nan)
    result[known] = 1 + closer + (up_to - closer - 1) / 2
    return result


def harmonic(n: np.ndarray) -> np.ndarray:
    """1 + 1/2 + ... + 1/n for each n (an array of whole numbers from 1 on)."""
    n = np.asarray(n, int)
    return np.cumsum(1 / np.arange(1, n.max() + 1))[n - 1]


def _mean(hits: np.ndarray) -> np.ndarray:
    return hits.mean(axis=-1)
