"""Box plots in numbers: quartiles, whiskers and mean of absolute residuals, each with its interval."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import binom

from skyloom.analysis.common import statistics, tables

QUARTILES = {"q1": 0.25, "median": 0.5, "q3": 0.75}
NAN = (np.nan, np.nan)


def box(values: np.ndarray, whisker: float = 1.5) -> dict[str, float]:
    """What a box plot draws of `values` (n,), n > 0, all finite.

    q1, median, q3 (linear between order statistics); whisker_low and whisker_high, the outermost values within
    `whisker` interquartile ranges of the box (Tukey 1977); mean; outlier_rate, the share above the upper of these
    limits: the galaxies that the benchmark calls outliers.
    """
    found = dict(zip(QUARTILES, np.quantile(values, list(QUARTILES.values())), strict=True))
    reach = whisker * (found["q3"] - found["q1"])
    low, high = values[values >= found["q1"] - reach], values[values <= found["q3"] + reach]
    found["whisker_low"] = min(low.min(initial=np.inf), found["q1"])  # never inside the box
    found["whisker_high"] = max(high.max(initial=-np.inf), found["q3"])
    return found | {"mean": values.mean(), "outlier_rate": (values > found["q3"] + reach).mean()}


def quantile_interval(values: np.ndarray, q: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the quantile `q` of what `values` (n,) were drawn from: two of them, whatever the distribution.

    The numbers of the order statistics are binomial quantiles (Conover 1999, section 3.2): the interval has at least
    `level`. NaN where n is too small for that.
    """
    n, tail = len(values), (1 - level) / 2
    low, high = int(binom.ppf(tail, n, q)), int(binom.ppf(1 - tail, n, q)) + 1  # counted from 1
    if low < 1 or high > n:
        return NAN
    ends = np.partition(values, [low - 1, high - 1])[[low - 1, high - 1]]
    return float(ends[0]), float(ends[1])


def bootstrap_means(values: np.ndarray, count: int = 1000, seed: int = 0) -> np.ndarray:
    """Bootstrap values (M, count) of the mean of each row of `values` (M, n), NaN apart, all of the same resamples."""
    n = values.shape[1]
    terms = np.concatenate([np.nan_to_num(values), np.isfinite(values)]).T  # (n, 2 M)
    found = []
    for rows in statistics.resamples(n, count, seed):
        drawn = statistics.times_drawn(rows, n)
        total, number = np.split(drawn @ terms, 2, axis=1)
        found.append(np.where(number > 0, total / np.where(number > 0, number, 1), np.nan))
    return np.concatenate(found).T


def box_rows(survey: str, predicted, whisker: float, resamples: int, seed: int) -> Iterator[dict]:
    """Rows of the tidy table: `box` of the absolute residuals of every source of a `bygroup.Predicted`.

    Quartiles have the intervals of `quantile_interval`, the mean of the bootstrap, the share of outliers the exact
    binomial one (its limit taken as given); whiskers have none. A source without predictions gets no row.
    """
    errors = np.abs(predicted.values - predicted.truth)
    means = bootstrap_means(errors, resamples, seed)
    for source, own, draws in zip(predicted.sources, errors, means, strict=True):
        own = own[np.isfinite(own)]
        n = len(own)
        if not n:
            continue
        found = box(own, whisker)
        intervals = {name: quantile_interval(own, q) for name, q in QUARTILES.items()}
        intervals["outlier_rate"] = statistics.exact_interval(round(found["outlier_rate"] * n), n)
        if n > 1:
            intervals["mean"] = statistics.interval(draws)
        for metric, value in found.items():
            ci = intervals.get(metric, NAN)
            yield tables.row(survey, *source, predicted.name, "test", metric, value, ci, n)
