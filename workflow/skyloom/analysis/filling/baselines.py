"""Simple ways to fill in what is hidden of a spectrum: a straight line, the mean spectrum, principal components.

They know of a galaxy what the network is shown. Arrays are (N, W) in the unit of the flux; `seen` is the inverse
variance, 0 where a bin is hidden or bad.
"""

import dataclasses

import numpy as np

SPREAD = 0.25
"""Prior variance of the factor before the mean spectrum, about 1."""
LEAST = 1e-3
"""Least prior variance of a component, in units of a bin's noise."""


@dataclasses.dataclass(frozen=True)
class Components:
    """Training spectra of mean 1: their mean, and what they have in common beyond noise.

    Attributes
    ----------
    mean : (W,)
    vectors : (K, W)
    variance : (K,) of the coefficients, without the noise's part
    """

    mean: np.ndarray
    vectors: np.ndarray
    variance: np.ndarray


def learn(flux: np.ndarray, ivar: np.ndarray, count: int) -> Components:
    """At most `count` components of training spectra, each bin in units of its usual noise.

    A bin that few spectra have is where they have it: what is missing counts as the mean.
    """
    scale = level(flux, ivar)
    flux, ivar = flux / scale, ivar * scale**2
    total = ivar.sum(0)
    mean = (flux * ivar).sum(0) / np.maximum(total, 1e-30)
    noise = _noise(ivar)
    white = np.where(ivar > 0, (flux - mean) / noise, 0.0)
    value, vector = np.linalg.eigh(white @ white.T)
    count = min(count, len(flux) - 1)
    value, vector = value[::-1][:count], vector[:, ::-1][:, :count]
    vectors = vector.T @ white / np.sqrt(np.maximum(value, 1e-12))[:, None]
    return Components(mean, vectors * noise, np.maximum(value / len(flux) - 1, LEAST))


def fitted(flux: np.ndarray, seen: np.ndarray, components: Components, count: int) -> np.ndarray:
    """The most likely spectra (N, W) given what is seen: the mean spectrum times a factor, and `count` components
    (probabilistic PCA, Tipping and Bishop 1999)."""
    scale = level(flux, seen)
    templates = np.concatenate([components.mean[None], components.vectors[:count]])
    prior = 1 / np.concatenate([[SPREAD], components.variance[:count]])
    weight = seen * scale**2
    start = prior * (np.arange(len(prior)) == 0)
    right = (weight * flux / scale) @ templates.T + start
    left = np.stack([(templates * own) @ templates.T for own in weight]) + np.diag(prior)
    return np.linalg.solve(left, right[..., None])[..., 0] @ templates * scale


def straight(wavelength: np.ndarray, flux: np.ndarray, seen: np.ndarray, hidden: np.ndarray, edge: float) -> np.ndarray:
    """Straight lines over what is hidden (N, W), between the means of `edge` Angstrom on either side; level where there
    is one side only, the mean of the spectrum where there is none. What is not hidden stays."""
    filled = np.where(hidden, 0.0, flux)
    for row, line in enumerate(filled):
        for first, last in runs(hidden[row]):
            sides = [
                (wavelength >= wavelength[first] - edge) & (wavelength < wavelength[first]),
                (wavelength > wavelength[last]) & (wavelength <= wavelength[last] + edge),
            ]
            points = [_mean(wavelength, flux[row], seen[row] * side) for side in sides]
            points = [point for point in points if point is not None]
            points = points or [(wavelength[first], level(flux[row : row + 1], seen[row : row + 1])[0, 0])]
            line[first : last + 1] = np.interp(wavelength[first : last + 1], *zip(*points, strict=True))
    return filled


def runs(marked: np.ndarray) -> list[tuple[int, int]]:
    """First and last place of every run of true values of a (W,) array."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    return [(int(first), int(last) - 1) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def level(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Mean flux by inverse variance of each spectrum, (N, 1), at least its own error."""
    total = np.maximum(ivar.sum(1, keepdims=True), 1e-30)
    return np.maximum((flux * ivar).sum(1, keepdims=True) / total, total**-0.5)


def usual_noise(ivar: np.ndarray) -> np.ndarray:
    """Median noise (W,) of training spectra, each in units of its own median; infinite where none was measured."""
    noise = np.where(ivar > 0, np.maximum(ivar, 1e-30) ** -0.5, np.nan)
    return _median(noise / _median(noise, 1)[:, None], 0)


def noise_in_common(usual: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The noise (N, W) that spectra as noisy as these where they are seen usually have; 0 where that is unknown.

    A galaxy's own noise where it is hidden would tell of its bright lines.
    """
    noise = np.where(seen > 0, np.maximum(seen, 1e-30) ** -0.5, np.nan)
    found = usual * _median(noise / usual, 1)[:, None]
    return np.where(np.isfinite(found), found, 0.0)


def _noise(ivar: np.ndarray) -> np.ndarray:
    found = _median(np.where(ivar > 0, np.maximum(ivar, 1e-30) ** -0.5, np.nan), 0)
    return np.where(np.isfinite(found), found, 1.0)


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Median of what is known, infinite where nothing is."""
    known = np.isfinite(values).any(axis)
    found = np.full(known.shape, np.inf)
    found[known] = np.nanmedian(np.compress(known, values, 1 - axis), axis)
    return found


def _mean(wavelength: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> tuple[float, float] | None:
    """Mean wavelength and flux by weight."""
    total = weight.sum()
    return ((wavelength * weight).sum() / total, (flux * weight).sum() / total) if total > 0 else None
