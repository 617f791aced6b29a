"""Nearest neighbours by chunked matrix product and top-k in torch: one path for CPU and GPU."""

import numpy as np
import torch

from skyloom.core.errors import BadConfig

METRICS = ("euclidean", "cosine")
BLOCK = 2**24  # similarities held at once: 64 MiB in single precision
SPARE = 8  # candidates kept beyond k, so that single-precision rounding cannot push a true neighbour out


def nearest(
    queries: np.ndarray, reference: np.ndarray, k: int, metric: str = "euclidean"
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest reference rows of each query.

    Parameters
    ----------
    queries, reference : (Q, d), (N, d) float
    k : neighbours, at most N (fewer references give all of them)
    metric : "euclidean", or "cosine": L2-normalised first, so the distance is sqrt(2 - 2 cos)

    Returns
    -------
    distance (Q, k) float64 ascending, index (Q, k) int64 into `reference`
    """
    if metric not in METRICS:
        raise BadConfig(f"metric is {metric!r}; allowed: {', '.join(METRICS)}")
    centre = reference.mean(axis=0, dtype=np.float64) if metric == "euclidean" else 0.0
    queries, reference = (_prepare(x, centre, metric) for x in (queries, reference))
    k = min(k, len(reference))
    wanted = min(k + SPARE, len(reference))
    squares = (reference**2).sum(dim=1)
    distances, indices = [], []
    for block in queries.split(max(1, BLOCK // len(reference))):
        # |q - r|^2 = |q|^2 + |r|^2 - 2 q.r; |q|^2 does not change the order
        candidates = torch.topk(squares - 2 * block @ reference.T, wanted, dim=1, largest=False).indices
        distance, order = _exact(block, reference, candidates).sort(dim=1, stable=True)
        distances.append(distance[:, :k])
        indices.append(candidates.gather(1, order)[:, :k])
    return torch.cat(distances).numpy(), torch.cat(indices).numpy()


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


def _prepare(rows: np.ndarray, centre: np.ndarray | float, metric: str) -> torch.Tensor:
    # Distances do not change with the origin; a centred cloud loses fewer digits in the expanded square.
    rows = torch.as_tensor(np.asarray(rows, dtype=np.float32) - np.float32(centre))
    return torch.nn.functional.normalize(rows, dim=1) if metric == "cosine" else rows


def _exact(block: torch.Tensor, reference: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Distances (b, k) from each row of the block to its candidates, from differences: no cancellation."""
    step = max(1, BLOCK // (candidates.shape[1] * reference.shape[1]))
    parts = [
        (reference[some] - rows[:, None]).norm(dim=2).double()
        for rows, some in zip(block.split(step), candidates.split(step), strict=True)
    ]
    return torch.cat(parts)
