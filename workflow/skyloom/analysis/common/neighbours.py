"""Nearest neighbours, exact and in bounded memory: weighted means of their values, and the spaces to look in.

The search itself is in `skyloom.analysis.common.search`.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from skyloom.analysis.common import search
from skyloom.core.errors import BadConfig

METRICS = ("euclidean", "cosine")
DEVICES = ("auto", "cpu", "cuda")
BLOCK = 2**24  # similarities held at once where an analysis compares all pairs itself: 64 MiB in single precision
_ROWS = 4096  # of a table in double precision at once


def nearest(
    queries: np.ndarray, reference: np.ndarray, k: int, metric: str = "euclidean", device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest reference rows of each query, exactly: ties go to the lower row number.

    The answer does not depend on the device, the number of threads nor on how the work is cut into blocks.

    Parameters
    ----------
    queries, reference : (Q, d), (N, d) float, finite
    k : neighbours, at most N (fewer references give all of them)
    metric : "euclidean", or "cosine": L2-normalised first, so the distance is sqrt(2 - 2 cos)
    device : "cpu", "cuda" (or "cuda:1"), or "auto": CUDA if there is one

    Returns
    -------
    distance (Q, k) float64 ascending, index (Q, k) int64 into `reference`

    Raises
    ------
    BadConfig : an unknown metric, or a device that is not there.
    """
    if metric not in METRICS:
        raise BadConfig(f"metric is {metric!r}; allowed: {', '.join(METRICS)}")
    return search.search(queries, reference, min(k, len(reference)), metric == "cosine", _device(device))


def average(distance: np.ndarray, values: np.ndarray, weights: str = "distance") -> np.ndarray:
    """Mean (Q,) over neighbour values (Q, k), weighted by 1/distance or uniformly.

    As in scikit-learn: where a neighbour lies at distance 0, only such neighbours count.
    """
    w = neighbour_weights(distance, weights)
    return (w * values).sum(axis=1) / w.sum(axis=1)


def neighbour_weights(distance: np.ndarray, weights: str) -> np.ndarray:
    """Weights (Q, k), not normalised, of "distance" or "uniform" averaging."""
    if weights == "uniform":
        return np.ones_like(distance)
    if weights != "distance":
        raise BadConfig(f"weights is {weights!r}; allowed: distance, uniform")
    same = distance == 0
    with np.errstate(divide="ignore"):
        inverse = 1 / distance
    return np.where(same.any(axis=1, keepdims=True), same.astype(float), inverse)


def standardise(reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Reference and others, each column by its mean and deviation in the reference; constant columns become 0.

    The only arrays made of the size of a table are the results, float32.
    """
    mean, squares = _moments(reference)
    std = np.sqrt(squares)
    std = np.where(std > 0, std, 1.0)
    return [_blockwise(x, x.shape[1], lambda rows: (rows - mean) / std) for x in (reference, *others)]


def whiten(count: int, reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """The leading `count` principal components of the reference, each scaled to deviation 1 in it.

    In a standardised embedding every column counts the same, those that hold noise too; the leading components are what
    its columns have in common. Signs are fixed, so that the result does not depend on the linear algebra library.
    """
    mean, _ = _moments(reference)
    squares = np.zeros((len(mean), len(mean)))
    for rows in _row_blocks(reference):
        rows = rows - mean
        squares += rows.T @ rows
    values, vectors = np.linalg.eigh(squares / (len(reference) - 1))
    leading = vectors[:, ::-1][:, :count]
    leading = leading * np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(count)])
    scale = np.sqrt(np.maximum(values[::-1][:count], np.finfo(np.float32).tiny))
    return [_blockwise(x, count, lambda rows: (rows - mean) @ leading / scale) for x in (reference, *others)]


def _moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and mean square deviation (d,) of the columns, in double precision."""
    mean = sum(rows.sum(axis=0) for rows in _row_blocks(table)) / len(table)
    return mean, sum(((rows - mean) ** 2).sum(axis=0) for rows in _row_blocks(table)) / len(table)


def _blockwise(table: np.ndarray, width: int, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`function` of blocks of rows in double precision, put together as (n, width) float32."""
    result = np.empty((len(table), width), np.float32)
    for number, rows in enumerate(_row_blocks(table)):
        result[number * _ROWS : (number + 1) * _ROWS] = function(rows)
    return result


def _row_blocks(table: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(table), _ROWS):
        yield np.asarray(table[start : start + _ROWS], np.float64)


def _device(name: str) -> torch.device:
    there = torch.cuda.is_available()
    if name.split(":")[0] not in DEVICES or (name.startswith("cuda") and not there):
        allowed = DEVICES if there else ("auto", "cpu")
        raise BadConfig(f"device is {name!r}; allowed here: {', '.join(allowed)}")
    return torch.device(("cuda" if there else "cpu") if name == "auto" else name)
