"""One number out of many scores: ranks, made comparable, averaged within families and put together across them."""

from collections.abc import Iterable

import numpy as np
import pandas
from scipy.stats import rankdata

from skyloom.analysis.anomalies.scores import Score

HOWS = ("sum", "maximum")
DEFAULT = "sum"
"""What is taken where no label tells which is better."""


def oddness(values: np.ndarray) -> np.ndarray:
    """-ln of the share of galaxies that are at least as odd, (n,); of galaxies like the others an exponential variate.

    The sum of such numbers is Fisher's (1925) way to put significances together. NaN where unknown.
    """
    values = np.asarray(values, float)
    known = np.isfinite(values)
    result = np.full(len(values), np.nan)
    if known.any():
        result[known] = -np.log1p(-(rankdata(values[known]) - 0.5) / known.sum())
    return result


def families(scores: Iterable[Score], targetid: np.ndarray) -> pandas.DataFrame:
    """The oddness of galaxies in each family: of the mean oddness in its scores that count. Index: targetid."""
    grouped: dict[str, list[np.ndarray]] = {}
    for score in scores:
        if score.counts:
            grouped.setdefault(score.family, []).append(oddness(score.values.reindex(targetid)))
    found = {name: oddness(pandas.DataFrame(parts).mean(axis=0).to_numpy()) for name, parts in grouped.items()}
    return pandas.DataFrame(found, index=pandas.Index(targetid, name="targetid"))


def combined(table: pandas.DataFrame, how: str) -> np.ndarray:
    """The mean ("sum": a galaxy without a modality has fewer) or the maximum (n,) of the oddness in all families."""
    return (table.max(axis=1) if how == "maximum" else table.mean(axis=1)).to_numpy(float)


def places(values: np.ndarray) -> np.ndarray:
    """Place (n,) of each galaxy in the list, the oddest first, from 1; unknown last, ties as they come."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    result = np.empty(len(values), np.int64)
    result[order] = np.arange(1, len(values) + 1)
    return result
