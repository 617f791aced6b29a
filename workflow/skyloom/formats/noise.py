"""The noise of spectra that come without: how much it is, from the scatter of the flux itself.

Two kinds of noise are told apart, spectrum by spectrum. Where it is independent from pixel to pixel, its standard
deviation is that of second differences, 2 f(i) - f(i-2) - f(i+2), which do not see a continuum or a broad line
(DER_SNR, Stoehr et al. 2008, ASPC 394, 505). Where neighbouring pixels go together (the spectrum was smoothed, or moved
to finer pixels), second differences are too small; there it is the scatter about a running median, times the number of
pixels that share one value, 1 + 2 (the sum of the autocorrelation). The inverse variance is then the *effective* one:
that of a mean over many pixels is their sum, as models take it to be, though a single pixel scatters less. In a
spectrum of high signal-to-noise the absorption lines count as noise of the second kind: the estimate errs to the
careful side.
"""

import numpy as np

ROBUST = 1.4826
"""Standard deviation over median absolute deviation, of normal noise."""
STRIDE, WINDOW = 40, 5
"""Noise is measured in windows of 5 x 40 pixels, every 40 pixels."""
CONTINUUM = 5
"""Running medians are over 5 x 40 pixels."""
TAKEN = 3.5
"""A running median over W pixels takes part of noise that is shared by c pixels with it: 1 + 3.5 c / W, to first order
and as measured on simulated noise."""
WHITE = 1.15
"""Second differences of next but one pixels over those of neighbours: at most this of noise without correlation."""
LAGS, LEAST = 40, 0.1
"""The autocorrelation is added up to the first lag at which it is below LEAST."""
CLIP = 3.0
"""Standard deviations at which a line or a cosmic ray is cut off before correlations are measured."""
LINE = 4.0
"""Standard deviations beyond which a pixel is a line or a cosmic ray, and no noise."""
CONSTANT = 10
"""So many equal values in a row are no measurement."""
FLOOR = 0.1
"""No window has less than this share of the median noise."""


def estimate_ivar(flux: np.ndarray, good: np.ndarray) -> np.ndarray:
    """The effective inverse variance of spectra.

    Parameters
    ----------
    flux : (N, P), pixels in the order of wavelength
    good : (N, P) bool; what is False, or not finite, or constant over `CONSTANT` pixels does not count

    Returns
    -------
    (N, P) : 0 where a pixel does not count, and everywhere in a spectrum whose noise cannot be told.
    """
    good = good & np.isfinite(flux) & ~constant(flux)
    values = np.where(good, flux, np.nan)
    near, next_but_one = (_second_differences(values, lag) for lag in (1, 2))
    white = _deviation(next_but_one) <= WHITE * _deviation(near)
    smooth = values - _running(values, CONTINUUM, lambda window: np.nanmedian(window, axis=-1))
    shared = _correlation(smooth)
    correlation = np.where(white, 1.0, shared * (1 + TAKEN * shared / (CONTINUUM * STRIDE)))
    scatter = np.where(white[:, None], next_but_one, smooth)
    sigma = _local_deviation(scatter)
    with np.errstate(invalid="ignore"):
        sigma = _local_deviation(np.where(np.abs(scatter) > LINE * sigma, np.nan, scatter))
    known = np.where(sigma > 0, sigma, np.nan)
    with np.errstate(all="ignore"):
        typical = _quiet(np.nanmedian, known, axis=1, keepdims=True)
        sigma = np.maximum(np.where(np.isfinite(known), known, typical), FLOOR * typical)
        return np.where(good & np.isfinite(sigma), 1 / (correlation[:, None] * sigma**2), 0.0)


def constant(flux: np.ndarray, length: int = CONSTANT) -> np.ndarray:
    """(N, P) bool: pixels in runs of at least `length` equal values (padding, gaps filled by hand)."""
    rows, pixels = flux.shape
    if pixels < length:
        return np.zeros(flux.shape, bool)
    equal = np.zeros((rows, pixels + 1), np.int32)  # how many pairs of equal neighbours lie before
    np.cumsum(flux[:, 1:] == flux[:, :-1], axis=1, out=equal[:, 1:pixels])
    runs = equal[:, length - 1 : pixels] - equal[:, : pixels - length + 1] == length - 1
    found = np.zeros((rows, pixels + 1), np.int32)
    found[:, : runs.shape[1]] += runs
    found[:, length : length + runs.shape[1]] -= runs
    return np.cumsum(found, axis=1)[:, :pixels] > 0


def _second_differences(values: np.ndarray, lag: int) -> np.ndarray:
    """(N, P) differences with the standard deviation of independent noise; NaN at the ends."""
    found = np.full(values.shape, np.nan)
    if values.shape[1] > 2 * lag:
        found[:, lag:-lag] = (2 * values[:, lag:-lag] - values[:, : -2 * lag] - values[:, 2 * lag :]) / 6**0.5
    return found


def _deviation(values: np.ndarray) -> np.ndarray:
    """(N,) robust standard deviation of values (N, P) about zero."""
    return ROBUST * _quiet(np.nanmedian, np.abs(values), axis=1)


def _local_deviation(values: np.ndarray) -> np.ndarray:
    """(N, P) robust standard deviation of values (N, P) about zero, in running windows."""
    return _running(np.abs(values), WINDOW, lambda window: ROBUST * np.nanmedian(window, axis=-1))


def _correlation(residual: np.ndarray) -> np.ndarray:
    """(N,) how many pixels share one independent value: 1 + 2 (sum of the autocorrelation of residuals (N, P))."""
    limit = CLIP * _deviation(residual)[:, None]
    good = np.isfinite(residual)
    values = np.where(good, np.clip(residual, -limit, limit), 0)

    def product(lag: int) -> np.ndarray:
        end = values.shape[1] - lag
        pairs = (good[:, :end] & good[:, lag:]).sum(axis=1)
        return (values[:, :end] * values[:, lag:]).sum(axis=1) / np.maximum(pairs, 1)

    power, total, going = product(0), np.ones(len(values)), np.ones(len(values), bool)
    for lag in range(1, min(LAGS, values.shape[1] - 1) + 1):
        level = np.divide(product(lag), power, out=np.zeros_like(power), where=power > 0)
        going &= level >= LEAST
        total += 2 * np.where(going, level, 0)
    return total


def _running(values: np.ndarray, strides: int, statistic) -> np.ndarray:
    """A statistic of windows of `strides` x STRIDE pixels, every STRIDE pixels, and between them by interpolation.

    Windows without a value take that of their neighbours; (N, P) NaN in a spectrum without any.
    """
    rows, pixels = values.shape
    blocks = max(1, round(pixels / STRIDE))
    width = -(-pixels // blocks)
    padded = np.full((rows, blocks * width), np.nan)
    padded[:, :pixels] = values
    padded = padded.reshape(rows, blocks, width)
    reach = min(strides // 2, blocks - 1)
    found = np.empty((rows, blocks))
    for block in range(blocks):
        window = padded[:, max(0, block - reach) : block + reach + 1].reshape(rows, -1)
        found[:, block] = _quiet(statistic, window)
    place = np.arange(pixels)
    centre = np.minimum((np.arange(blocks) + 0.5) * width - 0.5, pixels - 1)
    result = np.full(values.shape, np.nan)
    for row in range(rows):
        known = np.isfinite(found[row])
        if known.any():
            result[row] = np.interp(place, centre[known], found[row, known])
    return result


def _quiet(statistic, *args, **kwargs) -> np.ndarray:
    """A statistic that is NaN, without a warning, where there is no value."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return statistic(*args, **kwargs)
