"""Lines as they are observed and as they are drawn: centre, width, height."""

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from skyloom.analysis.reconstruction import Settings, published
from skyloom.analysis.reconstruction.recovery import LEAST, Pairs
from skyloom.figures import style

RECONSTRUCTION = "reconstruction"


@style.look()
def draw(pairs: dict[str, dict[str, dict[str, Pairs]]], whole: dict[str, bool], network, s: Settings, path) -> None:
    """A column a query; rows: how far centres are off, widths, heights.

    Parameters
    ----------
    pairs : query -> what is compared -> line -> fits
    whole : query -> whether spectra were wholly hidden
    network : for its wavelengths, and whether its numbers are flux
    """
    found = {query: of[RECONSTRUCTION] for query, of in pairs.items()}
    found = {q: {n: p for n, p in of.items() if len(p.rows) >= LEAST} for q, of in found.items()}
    if not any(found.values()):
        return style.nothing("no line is observed often enough, or no query draws spectra", path)
    fig = style.figure(height=7.2, width=max(6.0, 4.2 * len(found)))
    grid = fig.subplots(3, len(found), squeeze=False)
    names = [name for name, line in s.lines.items() if line]
    colours = dict(zip(names, style.CYCLE, strict=False))
    for (query, lines), axes in zip(found.items(), grid.T, strict=True):
        axes[0].set_title(style.pretty(query))
        for name, pair in lines.items():
            _line(axes, pair, colours[name], s)
        _dress(axes, network.wavelength)
    _published(found, whole, grid, colours, network.config.spectra == "velocity")
    for axis, text in zip(
        grid[:, 0], ("centre drawn less observed [A]", "width drawn [A]", "height drawn"), strict=True
    ):
        axis.set_ylabel(text)
    used = [n for n in names if any(n in lines for lines in found.values())]
    handles = [style.line(colours[n], n) for n in used]
    fig.legend(handles=handles, loc="outside lower center", ncol=len(handles))
    style.save(fig, path)


def _line(axes, pair: Pairs, colour: str, s: Settings) -> None:
    there = pair.recovered(pair.drawn, s.least_snr)
    shift = pair.drawn.centre - pair.observed.centre
    look = {"s": 7, "lw": 0.5, "edgecolors": colour, "rasterized": True}
    for some, face in ((there, colour), (~there & (pair.drawn.snr >= s.least_snr), "none")):
        axes[0].scatter(pair.observed.centre[some], shift[some], facecolors=face, **look)
    for axis, name in zip(axes[1:], ("fwhm", "height"), strict=True):
        one, other = getattr(pair.observed, name)[there], getattr(pair.drawn, name)[there]
        axis.scatter(one, other, facecolors=colour, alpha=0.55, **look)
        if len(one) >= LEAST:
            axis.plot(np.median(one), np.median(other), "D", ms=7, mfc=colour, mec="white", mew=1.1, zorder=4)


def _dress(axes, wavelength: np.ndarray) -> None:
    axes[0].axhline(0, color=style.INK, lw=0.7, zorder=0)
    limit = 8 * float(np.median(np.diff(wavelength)))
    axes[0].set(xlim=wavelength[[0, -1]], ylim=(-limit, limit), xlabel="centre observed [A]")
    for axis, name in zip(axes[1:], ("width observed [A]", "height observed"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel=name)


def _published(found: dict, whole: dict[str, bool], grid, colours: dict[str, str], flux: bool) -> None:
    """Stars: one galaxy each, in the columns where a part or the whole of the spectrum was hidden as there."""
    for query, axes in zip(found, grid.T, strict=True):
        for name, values in published.LINES.items():
            if name in found[query] and values.whole == whole[query]:
                for axis, pair in zip(axes[1:], (values.width, None if flux else values.height), strict=True):
                    if pair:
                        axis.plot(*pair, "*", ms=11, mfc="white", mec=colours[name], mew=1.2, zorder=5)
        for axis in axes[1:]:
            low = max(min(axis.get_xlim()[0], axis.get_ylim()[0]), 1e-3)
            high = max(axis.get_xlim()[1], axis.get_ylim()[1])
            axis.plot([low, high], [low, high], color=style.INK, lw=0.7, zorder=0)
            axis.set(xlim=(low, high), ylim=(low, high))
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_locator(LogLocator(subs=(1, 2, 5)))
                side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                side.set_minor_formatter(NullFormatter())
