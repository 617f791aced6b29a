"""Scatter against what is hidden and against the exposure, and whether the densities hold."""

from collections.abc import Mapping

import numpy as np
import pandas

from skyloom.analysis.photoz import PUBLISHED_SHARE, Settings
from skyloom.analysis.photoz.certainty import CONFORMAL, RAW
from skyloom.analysis.photoz.figures import colours, logarithmic
from skyloom.analysis.photoz.metrics import ALL, BELOW
from skyloom.analysis.photoz.sweeps import ALONE, BOTH_MASKED, IMAGE_MASKED, JOINED, SPECTRA, SPECTRUM_MASKED
from skyloom.figures import style

MASKED = {
    IMAGE_MASKED: ("image masked, no spectrum", style.CYCLE[0]),
    SPECTRUM_MASKED: ("spectrum masked, no image", style.CYCLE[1]),
    BOTH_MASKED: ("both masked alike", style.CYCLE[2]),
}
GIVEN = {SPECTRA: ("spectrum", style.CYCLE[1]), JOINED: ("spectrum and whole image", style.CYCLE[2])}
MARKERS = ("o", "s", "^", "D")
OUTLIERS = "outliers, |dz| > 0.15"
PIT_BINS = 10


@style.look()
def draw_masks(table: pandas.DataFrame, published: pandas.DataFrame, path) -> None:
    """sigma_NMAD of near and of all galaxies, and outliers, against the share that is hidden."""
    if not len(table):
        return style.nothing("No model whose tokens can be hidden, or no galaxy with image and spectrum.", path)
    fig = style.figure(height=3.4)
    axes = fig.subplots(1, 3)
    models = list(dict.fromkeys(table["model"]))
    panels = ((BELOW, "sigma_nmad"), (ALL, "sigma_nmad"), (ALL, "outliers"))
    for axis, (group, metric) in zip(axes, panels, strict=True):
        rows = table[(table["group"] == group) & (table["metric"] == metric)]
        if not len(rows):
            style.empty(axis, f"too few galaxies\nof {group}")
            continue
        for (model, masked), some in rows.groupby(["model", "masked"], sort=False):
            text, colour = MASKED[masked]
            label = text if len(models) == 1 else f"{style.pretty(model)}: {text}"
            _curve(axis, some["share"], some, colour, MARKERS[models.index(model) % len(MARKERS)], label)
        if metric == "sigma_nmad":
            logarithmic(axis.yaxis)
        if group == BELOW:
            ours = published[published["model"].isin(["mmae_mask25", "mmae_mask0"])]
            x = np.where(ours["model"] == "mmae_mask25", PUBLISHED_SHARE, 0.0)
            axis.plot(x, ours["value"], "x", color=style.INK, ms=6, label="image masked: published, real HSC", zorder=5)
        axis.set(xlabel="share of the tokens hidden", ylabel="sigma_NMAD" if metric == "sigma_nmad" else OUTLIERS)
        axis.set_title(f"{group}, n = {rows['n'].iloc[0]:,}")
    _legend(fig, axes)
    style.save(fig, path)


def _curve(axis, x, rows: pandas.DataFrame, colour: str, marker: str, label: str) -> None:
    axis.fill_between(x, rows["ci_low"], rows["ci_high"], color=colour, alpha=0.18, lw=0)
    axis.plot(x, rows["value"], marker=marker, ms=3.5, color=colour, label=label)


def _legend(fig, axes) -> None:
    """One legend of all panels above them."""
    found = {}
    for axis in axes:
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(text, handle)
    fig.legend(found.values(), found.keys(), loc="outside upper center", ncol=4)


