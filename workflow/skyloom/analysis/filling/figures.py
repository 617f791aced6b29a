"""Spectra with what was hidden of them, what was filled in, and some of it close up."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from skyloom.analysis.filling.baselines import runs
from skyloom.analysis.filling.scores import NETWORK
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL, LINES, mark_lines

RAW, SHADE = "#c4c4c4", "#ececec"
COLOURS = {NETWORK: style.OTHER_MARK, "PCA": style.MARK, "straight line": style.MATCH}
"""What is drawn, and in which colour."""
MARGIN = 0.35
"""Of a hidden stretch, shown on either side."""


@dataclasses.dataclass(frozen=True)
class Spectra:
    """Wavelength (W,) in Angstrom, targetid and z (N,), and (N, W) flux, inverse variance, what was hidden, and what
    was filled in by method; `size` bins are averaged to smooth."""

    wavelength: np.ndarray
    targetid: np.ndarray
    z: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    hidden: np.ndarray
    filled: Mapping[str, np.ndarray]
    size: int


def choose(error: np.ndarray, preferred: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` galaxies at equal steps through their errors (N,), the smallest first; among the preferred ones
    if there are so many."""
    known = np.isfinite(error)
    rows = np.flatnonzero(known & preferred)
    if len(rows) < count:
        rows = np.flatnonzero(known)
    order = rows[np.argsort(error[rows], kind="stable")]
    places = np.linspace(0.1, 0.9, count) * (len(order) - 1)
    return order[np.unique(places.round().astype(int))] if len(order) else order


@style.look()
def draw(spectra: Spectra, chosen: np.ndarray, error: np.ndarray, insets: int, path) -> None:
    """Two lines of panels a galaxy: the spectrum, and `insets` hidden stretches, those with main lines first."""
    if not len(chosen):
        return style.nothing("no spectrum has data where it was hidden", path)
    fig = style.figure(height=3.3 * len(chosen) + 0.4)
    for part, row in zip(np.atleast_1d(fig.subfigures(len(chosen), 1)), chosen, strict=True):
        grid = part.add_gridspec(2, insets, height_ratios=[1.25, 1])
        axis = part.add_subplot(grid[0, :])
        _whole(axis, spectra, row)
        z = f", z = {spectra.z[row]:.4f}" if np.isfinite(spectra.z[row]) else ""
        title = f"TARGETID {spectra.targetid[row]}{z}; error of means {error[row]:.1f} (noise alone: 1)"
        axis.set_title(title, loc="left", fontsize=8.5)
        for place, (first, last) in enumerate(close_ups(spectra, row, insets)):
            _close(part.add_subplot(grid[1, place]), spectra, row, first, last)
        part.supylabel(FLUX_LABEL, fontsize=8)
    part.supxlabel("observed wavelength [Angstrom]", fontsize=9)
    handles = [style.line(style.INK, f"observed, means of {spectra.size} bins")]
    handles += [style.line(colour, name) for name, colour in COLOURS.items() if name in spectra.filled]
    fig.legend(handles=handles, loc="outside lower center", ncol=len(handles))
    style.save(fig, path)


def close_ups(spectra: Spectra, row: int, count: int) -> list[tuple[int, int]]:
    """First and last bin of `count` hidden stretches by rising wavelength, those in which most main lines lie."""
    places = np.array([rest for _, rest in LINES]) * (1 + spectra.z[row])
    found = []
    for first, last in runs(spectra.hidden[row]):
        if (spectra.ivar[row, first : last + 1] > 0).mean() > 0.5:
            low, high = spectra.wavelength[[first, last]]
            found.append((-((places > low) & (places < high)).sum(), -(last - first), first, last))
    return sorted((first, last) for *_, first, last in sorted(found)[:count])


def _whole(axis, spectra: Spectra, row: int) -> None:
    flux, good = spectra.flux[row], spectra.ivar[row] > 0
    smooth = smoothed(flux, spectra.ivar[row], spectra.size)
    axis.plot(spectra.wavelength, np.where(good, flux, np.nan), color=RAW, lw=0.4)
    axis.plot(spectra.wavelength, smooth, color=style.INK, lw=0.7)
    _filled(axis, spectra, row, [NETWORK])
    usual = good & (25 * spectra.ivar[row] >= np.median(spectra.ivar[row][good]))
    low, high = np.nanpercentile(np.where(usual, smooth, np.nan), [0.3, 99.95])
    margin = 0.15 * (high - low) + 1e-6
    axis.set(xlim=spectra.wavelength[[0, -1]], ylim=(low - margin, high + 2 * margin))
    if np.isfinite(spectra.z[row]):
        mark_lines(axis, spectra.z[row], style.GREYS[0])


def _close(axis, spectra: Spectra, row: int, first: int, last: int) -> None:
    reach = max(2 * spectra.size, round(MARGIN * (last - first)))
    some = slice(max(0, first - reach), last + 1 + reach)
    wave, ivar = spectra.wavelength[some], spectra.ivar[row, some]
    smooth = smoothed(spectra.flux[row, some], ivar, spectra.size)
    axis.plot(wave, smooth, color=style.INK, lw=0.9)
    _filled(axis, spectra, row, COLOURS)
    shown = [smooth[np.isfinite(smooth)]]
    shown += [spectra.filled[name][row, first : last + 1] for name in COLOURS if name in spectra.filled]
    low, high = min(map(np.min, shown)), max(map(np.max, shown))
    margin = 0.08 * (high - low) + 1e-6
    axis.set(xlim=wave[[0, -1]], ylim=(low - margin, high + 2.5 * margin))
    axis.tick_params(labelsize=7)
    axis.locator_params(nbins=4)
    if np.isfinite(spectra.z[row]):
        mark_lines(axis, spectra.z[row], style.GREYS[0])


def _filled(axis, spectra: Spectra, row: int, methods) -> None:
    """Hidden stretches shaded, and what was filled in, smoothed as the spectrum is."""
    for first, last in runs(spectra.hidden[row]):
        axis.axvspan(*spectra.wavelength[[first, last]], color=SHADE, lw=0, zorder=-2)
        some = slice(first, last + 1)
        for name in methods:
            if name in spectra.filled:
                values = spectra.filled[name][row, some]
                values = smoothed(values, np.ones_like(values), spectra.size)
                axis.plot(spectra.wavelength[some], values, color=COLOURS[name], lw=1.1)


def smoothed(flux: np.ndarray, ivar: np.ndarray, size: int) -> np.ndarray:
    """Running mean (W,) of the bins with data; NaN where there are none. Not weighted: a bright line has more noise."""
    kernel = np.ones(size if size % 2 else size + 1)
    good = ivar > 0
    count = np.convolve(good, kernel, "same")
    total = np.convolve(np.where(good, flux, 0), kernel, "same")
    return np.where(good & (count > 0), total / np.maximum(count, 1), np.nan)
