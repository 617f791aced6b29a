"""What independence would give: how often outliers coincide by chance, in a galaxy and between two models."""

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm

from skyloom.analysis.common import statistics


def poisson_binomial(rates: np.ndarray) -> np.ndarray:
    """Probabilities (P + 1,) that 0 ... P of independent events happen, which have the probabilities `rates` (P,)."""
    found = np.ones(1)
    for rate in rates:
        found = np.convolve(found, [1 - rate, rate])
    return found


def coincidence(flags: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Galaxies that are outliers in two or more properties, in units of what independence gives, and its 95 % interval.

    Parameters
    ----------
    flags : (n, P) bool

    The expectation is that of properties which are outliers as often as these and independently of each other. The
    interval is the exact binomial one of the number of such galaxies, the expectation taken as given: that number has
    much the larger scatter, and what both have in common makes the interval too wide rather than too narrow (under
    independence the variance of the logarithm of the ratio is that of the number less that of the expectation). NaN
    where nothing is expected.
    """
    n = len(flags)
    expected = poisson_binomial(flags.mean(axis=0))[2:].sum() if n else 0.0
    if expected <= 0:
        return np.nan, (np.nan, np.nan)
    hits = int((flags.sum(axis=1) >= 2).sum())
    low, high = statistics.exact_interval(hits, n)
    return hits / n / expected, (low / expected, high / expected)


def pooled_coincidence(
    flags: np.ndarray, counted: np.ndarray, count: int = 1000, seed: int = 0
) -> tuple[float, np.ndarray]:
    """`coincidence` of M models together, and its bootstrap values (count,): galaxies that two models share stay
    together, so that models which fail alike make the interval as wide as it must be.

    Parameters
    ----------
    flags : (M, n, P) bool, False where a model has no residual
    counted : (M, n) bool, galaxies that have all properties
    """
    models, n, _ = flags.shape
    flags = flags & counted[..., None]
    several = flags.sum(axis=2) >= 2
    terms = np.concatenate([np.moveaxis(flags, 1, 0), np.stack([several, counted], axis=2).swapaxes(0, 1)], axis=2)
    terms = terms.reshape(n, -1).astype(float)  # of each model P rates, those in several properties, those that count
    values = [_excess(np.ones((1, n)) @ terms, models)]
    for rows in statistics.resamples(n, count, seed):
        drawn = statistics.times_drawn(rows, n)
        values.append(_excess(drawn @ terms, models))
    found = np.concatenate(values)
    return float(found[0]), found[1:]


def _excess(sums: np.ndarray, models: int) -> np.ndarray:
    sums = sums.reshape(len(sums), models, -1)
    hits, number = sums[..., -2], sums[..., -1]
    rates = sums[..., :-2] / np.where(number > 0, number, 1)[..., None]
    none = np.prod(1 - rates, axis=-1)
    one = sum(rates[..., p] * np.prod(np.delete(1 - rates, p, axis=-1), axis=-1) for p in range(rates.shape[-1]))
    expected = (number * (1 - none - one)).sum(axis=-1)
    possible = expected > 1e-9 * number.sum(axis=-1)
    return np.where(possible, hits.sum(axis=-1) / np.where(possible, expected, 1), np.nan)


def jaccard(first: np.ndarray, second: np.ndarray) -> tuple[float, tuple[float, float], int]:
    """Overlap of two sets of the same galaxies (n,) bool: shared by what either has (Jaccard 1901), its exact binomial
    interval given the union, and the size of the union. NaN where neither has any."""
    shared, either = int((first & second).sum()), int((first | second).sum())
    if not either:
        return np.nan, (np.nan, np.nan), 0
    return shared / either, statistics.exact_interval(shared, either), either


def jaccard_by_chance(one: int, other: int, n: int) -> float:
    """The mean overlap of two sets of `one` and `other` among `n` galaxies that are drawn independently: exactly, from
    the hypergeometric distribution of what they share. NaN for two empty sets."""
    if not one + other:
        return np.nan
    shared = np.arange(max(0, one + other - n), min(one, other) + 1)
    ways = _ways(one, shared) + _ways(n - one, other - shared)  # by logarithms: scipy's own takes 0.1 s a call
    chance = np.exp(ways - ways.max())
    return float((chance / chance.sum() * shared / (one + other - shared)).sum())


def _ways(n: int, k: np.ndarray) -> np.ndarray:
    return -(gammaln(k + 1) + gammaln(n - k + 1))


def gaussian_rate(whisker: float) -> float:
    """The share of galaxies that are outliers if errors are Gaussian, whatever their scatter: 1.65 % with 1.5 IQR."""
    low, high = norm.ppf([0.625, 0.875])  # quartiles of the absolute value
    return float(2 * norm.sf(high + whisker * (high - low)))


def pair_of(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
    """Model and modality of two (model, modality) as they stand in the table: a modality of both once."""
    return " - ".join((one[0], other[0])), " - ".join(dict.fromkeys((one[1], other[1])))