@style.look()
def draw_exposure(table: pandas.DataFrame, path) -> None:
    """sigma_NMAD and outliers against the exposure of the spectrum, with and without the image."""
    if not len(table):
        return style.nothing("No model that can be asked with and without the image, or no galaxy with both.", path)
    fig = style.figure(height=3.5)
    axes = fig.subplots(1, 2)
    models = list(dict.fromkeys(table["model"]))
    for axis, metric in zip(axes, ("sigma_nmad", "outliers"), strict=True):
        rows = table[table["metric"] == metric]
        for (model, given), some in rows.groupby(["model", "given"], sort=False):
            prefix = "" if len(models) == 1 else f"{style.pretty(model)}: "
            marker = MARKERS[models.index(model) % len(MARKERS)]
            if given == ALONE:
                row = some.iloc[0]
                axis.axhspan(row["ci_low"], row["ci_high"], color=style.CYCLE[0], alpha=0.15, lw=0)
                axis.axhline(row["value"], color=style.CYCLE[0], ls="--", label=f"{prefix}image alone")
            else:
                some = some.sort_values("exposure")
                text, colour = GIVEN[given]
                _curve(axis, some["exposure"], some, colour, marker, prefix + text)
        logarithmic(axis.xaxis)
        axis.set_xlabel("share of the spectrum's exposure")
        axis.set_ylabel("sigma_NMAD" if metric == "sigma_nmad" else OUTLIERS)
    logarithmic(axes[0].yaxis)
    axes[0].set_title(f"n = {table['n'].iloc[0]:,}")
    _legend(fig, axes)
    style.save(fig, path)


@style.look()
def draw_calibration(table: pandas.DataFrame, pits: Mapping[str, Mapping[str, np.ndarray]], s: Settings, path) -> None:
    """Above the distribution of PIT, as given and after the conformal step; below coverage and width in bins."""
    if not len(table):
        return style.nothing("No prediction has a density.", path)
    methods = list(pits)
    tint = colours(methods)
    fig = style.figure(height=7.2)
    grid = fig.subplots(3, 2, sharex="row", sharey="row", height_ratios=[1.3, 1.2, 1.2])
    for axis, stage in zip(grid[0], (RAW, CONFORMAL), strict=True):
        axis.axhline(1, color=style.INK, lw=0.7)
        for method in methods:
            if stage in pits[method]:
                counts, edges = np.histogram(pits[method][stage], PIT_BINS, (0, 1))
                height = counts * PIT_BINS / max(1, counts.sum())
                axis.stairs(height, edges, baseline=None, color=tint[method], lw=1.3, label=style.pretty(method))
        title = "as the model gives them" if stage == RAW else "after the conformal step"
        axis.set(title=f"densities {title}", xlabel="PIT of the known redshift", xlim=(0, 1), ylim=(0, None))
    grid[0, 0].set_ylabel("galaxies / expected")
    for row, group in zip(grid[1:], ("estimate", s.magnitude), strict=True):
        what = "bins of the estimated redshift" if group == "estimate" else f"bins of {style.pretty(group)}"
        for axis, stage in zip(row, (RAW, CONFORMAL), strict=True):
            _coverage(axis, table[(table["stage"] == stage) & table["group"].isin(["overall", group])], methods, tint)
            axis.set_xlabel(what)
        row[0].set_ylabel("coverage of\n90 % intervals")
    _legend(fig, grid[0])
    style.save(fig, path)


def _coverage(axis, rows: pandas.DataFrame, methods: list[str], tint: Mapping[str, str]) -> None:
    """Coverage of all galaxies and of the bins from low to high."""
    axis.axhspan(0.88, 0.92, color=style.GRID, lw=0, zorder=0)
    most = 0
    for number, method in enumerate(methods):
        some = rows[rows["method"] == method]
        x = np.arange(len(some)) + 0.7 * ((number + 0.5) / len(methods) - 0.5)
        error = [some["coverage90"] - some["coverage90_low"], some["coverage90_high"] - some["coverage90"]]
        axis.errorbar(x, some["coverage90"], yerr=error, fmt="o", ms=3, lw=0.9, color=tint[method])
        most = max(most, len(some))
    names = ["all", *(f"bin {number}" for number in range(1, most))]
    if most > 1:
        names[1], names[-1] = "lowest", "highest"
    axis.set_xticks(range(most), names[:most], fontsize=8)
