"""What the index and the exact scan share: queries checked, answers of several parts merged."""

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.explore.index_file import Space


def checked(vectors: np.ndarray, width: int) -> np.ndarray:
    """Vectors (Q, width); BadInput if they have another shape or are not finite."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise BadInput(f"vectors of shape {vectors.shape}, expected (Q, {width}) as those of the table")
    if not np.isfinite(vectors).all():
        raise BadInput("a vector that is asked for is not finite")
    return vectors


def mask(among: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool of a mask, or of rows."""
    among = np.asarray(among)
    if among.dtype == bool:
        return among
    found = np.zeros(count, bool)
    found[among] = True
    return found


def smallest(square: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest of each line, rising; of equal ones the lower row first."""
    order = np.lexsort((rows, square), axis=-1)[:, :k]
    return np.take_along_axis(square, order, 1), np.take_along_axis(rows, order, 1)


def padded(space: Space, square: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows (Q, k); NaN and -1 where there are fewer."""
    distance = np.full((len(square), k), np.nan)
    found = np.full((len(square), k), -1, np.int64)
    there = np.isfinite(square)
    width = square.shape[1]
    distance[:, :width] = np.where(there, space.distance(np.where(there, square, 0)), np.nan)
    found[:, :width] = np.where(there, rows, -1)
    return distance, found
