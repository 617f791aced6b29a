"""Redshift against redshift as in the paper's figure 3, and errors by redshift."""

from collections.abc import Sequence

import numpy as np
import pandas
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from skyloom.analysis.photoz import NEAR, PHOTOMETRY, Settings
from skyloom.analysis.photoz.methods import Method
from skyloom.analysis.photoz.metrics import ALL, BELOW
from skyloom.figures import style

TICKS = (0, 0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 6)
CELLS = 70
"""A side at most; fewer where there are few galaxies."""
NAMES = {"bias": "bias, median dz", "sigma_nmad": "sigma_NMAD", "outliers": "outliers, |dz| > 0.15"}
PUBLISHED = {
    "mmae_mask25": "MMAE, a quarter hidden",
    "mmae_mask0": "MMAE, whole image",
    "astroclip": "AstroCLIP",
    "bcnn": "BCNN",
}
SHADE = "#c4c4c4"


def published_scatter(table: pandas.DataFrame) -> pandas.DataFrame:
    """The paper's sigma_NMAD at z < 0.4 among published numbers: model, value."""
    wanted = (table["source"] == "MMAE") & (table["method"] == "photo-z") & (table["metric"] == "sigma_nmad")
    return table.loc[wanted, ["model", "value"]]


def colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour a method; photometry is grey."""
    others = [name for name in methods if name != PHOTOMETRY]
    return {PHOTOMETRY: style.GREYS[0]} | {n: style.CYCLE[i % len(style.CYCLE)] for i, n in enumerate(others)}


def logarithmic(side) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    (side.axes.set_xscale if side.axis_name == "x" else side.axes.set_yscale)("log")
    side.set_major_locator(LogLocator(subs=(1, 2, 5)))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_formatter(NullFormatter())


def plain(scores: pandas.DataFrame, metric: str, group: str | None = None) -> pandas.DataFrame:
    """Rows of a metric itself, no differences, by method in their order."""
    rows = scores[(scores["metric"] == metric) & scores["other"].isna()]
    return rows if group is None else rows[rows["group"] == group]


@style.look()
def draw_redshifts(
    shown: Method, known: np.ndarray, said: np.ndarray, scores: pandas.DataFrame, published: pandas.DataFrame, path
) -> None:
    """Right: what is said against what is known; left: the same of near galaxies, and the scatter of every method."""
    fig = style.figure(height=5.6)
    left, right = fig.subfigures(1, 2, width_ratios=[1, 1.15])
    bars = len(plain(scores, "sigma_nmad", BELOW)) + len(published)
    above, below = left.subplots(2, 1, height_ratios=[0.17 * bars + 0.5, 2.2])
    _bars(above, plain(scores, "sigma_nmad", BELOW), published, shown.name)
    near = known < NEAR
    _density(below, known[near], said[near], (0, NEAR), "known redshift", f"{style.pretty(shown.name)}, redshift")
    _told(below, scores, shown.name, BELOW)
    axis = right.subplots()
    edge = max(0.5, float(known.max()) * 1.03)
    image = _density(axis, known, said, (0, edge), "known redshift", f"{style.pretty(shown.name)}, redshift")
    _told(axis, scores, shown.name, ALL)
    if image is not None:
        right.colorbar(image, ax=axis, label="galaxies", aspect=40, location="bottom", shrink=0.8, format="%g")
    style.save(fig, path)


def _density(axis, known: np.ndarray, said: np.ndarray, span: tuple[float, float], across: str, up: str):
    """A histogram of galaxies in ln(1 + z), its line of equality and the limits of outliers."""
    low, high = np.log1p(span)
    for slope, look in ((0, "-"), (0.15, ":"), (-0.15, ":")):
        z = np.linspace(*span, 50)
        axis.plot(np.log1p(z), np.log1p(np.maximum(z + slope * (1 + z), -0.5)), look, color=style.INK, lw=0.7)
    ticks = [z for z in (TICKS if span[1] > 0.5 else (0, 0.1, 0.2, 0.3, 0.4)) if np.log1p(z) <= high + 1e-9]
    for side in (axis.xaxis, axis.yaxis):
        side.set_ticks(np.log1p(ticks), [f"{z:g}" for z in ticks])
    axis.set(xlim=(low, high), ylim=(low, high), xlabel=across, ylabel=up)
    axis.set_box_aspect(1)
    seen = np.isfinite(said) & (said > -0.5)
    cells = int(np.clip(2 * np.sqrt(seen.sum()), 10, CELLS))
    counts, x, y = np.histogram2d(np.log1p(known[seen]), np.log1p(said[seen]), cells, [(low, high)] * 2)
    if not counts.any():
        return None
    counts[counts == 0] = np.nan
    most = max(2.0, float(np.nanmax(counts)))
    return axis.pcolormesh(x, y, counts.T, cmap=style.CONTINUOUS, norm=LogNorm(1, most), rasterized=True)


def _told(axis, scores: pandas.DataFrame, method: str, group: str) -> None:
    """Its scores as the title."""
    rows = scores[(scores["method"] == method) & (scores["group"] == group) & scores["other"].isna()]
    rows = rows.set_index("metric")
    if "sigma_nmad" not in rows.index:
        return
    told = [f"{name.partition(',')[0]} {rows.loc[metric, 'value']:.4f}" for metric, name in NAMES.items()]
    text = f"{group}, n = {rows.loc['sigma_nmad', 'n']:,}: {told[0]}\n{told[1]}, {told[2]}"
    axis.set_title(text, fontsize=8)


def _bars(axis, rows: pandas.DataFrame, published: pandas.DataFrame, shown: str) -> None:
    """sigma_NMAD of near galaxies: ours with intervals, then published values of other galaxies."""
    tint = colours(list(rows["method"]))
    names = [style.pretty(name) for name in rows["method"]]
    names += [f"{PUBLISHED.get(model, model)}: published, real HSC" for model in published["model"]]
    values = [*rows["value"], *published["value"]]
    most = max([*rows["ci_high"], *published["value"], 1e-6])
    for place, row in enumerate(rows.itertuples()):
        edge = style.INK if row.method == shown else "none"
        axis.barh(place, row.value, color=tint[row.method], edgecolor=edge, lw=0.9, height=0.72)
        axis.plot([row.ci_low, row.ci_high], [place, place], color=style.INK, lw=0.9)
    start = len(rows)
    axis.barh(range(start, len(values)), published["value"], color=SHADE, hatch="///", edgecolor="white", height=0.72)
    for place, value in enumerate(values):
        end = rows["ci_high"].iloc[place] if place < start else value
        axis.text(max(value, end) + 0.02 * most, place, f"{value:.4f}", va="center", fontsize=6.5)
    axis.set_yticks(range(len(values)), names, fontsize=7)
    axis.set(ylim=(len(values) - 0.4, -0.6), xlim=(0, 1.22 * most), xlabel=f"sigma_NMAD, {BELOW}")


@style.look()
def draw_bins(scores: pandas.DataFrame, s: Settings, path) -> None:
    """Bias, scatter and outliers of every method in bins of the known redshift."""
    binned = scores[scores["group"].str.startswith("z ") & (scores["group"] != BELOW)]
    groups = list(dict.fromkeys(binned["group"]))
    if not groups:
        return style.nothing(f"No bin of redshift has {s.least} galaxies.", path)
    methods = list(dict.fromkeys(binned["method"]))
    tint = colours(methods)
    fig = style.figure(height=6.4)
    axes = fig.subplots(3, 1, sharex=True)
    for axis, (metric, name) in zip(axes, NAMES.items(), strict=True):
        for number, method in enumerate(methods):
            rows = plain(binned, metric)
            rows = rows[rows["method"] == method].set_index("group").reindex(groups)
            x = np.arange(len(groups)) + 0.8 * ((number + 0.5) / len(methods) - 0.5)
            error = [(rows["value"] - rows["ci_low"]).clip(lower=0), (rows["ci_high"] - rows["value"]).clip(lower=0)]
            axis.errorbar(
                x, rows["value"], yerr=error, fmt="o", ms=3.2, lw=0.9, color=tint[method], label=style.pretty(method)
            )
        axis.set_ylabel(name)
        for edge in np.arange(len(groups) - 1) + 0.5:
            axis.axvline(edge, color=style.GRID, lw=0.6)
    axes[0].axhline(0, color=style.INK, lw=0.6)
    values = plain(binned, "sigma_nmad")["value"]
    if values.min() > 0:
        logarithmic(axes[1].yaxis)
    counts = binned.groupby("group", sort=False)["n"].first()
    axes[2].set_xticks(range(len(groups)), [f"{g[2:]}\nn = {counts[g]:,}" for g in groups], fontsize=8)
    axes[2].set_xlabel("known redshift")
    handles, texts = axes[0].get_legend_handles_labels()
    fig.legend(handles, texts, loc="outside upper center", ncol=4)
    style.save(fig, path)
