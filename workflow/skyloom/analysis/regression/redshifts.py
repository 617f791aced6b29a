"""Statistics of redshifts of many sources, bootstrapped on the same resamples.

A median of a resample needs no sorting of it: the errors are sorted once, and how often each galaxy was drawn, summed
up along that order, says where the middle lies.
"""

from collections.abc import Callable, Sequence

import numpy as np

from skyloom.analysis.common import statistics

OUTLIERS = (0.15, 0.05)
"""|dz| limits of the outlier rate: photometric, and spectroscopic redshifts."""
HALVINGS = 64  # of an interval: to the last bit of a double


def metrics() -> dict[str, Callable]:
    """Statistics (truth, prediction) -> number, by the name of their metric."""
    found = {"bias": statistics.bias, "sigma_nmad": statistics.sigma_nmad}
    for limit in OUTLIERS:
        found[f"outliers_{limit}"] = lambda truth, prediction, limit=limit: statistics.outlier_rate(
            truth, prediction, limit
        )
    return found


def bootstrap(
    truth: np.ndarray,
    predictions: np.ndarray,
    count: int = 1000,
    seed: int = 0,
    limits: Sequence[float] = OUTLIERS,
) -> dict[str, np.ndarray]:
    """Bootstrap values (M, count) of bias, sigma_NMAD and outlier rates of M predictions of n redshifts, all of the
    same resamples; NaN where a resample has no galaxy of a prediction.

    Parameters
    ----------
    truth : (n,), NaN where unknown
    predictions : (M, n), NaN where there is none: such galaxies do not count for that prediction

    20 predictions of 20,000 galaxies, 1,000 resamples, take about 3 s on one core.
    """
    truth, predictions = np.asarray(truth, dtype=float), np.asarray(predictions, dtype=float)
    dz = statistics.delta_z(truth, predictions)
    order = [np.flatnonzero(np.isfinite(row))[np.argsort(row[np.isfinite(row)], kind="stable")] for row in dz]
    ascending = [row[places] for row, places in zip(dz, order, strict=True)]
    names = ["bias", "sigma_nmad", *(f"outliers_{limit}" for limit in limits)]
    found: dict[str, list] = {name: [] for name in names}
    for rows in statistics.resamples(len(truth), count, seed):
        # (n, b): an order of galaxies is then one of whole lines
        drawn = np.ascontiguousarray(statistics.times_drawn(rows, len(truth)).T.astype(np.int32))
        blocks = [_block(values, drawn[places], limits) for values, places in zip(ascending, order, strict=True)]
        for place, name in enumerate(names):
            found[name].append(np.stack([block[place] for block in blocks]))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _block(dz: np.ndarray, drawn: np.ndarray, limits: Sequence[float]) -> list[np.ndarray]:
    """Values (b,) of each statistic: `dz` (m,) ascending, drawn (m, b) times."""
    nothing = np.full(drawn.shape[1], np.nan)
    if not len(dz):
        return [nothing] * (2 + len(limits))
    below = np.concatenate([np.zeros((1, drawn.shape[1]), np.int32), np.cumsum(drawn, axis=0, dtype=np.int32)])
    total = below[-1]
    there = total > 0
    middle = np.stack([np.maximum(total - 1, 0) // 2, total // 2])  # the two in the middle, the same one if odd
    median = dz[_place(below, middle)].mean(axis=0)
    mad = _deviation(dz, below, median, middle).mean(axis=0)
    rates = []
    for limit in limits:
        inside = below[np.searchsorted(dz, limit, "right")] - below[np.searchsorted(dz, -limit, "left")]
        rates.append(1 - inside / np.maximum(total, 1))
    return [np.where(there, values, np.nan) for values in (median, 1.4826 * mad, *rates)]


def _place(below: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The galaxy (k, b) in whose copies the `wanted`-th (k, b) drawn one lies, counted from 0; `below` (m + 1, b)."""
    low, high = np.zeros_like(wanted), np.full_like(wanted, len(below) - 2)
    columns = np.arange(below.shape[1])
    while (low < high).any():
        middle = (low + high) // 2
        beyond = below[middle + 1, columns] > wanted
        low, high = np.where(beyond, low, middle + 1), np.where(beyond, middle, high)
    return low


def _deviation(dz: np.ndarray, below: np.ndarray, median: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The `wanted`-th (k, b) smallest distance from `median` (b,), by halving an interval that holds it."""
    columns = np.arange(below.shape[1])

    def within(distance: np.ndarray) -> np.ndarray:
        inside = below[np.searchsorted(dz, median + distance, "right"), columns]
        return inside - below[np.searchsorted(dz, median - distance, "left"), columns] > wanted

    low, high = np.zeros(wanted.shape), np.full(wanted.shape, dz[-1] - dz[0])
    exactly = within(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        far = within(middle)
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    return np.where(exactly, 0.0, high)
