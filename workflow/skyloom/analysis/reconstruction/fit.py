"""A Gaussian on a straight continuum, fitted to many spectra at once.

For every centre and width of a grid the height and the continuum follow by linear least squares; the best of the grid
is then refined. The same is done to what is observed and to what is drawn, so that what the fit cannot tell is common
to both: a number of a spectrum is an average, and no width below half of one is told.
"""

import dataclasses

import numpy as np

NARROWEST = 0.5
"""Least standard deviation, in numbers of the spectrum."""
WIDEST = 0.5
"""Largest standard deviation, in half windows."""
REACH = 0.5
"""How far from its place a line is looked for, in half windows."""
LEAST = 9
"""Numbers of a spectrum that a fit needs."""
_WIDTHS, _ROUNDS, _SHRINK = 9, 9, 1.8


@dataclasses.dataclass(frozen=True)
class Fits:
    """One line in N spectra; NaN where it could not be fitted or is nowhere above the continuum.

    Attributes
    ----------
    centre, sigma : (N,) Angstrom
    height : (N,) above the continuum, in the units of the spectra
    snr : (N,) height over its error, from the residuals; 0 where there is no line
    widest : (N,) bool, the width is the largest that is looked for
    """

    centre: np.ndarray
    sigma: np.ndarray
    height: np.ndarray
    snr: np.ndarray
    widest: np.ndarray

    @property
    def fwhm(self) -> np.ndarray:
        """Full width at half maximum, Angstrom."""
        return 2.3548 * self.sigma


@dataclasses.dataclass(frozen=True)
class Windows:
    """The numbers around a place, one row a spectrum.

    Attributes
    ----------
    x : (N, K) Angstrom from the place
    y : (N, K) the spectrum, 0 where it is not used
    used : (N, K) bool
    half, step : (N, 1) Angstrom: half the window, and between numbers
    """

    x: np.ndarray
    y: np.ndarray
    used: np.ndarray
    half: np.ndarray
    step: np.ndarray


def cut(wavelength: np.ndarray, spectra: np.ndarray, place: np.ndarray, half: np.ndarray) -> Windows:
    """Windows of `half` (N,) Angstrom around `place` (N,) of spectra (N, n), NaN where not known, at `wavelength`
    (n,)."""
    first = np.searchsorted(wavelength, place - half)
    last = np.searchsorted(wavelength, place + half, side="right")
    columns = first[:, None] + np.arange(max(int((last - first).max(initial=1)), 1))
    inside = columns < last[:, None]
    columns = np.minimum(columns, len(wavelength) - 1)
    y = np.take_along_axis(spectra, columns, 1).astype(float)
    used = inside & np.isfinite(y)
    step = np.interp(place, wavelength, np.gradient(wavelength))
    return Windows(wavelength[columns] - place[:, None], np.where(used, y, 0), used, half[:, None], step[:, None])


def fit(wavelength: np.ndarray, spectra: np.ndarray, place: np.ndarray, half: np.ndarray) -> Fits:
    """The line near `place` (N,), Angstrom, in each of spectra (N, n), within `half` (N,) on either side."""
    if not len(place):
        return Fits(*(np.empty(0) for _ in range(4)), np.empty(0, bool))
    w = cut(wavelength, spectra, place, half)
    base = _basis(w)
    flat = _without(w.y, base)
    best = _Best(len(place))
    low, high = NARROWEST * w.step, np.maximum(WIDEST * w.half, NARROWEST * w.step)
    reach = REACH * w.half
    count = int(np.ceil((4 * reach / w.step).max())) + 1
    for spread in np.linspace(0, 1, _WIDTHS):
        for shift in np.linspace(-1, 1, count):
            best.offer(w, base, flat, shift * reach, low ** (1 - spread) * high**spread)
    move = 2 * reach / max(count - 1, 1)
    factor = (high / low) ** (1 / (_WIDTHS - 1))
    for _ in range(_ROUNDS):
        centre, sigma = best.centre.copy(), best.sigma.copy()
        for across in (-1, -0.5, 0, 0.5, 1):
            for power in (-1, -0.5, 0, 0.5, 1):
                some = np.clip(centre + across * move, -reach, reach)
                best.offer(w, base, flat, some, np.clip(sigma * factor**power, low, high))
        move, factor = move / _SHRINK, factor ** (1 / _SHRINK)
    there = (best.height[:, 0] > 0) & (w.used.sum(1) >= LEAST)
    snr = np.where(there, best.height[:, 0] / _error(w, best), 0)
    found = (np.where(there, v[:, 0], np.nan) for v in (best.centre + place[:, None], best.sigma, best.height))
    return Fits(*found, snr, there & (best.sigma >= 0.98 * high)[:, 0])


