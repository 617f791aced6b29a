"""Lines in what is drawn beside the same lines in what is observed: place, width, height, and how many are there."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from skyloom.analysis.common import statistics
from skyloom.analysis.reconstruction import Line, Settings
from skyloom.analysis.reconstruction.answers import Spectra, in_flux
from skyloom.analysis.reconstruction.fit import Fits, fit, height_in

SHUFFLES = 5
"""How often galaxies are shuffled to know chance."""
LEAST = 10
"""Observed lines below which nothing is said."""
WHOLE = 0.8
"""Share of a window that must lie in the spectrum."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """A line in the N galaxies where it is observed and was hidden.

    Attributes
    ----------
    rows : (N,) rows of the spectra
    place : (N,) Angstrom, where it is at the known redshift
    step : (N,) Angstrom between numbers of the spectrum there
    observed, drawn : fits
    in_place : (N,) height of what is drawn with centre and width as observed
    chance : (SHUFFLES,) share of lines found at the right place in what is drawn of other galaxies
    """

    rows: np.ndarray
    place: np.ndarray
    step: np.ndarray
    observed: Fits
    drawn: Fits
    in_place: np.ndarray
    chance: np.ndarray

    def recovered(self, drawn: Fits, least_snr: float) -> np.ndarray:
        """(N,) bool: a line is there, and its centre is within a number of the spectrum, or within the line's own
        standard deviation if that is more, of the observed one."""
        near = np.abs(drawn.centre - self.observed.centre) <= np.maximum(self.step, self.observed.sigma)
        return (drawn.snr >= least_snr) & near


def measure(wavelength: np.ndarray, spectra: Spectra, drawn: np.ndarray, line: Line, s: Settings, seed: int) -> Pairs:
    """Fit a line in all spectra in which it is observed, at least so clearly, near the known redshift, and was hidden.

    Parameters
    ----------
    wavelength : (n,) Angstrom
    drawn : (N, n) what is compared with the truth
    """
    truth, drawn = (in_flux(values, spectra.noise) for values in (spectra.truth, drawn))
    place = line.wavelength * (1 + spectra.z)
    half = line.window * (1 + spectra.z)
    step = np.interp(place, wavelength, np.gradient(wavelength))
    inside = np.minimum(place + half, wavelength[-1]) - np.maximum(place - half, wavelength[0]) >= WHOLE * 2 * half
    inside &= (place > wavelength[0] + 2 * step) & (place < wavelength[-1] - 2 * step) & np.isfinite(place)
    rows = np.flatnonzero(inside)
    observed = fit(wavelength, truth[rows], place[rows], half[rows])
    kept = (observed.snr >= s.least_snr) & (np.abs(observed.centre - place[rows]) <= 3 * step[rows] + observed.sigma)
    kept[kept] &= _hidden(wavelength, spectra.hidden[rows[kept]], observed.centre[kept])
    rows, observed = rows[kept], Fits(*(v[kept] for v in dataclasses.astuple(observed)))
    where = place[rows], half[rows]
    found = fit(wavelength, drawn[rows], *where)
    in_place = height_in(wavelength, drawn[rows], *where, observed) if len(rows) else np.empty(0)
    pairs = Pairs(rows, place[rows], step[rows], observed, found, in_place, np.empty(0))
    rng, chance = np.random.default_rng(seed), []
    for _ in range(SHUFFLES if len(rows) > 1 else 0):
        other = _deranged(rng, len(rows))
        chance.append(pairs.recovered(fit(wavelength, drawn[rows[other]], *where), s.least_snr).mean())
    return dataclasses.replace(pairs, chance=np.array(chance))


def _hidden(wavelength: np.ndarray, hidden: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Whether the numbers under the centre (N,) and on either side were hidden (N, n)."""
    near = np.abs(wavelength - centre[:, None]).argmin(1).clip(1, len(wavelength) - 2)
    return np.all([np.take_along_axis(hidden, near[:, None] + shift, 1)[:, 0] for shift in (-1, 0, 1)], axis=0)


def _deranged(rng: np.random.Generator, count: int) -> np.ndarray:
    """Each row another's: a cycle through all rows in random order."""
    order = rng.permutation(count)
    other = np.empty(count, int)
    other[order] = np.roll(order, 1)
    return other


def scores(pairs: Pairs, s: Settings, seed: int) -> Iterator[tuple[str, float, tuple[float, float], int]]:
    """(metric, value, 95 % interval, n) of a line; places, widths and heights of the lines that are recovered."""
    n = len(pairs.rows)
    if n < LEAST:
        yield "observed", n, (np.nan, np.nan), n
        return
    there = pairs.recovered(pairs.drawn, s.least_snr)
    yield "observed", n, (np.nan, np.nan), n
    yield "recovered", *_score(_mean, [there], s, seed)
    yield "recovered_by_chance", pairs.chance.mean(), (np.nan, np.nan), n
    yield "height_ratio_in_place", *_score(_median, [pairs.in_place / pairs.observed.height], s, seed)
    if there.sum() < LEAST:
        return
    one, other = pairs.observed, pairs.drawn
    shift = (other.centre - one.centre)[there]
    yield "centre_bias", *_score(_median, [shift], s, seed)
    yield "centre_scatter", *_score(_scatter, [shift], s, seed)
    dz = shift / pairs.place[there]
    yield "centre_bias_dz", *_score(_median, [dz], s, seed)
    yield "centre_scatter_dz", *_score(_scatter, [dz], s, seed)
    for name, a, b in (("width", one.fwhm, other.fwhm), ("height", one.height, other.height)):
        yield f"{name}_observed", *_score(_median, [a[there]], s, seed)
        yield f"{name}_reconstructed", *_score(_median, [b[there]], s, seed)
        yield f"{name}_ratio", *_score(_median, [b[there] / a[there]], s, seed)
    yield "widest", *_score(_mean, [other.widest[there]], s, seed)


def _score(statistic: Callable, columns: list, s: Settings, seed: int) -> tuple[float, tuple[float, float], int]:
    columns = [np.asarray(column, float) for column in columns]
    drawn = statistics.bootstrap(statistic, *columns, count=s.resamples, seed=seed)
    return float(statistic(*columns)), statistics.interval(drawn), len(columns[0])


def _mean(x: np.ndarray) -> np.ndarray:
    return x.mean(-1)


def _median(x: np.ndarray) -> np.ndarray:
    return np.median(x, axis=-1)


def _scatter(x: np.ndarray) -> np.ndarray:
    return 1.4826 * np.median(np.abs(x - np.median(x, axis=-1, keepdims=True)), axis=-1)
