"""Ranks by similarity, among all galaxies or among those of about the same redshift; all pairs in blocks."""

import numpy as np
import torch

from skyloom.analysis.common import neighbours

ROUNDING = 2e-6  # of a single-precision dot product of unit vectors: similarities closer than this are ties


def ranks(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Rank (n,) of gallery row i for query row i by dot product of unit vectors: 1 is best, ties share their mean rank.

    An encoder that has collapsed to one point gets (n + 1) / 2 everywhere, not 1.
    """
    everything = np.zeros(len(queries), int), np.full(len(queries), len(gallery))
    return _ranks(queries, gallery, *everything)


def ranks_within(
    queries: np.ndarray, gallery: np.ndarray, z: np.ndarray, narrow: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same among the galaxies within `narrow` of the query's redshift.

    Parameters
    ----------
    queries, gallery : (n, d) unit vectors
    z : (n,), NaN where unknown
    narrow : largest |dz|/(1 + z), exclusive; z is the query's

    Returns
    -------
    rank (n,), NaN where the redshift is unknown; candidates (n,), the counterpart among them, 0 where it is unknown
    """
    order, low, high = window(z, narrow)
    rank, size = np.full(len(z), np.nan), np.zeros(len(z), int)
    rank[order] = _ranks(np.asarray(queries)[order], np.asarray(gallery)[order], low, high)
    size[order] = high - low
    return rank, size


def window(z: np.ndarray, narrow: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Galaxies of known redshift (m,) by rising redshift, and where in this order the ones near each begin and end.

    Near is |dz|/(1 + z) < `narrow`; places low to high - 1 are near, each galaxy itself among them.
    """
    known = np.flatnonzero(np.isfinite(z))
    order = known[np.argsort(z[known], kind="stable")]
    rising, place = z[order], np.arange(len(order))
    reach = narrow * (1 + rising)
    low = np.searchsorted(rising, rising - reach, side="right")
    high = np.searchsorted(rising, rising + reach, side="left")
    return order, np.minimum(low, place), np.maximum(high, place + 1)


def _ranks(queries: np.ndarray, gallery: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Rank (n,) of gallery row i for query row i among the gallery rows low[i] to high[i] - 1; both must not fall."""
    queries, gallery = torch.as_tensor(queries), torch.as_tensor(gallery)
    low, high = torch.as_tensor(low)[:, None], torch.as_tensor(high)[:, None]
    found = [np.empty(0)]
    for rows in torch.arange(len(queries)).split(max(1, neighbours.BLOCK // max(1, len(gallery)))):
        if not len(rows):
            continue
        first, last = int(low[rows[0]]), int(high[rows[-1]])
        similarity = queries[rows] @ gallery[first:last].T
        own = similarity[torch.arange(len(rows)), rows - first][:, None]
        better, not_worse = similarity > own + ROUNDING, similarity >= own - ROUNDING
        if low[rows].max() > first or high[rows].min() < last:
            place = torch.arange(first, last)
            inside = (place >= low[rows]) & (place < high[rows])
            better, not_worse = better & inside, not_worse & inside
        found.append((1 + _count(better) + _count(not_worse)) / 2)
    return np.concatenate(found)


def _count(marked: torch.Tensor) -> np.ndarray:
    """How many of each row are true; numpy does this ten times faster than torch."""
    return np.count_nonzero(marked.numpy(), axis=1)
