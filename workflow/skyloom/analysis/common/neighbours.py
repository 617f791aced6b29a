"""Nearest neighbours, exact and in bounded memory: weighted means of their values, and the spaces to look in.

The search itself is in `skyloom.analysis.common.search`.
"""

import numpy as np
import torch

from skyloom.analysis.common import search
from skyloom.core.errors import BadConfig

METRICS = ("euclidean", "cosine")
DEVICES = ("auto", "cpu", "cuda")
BLOCK = 2**24  # similarities held at once where an analysis compares all pairs itself: 64 MiB in single precision


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
    """Reference and others, each column by its mean and deviation in the reference; constant columns become 0."""
    mean, std = reference.mean(axis=0, dtype=np.float64), reference.std(axis=0, dtype=np.float64)
    std = np.where(std > 0, std, 1.0)
    return [((x - mean) / std).astype(np.float32) for x in (reference, *others)]


def whiten(count: int, reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """The leading `count` principal components of the reference, each scaled to deviation 1 in it.

    In a standardised embedding every column counts the same, those that hold noise too; the leading components are what
    its columns have in common. Signs are fixed, so that the result does not depend on the linear algebra library.
    """
    mean = reference.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov(reference.T.astype(np.float64)))
    leading = vectors[:, ::-1][:, :count]
    leading = leading * np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(count)])
    scale = np.sqrt(np.maximum(values[::-1][:count], np.finfo(np.float32).tiny))
    return [((x - mean) @ leading / scale).astype(np.float32) for x in (reference, *others)]


def _device(name: str) -> torch.device:
    there = torch.cuda.is_available()
    if name.split(":")[0] not in DEVICES or (name.startswith("cuda") and not there):
        allowed = DEVICES if there else ("auto", "cpu")
        raise BadConfig(f"device is {name!r}; allowed here: {', '.join(allowed)}")
    return torch.device(("cuda" if there else "cpu") if name == "auto" else name)