def height_in(wavelength: np.ndarray, spectra: np.ndarray, place: np.ndarray, half: np.ndarray, like: Fits):
    """Heights (N,) of lines with the centre and width that other spectra have (`like`); they may be negative."""
    w = cut(wavelength, spectra, place, half)
    base = _basis(w)
    shape = _without(_gaussian(w, (like.centre - place)[:, None], like.sigma[:, None]), base)
    return (shape * _without(w.y, base)).sum(1) / (shape**2).sum(1)


class _Best:
    """The best of what was offered, (N, 1) each."""

    def __init__(self, count: int):
        self.left = np.full((count, 1), np.inf)
        self.centre, self.height = np.zeros((count, 1)), np.zeros((count, 1))
        self.sigma = np.ones((count, 1))

    def offer(self, w: Windows, base: np.ndarray, flat: np.ndarray, centre: np.ndarray, sigma: np.ndarray) -> None:
        shape = _without(_gaussian(w, centre, sigma), base)
        norm = (shape**2).sum(1, keepdims=True)
        height = (shape * flat).sum(1, keepdims=True) / np.maximum(norm, 1e-9)
        left = np.where((height > 0) & (norm > 1e-6), -(height**2) * norm, np.inf)
        better = left < self.left
        for name, value in (("left", left), ("centre", centre), ("sigma", sigma), ("height", height)):
            setattr(self, name, np.where(better, value, getattr(self, name)))


def _gaussian(w: Windows, centre: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return np.where(w.used, np.exp(-0.5 * ((w.x - centre) / sigma) ** 2), 0)


def _basis(w: Windows) -> np.ndarray:
    """An orthonormal constant and slope over the numbers that are used, (2, N, K)."""
    one = w.used / np.sqrt(np.maximum(w.used.sum(1, keepdims=True), 1))
    slope = np.where(w.used, w.x / w.half, 0)
    slope = slope - (slope * one).sum(1, keepdims=True) * one
    return np.stack([one, slope / np.sqrt(np.maximum((slope**2).sum(1, keepdims=True), 1e-12))])


def _without(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Values (N, K) less their straight line."""
    for part in base:
        values = values - (values * part).sum(1, keepdims=True) * part
    return values


def _error(w: Windows, best: _Best) -> np.ndarray:
    """Error (N,) of the height, all five parameters free, with the scatter of the residuals."""
    shape = _gaussian(w, best.centre, best.sigma)
    pull = (w.x - best.centre) / best.sigma
    slopes = [shape, shape * pull, shape * pull**2, w.used.astype(float), np.where(w.used, w.x / w.half, 0)]
    jacobian = np.stack(slopes, -1)
    normal = np.einsum("nki,nkj->nij", jacobian, jacobian)
    inverse = np.linalg.pinv(normal, rcond=1e-9, hermitian=True)
    residual = _without(w.y - best.height * shape, _basis(w))
    freedom = np.maximum(w.used.sum(1) - 5, 1)
    variance = (residual**2).sum(1) / freedom
    return np.sqrt(np.maximum(inverse[:, 0, 0] * variance, 1e-18))
