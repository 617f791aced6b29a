"""Which galaxies are outliers of which source, in which properties."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.common import bygroup

GALAXIES = ["survey", "targetid", "model", "modality", "method", "properties", "which", "complete"]
"""Columns of the outliers: in how many properties, their names with commas, and whether all properties are known."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """Outliers of a source (model, modality, method).

    Attributes
    ----------
    source : its names
    known, outlier : (N, P) bool, galaxies with a residual, and those of them whose residual is an outlier
    threshold : (P,) the absolute residual above which one is, NaN for properties with too few residuals
    """

    source: tuple[str, str, str]
    known: np.ndarray
    outlier: np.ndarray
    threshold: np.ndarray

    @property
    def complete(self) -> np.ndarray:
        """(N,) galaxies with a residual in every property that the source has; none where it has none."""
        there = np.isfinite(self.threshold)
        return self.known[:, there].all(axis=1) & there.any()

    @property
    def whole(self) -> np.ndarray:
        """(n, P') outliers of the complete galaxies, in the properties that the source has."""
        return self.outlier[self.complete][:, np.isfinite(self.threshold)]


def threshold_of(errors: np.ndarray, whisker: float, least: int) -> float:
    """Q3 + `whisker` IQR of absolute residuals (n,), NaN apart; NaN where fewer than `least` are known."""
    known = errors[np.isfinite(errors)]
    if len(known) < least:
        return np.nan
    low, high = np.quantile(known, [0.25, 0.75])
    return float(high + whisker * (high - low))


def flags_of(predicted: Sequence[bygroup.Predicted], whisker: float, least: int) -> tuple[np.ndarray, list[Flags]]:
    """Galaxies (N,) of any of P properties by rising targetid, and the outliers of each source among them.

    The threshold of a property is that of all its residuals, of galaxies that lack other properties too.
    """
    targetid = np.unique(np.concatenate([p.targetid for p in predicted])) if predicted else np.zeros(0, np.int64)
    errors: dict[tuple, np.ndarray] = {}
    for column, one in enumerate(predicted):
        rows = np.searchsorted(targetid, one.targetid)
        for source, values in zip(one.sources, np.abs(one.values - one.truth), strict=True):
            own = errors.setdefault(source, np.full((len(targetid), len(predicted)), np.nan))
            own[rows, column] = values
    found = []
    for source, own in errors.items():
        limits = np.array([threshold_of(column, whisker, least) for column in own.T])
        with np.errstate(invalid="ignore"):
            found.append(Flags(source, np.isfinite(own), own > limits, limits))
    return targetid, [flags for flags in found if np.isfinite(flags.threshold).any()]


def galaxies_of(survey: str, flags: Flags, names: Sequence[str], targetid: np.ndarray) -> pandas.DataFrame:
    """GALAXIES of a source: those that are outliers in at least one property."""
    rows = np.flatnonzero(flags.outlier.any(axis=1))
    own = flags.outlier[rows]
    patterns, which = np.unique(own, axis=0, return_inverse=True)
    told = np.array([",".join(itertools.compress(names, pattern)) for pattern in patterns], dtype=object)
    columns = [survey, targetid[rows], *flags.source, own.sum(axis=1), told[which.ravel()], flags.complete[rows]]
    return pandas.DataFrame(dict(zip(GALAXIES, columns, strict=True)))
