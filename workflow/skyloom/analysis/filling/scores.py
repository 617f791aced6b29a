"""Errors of what is filled in, in units of the noise: 1 is what the truth itself would have."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.filling.baselines import runs
from skyloom.figures.galaxies import LINES
from skyloom.settings.survey import SPEED_OF_LIGHT

NETWORK = "network"
CHI2, SMOOTHED, DELTA = "chi2", "chi2_smoothed", "delta_chi2"
HIDDEN, AT_LINES = "hidden", "at lines"
LEAST = 10
"""Galaxies below which nothing is said."""


@dataclasses.dataclass(frozen=True)
class Means:
    """Means by inverse variance of so many neighbouring bins, within a run of hidden ones."""

    size: int

    def __call__(self, values: np.ndarray, ivar: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, W) values and inverse variances to the means, at the first bin of each, with their inverse variances;
        these are 0 at all other bins."""
        mean, weight = np.zeros_like(values), np.zeros_like(ivar)
        for row in range(len(values)):
            for first, last in runs(hidden[row]):
                start = np.arange(first, last + 2 - self.size, self.size)
                if len(start):
                    end = start[-1] + self.size
                    own = ivar[row, first:end].reshape(-1, self.size)
                    total = own.sum(1)
                    found = (values[row, first:end].reshape(-1, self.size) * own).sum(1)
                    mean[row, start], weight[row, start] = found / np.maximum(total, 1e-30), total
        return mean, weight


def at_lines(wavelength: np.ndarray, z: np.ndarray, near: float) -> np.ndarray:
    """Bins (N, W) within `near` km/s of a main line at redshifts z (N,); none where z is unknown."""
    found = np.zeros((len(z), len(wavelength)), bool)
    for _, rest in LINES:
        with np.errstate(invalid="ignore"):
            found |= np.abs(wavelength / (rest * (1 + z[:, None])) - 1) < near / SPEED_OF_LIGHT
    return found


def chi2(flux: np.ndarray, ivar: np.ndarray, filled: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean squared error (N,) in units of the noise, of the bins of `where` with data; NaN where there are none."""
    count = (where & (ivar > 0)).sum(1)
    total = ((filled - flux) ** 2 * ivar * where).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def errors(
    flux: np.ndarray, ivar: np.ndarray, hidden: np.ndarray, lines: np.ndarray, filled: Mapping, size: int
) -> dict[tuple[str, str, str], np.ndarray]:
    """(method, HIDDEN or AT_LINES, metric) -> (N,) errors of all that is hidden, or of hidden bins at lines; bin by
    bin, and of means of `size` bins."""
    means, found = Means(size), {}
    smooth, weight = means(flux, ivar, hidden)
    inside = means(lines.astype(float), np.ones_like(ivar), hidden)[0] > 0
    for method, own in filled.items():
        found[method, HIDDEN, CHI2] = chi2(flux, ivar, own, hidden)
        found[method, AT_LINES, CHI2] = chi2(flux, ivar, own, hidden & lines)
        drawn = means(own, ivar, hidden)[0]
        found[method, HIDDEN, SMOOTHED] = chi2(smooth, weight, drawn, weight > 0)
        found[method, AT_LINES, SMOOTHED] = chi2(smooth, weight, drawn, inside)
    return found


def rows(survey: str, model: str, modality: str, found: Mapping, count: int, seed: int) -> Iterator[dict]:
    """Rows of the tidy table: medians over galaxies, and the median difference of the network and each other method,
    galaxy by galaxy, with 95 % intervals of a bootstrap over galaxies."""
    for (method, part, metric), values in found.items():
        own = found[NETWORK, part, metric]
        known = np.isfinite(values) & np.isfinite(own)
        if known.sum() < LEAST:
            continue
        pairs = [(metric, values)] + ([] if method == NETWORK else [(DELTA + metric.removeprefix(CHI2), own - values)])
        for name, each in pairs:
            ci = statistics.interval(statistics.bootstrap(_median, each[known], count=count, seed=seed))
            yield tables.row(survey, model, modality, method, part, "test", name, _median(each[known]), ci, known.sum())


def _median(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=-1)
