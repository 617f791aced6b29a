"""How many of the true neighbours an index finds, measured against the exact scan of the same table."""

import json
import os

import numpy as np

from skyloom.core.files import atomic
from skyloom.explore.index import Index
from skyloom.explore.scan import Scan

K, QUERIES = 10, 1000
"""Neighbours, and galaxies that are asked for: recall is known to 0.001 and better."""


def measure(index: Index, scan: Scan, k: int = K, queries: int = QUERIES) -> dict:
    """Recall@k of an index: what share of the k nearest by the exact scan it names.

    The queries are galaxies of the table, evenly through it; each is its own nearest and does not count. A galaxy that
    is as near as the k-th, to one part in a thousand of its distance (what 16 bits can tell), counts as found.

    Returns
    -------
    k, queries, galaxies, width, recall, lowest (of the queries), identical (share of queries whose answers are the
    same, in the same order)
    """
    rows = np.unique(np.linspace(0, max(len(scan) - 1, 0), min(queries, len(scan))).astype(int))
    fewer = min(k, max(len(scan) - 1, 0))
    about = {"k": k, "queries": len(rows), "galaxies": len(scan), "width": scan.width, "metric": scan.space.metric}
    if not fewer:
        return about | {"recall": None, "lowest": None, "identical": None}
    vectors = scan.raw(rows)
    true, found = (_others(part.search(vectors, fewer + 1), rows, fewer) for part in (scan, index))
    hits = np.array([np.isin(a, b) for a, b in zip(found[1], true[1], strict=True)])
    near = _distances(scan, rows, found[1]) <= 1.001 * true[0][:, -1:]
    hits = (hits | near) & (found[1] >= 0)
    return about | {
        "recall": round(float(hits.mean()), 5),
        "lowest": round(float(hits.mean(axis=1).min()), 5),
        "identical": round(float((found[1] == true[1]).all(axis=1).mean()), 5),
    }


def write(path: str | os.PathLike, index_path: str | os.PathLike, scan: Scan) -> dict:
    """Measure the recall of an index that was just made, and write it beside it as JSON."""
    found = measure(Index(index_path), scan) | {"bytes": os.path.getsize(index_path)}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


def _distances(scan: Scan, rows: np.ndarray, found: np.ndarray) -> np.ndarray:
    """True distances (Q, k) of what was found for rows (Q,)."""
    used, place = np.unique(np.append(rows, found.clip(0)), return_inverse=True)
    values = scan.space.of(scan.raw(used)).astype("f8")
    place = place.ravel()
    queries, others = values[place[: len(rows)]], values[place[len(rows) :]].reshape(*found.shape, -1)
    return scan.space.distance(((others - queries[:, None]) ** 2).sum(axis=2))


def _others(found: tuple[np.ndarray, np.ndarray], rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest but the galaxy itself."""
    distance, place = found
    order = np.argsort(place == rows[:, None], axis=1, kind="stable")[:, :k]
    order.sort(axis=1)
    return np.take_along_axis(distance, order, 1), np.take_along_axis(place, order, 1)
