"""Spectra that were retrieved, laid over that of the query (AstroCLIP, figures 3 and 6)."""

import numpy as np

from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL
from skyloom.figures.samples import IMAGE, SPECTRUM, draw

COLUMNS = 2
SMOOTH = 24.0
"""Angstrom of the running mean."""


@style.look()
def draw_overlays(rows: list[dict], path) -> None:
    """A panel for each of `rows` (as `figures.draw_retrieval` takes them) in which spectra were retrieved: the spectrum
    of the query itself, or its own in the other modality, and those that were found. An image that was the query stands
    in a corner."""
    shown = [row for row in rows if row["panels"][-1]["form"] == SPECTRUM]
    if not shown:
        return style.nothing("no spectra were retrieved", path)
    columns = min(COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    fig = style.figure(height=2.3 * lines + 0.7)
    axes = fig.subplots(lines, columns, squeeze=False).ravel()
    for axis, row in zip(axes, shown, strict=False):
        _overlay(axis, row)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for axis in axes[max(0, len(shown) - columns) : len(shown)]:
        axis.set_xlabel("observed wavelength [Angstrom]")
    for axis in axes[:: 2 * columns]:
        axis.set_ylabel(FLUX_LABEL, fontsize=8)
    most = max(len(_found(row)) for row in shown)
    handles = [style.line(style.INK, "of the query"), *(style.line(_colour(k), f"#{k + 1}") for k in range(most))]
    fig.legend(handles=handles, loc="outside lower center", ncol=len(handles))
    style.save(fig, path)


def _overlay(axis, row: dict) -> None:
    own = next(panel for panel in row["panels"] if panel["form"] == SPECTRUM and panel["frame"])
    bounds = []
    for place, panel in enumerate(_found(row)):
        bounds.append(_draw(axis, panel, _colour(place), 0.6))
    bounds.append(_draw(axis, own, style.INK, 0.8))
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    margin = 0.08 * (high - low) + 1e-6
    axis.set(xlim=own["data"][0, [0, -1]], ylim=(low - margin, high + 3 * margin))
    axis.set_title(row["title"].replace("\n", " ").replace("->", "\u2192"), loc="left", fontsize=8)
    if row["panels"][0]["form"] == IMAGE:
        corner = axis.inset_axes((0.78, 0.58, 0.21, 0.41))
        draw(corner, IMAGE, row["panels"][0]["data"])


def _found(row: dict) -> list[dict]:
    """The panels of what was retrieved."""
    return [panel for panel in row["panels"] if panel["note"].startswith("#")]


def _colour(place: int) -> str:
    return style.CYCLE[place % (len(style.CYCLE) - 1)]


def _draw(axis, panel: dict, colour: str, width: float) -> tuple[float, float]:
    """Draw a smoothed spectrum; the range of it that is not mostly noise."""
    wavelength, flux, ivar = panel["data"]
    size = max(1, round(SMOOTH / float(np.median(np.diff(wavelength)))))
    good, kernel = ivar > 0, np.ones(size)
    count = np.convolve(good, kernel, "same")
    smooth = np.where(count > 0, np.convolve(np.where(good, flux, 0), kernel, "same") / np.maximum(count, 1), np.nan)
    axis.plot(wavelength, smooth, color=colour, lw=width)
    usual = good & (9 * ivar >= np.median(ivar[good])) if good.any() else good
    return tuple(np.nanpercentile(smooth[usual], [0.5, 99.9])) if usual.any() else (0.0, 1.0)
