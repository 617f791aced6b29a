"""Spectra from one set of pixels to another, by overlap: neither light nor information is made or lost."""

import numpy as np

REACH = 1.5
"""A pixel ends half way to its neighbour, unless that is this many times further than the neighbour on the other side:
then there is a gap between them."""
SAME = 1e-2
"""Wavelengths closer than this share of a pixel are the same: the doubled pixels where arms overlap."""

LEAST = 1e-9
"""Smaller parts of a pixel are rounding: pixels that are bins already know nothing of their neighbours."""


def shares(lower: np.ndarray, upper: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels lie in each bin, and by which part.

    Parameters
    ----------
    lower, upper : (P,) edges of the pixels, rising, none over another
    edges : (N + 1,) of the bins

    Returns
    -------
    share : (N, M) part of the pixel that is in the bin, 0 where a bin has fewer than M pixels
    index : (N, M) int64, the pixel
    """
    first = np.searchsorted(upper, edges[:-1], side="right")
    last = np.searchsorted(lower, edges[1:], side="left")
    most = max(1, int((last - first).max()))
    index = first[:, None] + np.arange(most)
    valid = index < last[:, None]
    index = np.minimum(index, len(lower) - 1)
    inside = np.minimum(upper[index], edges[1:, None]) - np.maximum(lower[index], edges[:-1, None])
    share = inside / (upper - lower)[index]
    return np.where(valid & (share > LEAST), share, 0), index


def pixel_edges(wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edges (P,) of pixels with rising centres (P,), P at least 2: half way to the neighbours.

    Where a neighbour is far away (`REACH`), as across a gap between arms, the pixel is as wide on that side as on the
    other, and at most REACH times as wide as the median pixel.
    """
    step = np.diff(wavelength)
    left, right = np.append(step[:1], step), np.append(step, step[-1:])
    most = REACH * np.median(step)
    left, right = np.where(left > REACH * right, right, left), np.where(right > REACH * left, left, right)
    return wavelength - np.minimum(left, most) / 2, wavelength + np.minimum(right, most) / 2


def in_order(wavelength: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in the order of their wavelengths, those of the same wavelength made one.

    Parameters
    ----------
    wavelength : (P,) finite, in any order: falling, or arm after arm
    flux, weight : (N, P); where the weight is 0 the flux does not count

    Returns
    -------
    wavelength (Q,) rising, and (N, Q) means of the flux by weight, 0 where the weight is 0, and sums of the weights.
    """
    order = np.argsort(wavelength, kind="stable")
    wavelength, flux, weight = wavelength[order], flux[:, order], weight[:, order]
    weighted = np.where(weight > 0, flux, 0) * weight
    step = np.diff(wavelength)
    pixel = np.median(step[step > 0]) if (step > 0).any() else 1.0
    starts = np.flatnonzero(np.append(True, step > SAME * pixel))
    if len(starts) < len(wavelength):
        weighted, weight = np.add.reduceat(weighted, starts, axis=1), np.add.reduceat(weight, starts, axis=1)
        wavelength = wavelength[starts]
    return wavelength, np.divide(weighted, weight, out=np.zeros_like(weighted), where=weight > 0), weight


def rebin(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra on other pixels, by inverse variance and overlap.

    A pixel gives each bin the share of its inverse variance that lies in the bin, so that all bins together know what
    the pixels knew: bins narrower than pixels have less each, and neighbours among them are not independent.

    Parameters
    ----------
    wavelength : (P,) centres of the pixels, rising
    flux, ivar : (N, P), flux per unit of wavelength
    edges : (M + 1,) of the bins

    Returns
    -------
    flux, ivar : (N, M); 0 and 0 where no pixel with ivar above 0 reaches
    """
    share, index = shares(*pixel_edges(wavelength), edges)
    total = np.zeros((len(flux), len(edges) - 1))
    mean = np.zeros_like(total)
    for column in range(share.shape[1]):  # a few: the pixels of a bin
        weight = ivar[:, index[:, column]] * share[:, column]
        total += weight
        mean += weight * flux[:, index[:, column]]
    return np.divide(mean, total, out=np.zeros_like(mean), where=total > 0), total
