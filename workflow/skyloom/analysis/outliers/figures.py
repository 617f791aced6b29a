"""In how many properties galaxies are outliers beside independence, and how alike two models' outliers are."""

from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.common.blocks import method_name
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.outliers.chance import pair_of
from skyloom.figures import style

COLUMNS = 5
"""Panels side by side."""


@style.look()
def draw(table: pandas.DataFrame, methods: Sequence[str], palette: style.Palette, path) -> None:
    """A panel a model with its counts by number of properties, and a matrix of the overlap of any two models."""
    rows = table[
        (table["property"] == "all")
        & (table["model"] != "all")
        & ~table["modality"].astype(str).str.contains("->", regex=False)
    ]
    method = next((name for name in methods if name in set(rows["method"])), None)
    rows = rows[rows["method"] == method]
    if not len(rows):
        return style.nothing("too few galaxies for outliers", path)
    groups = list(rows.groupby(["model", "modality"], sort=False))
    lines = -(-len(groups) // COLUMNS)
    side = 0.3 * len(groups) + 1.9
    fig = style.figure(height=1.75 * lines + 0.5 + (side if len(groups) > 1 else 0))
    parts = fig.subfigures(2, 1, height_ratios=[1.75 * lines + 0.5, side]) if len(groups) > 1 else [fig]
    axes = parts[0].subplots(lines, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axis in axes.ravel()[len(groups) :]:
        axis.set_visible(False)
    for axis, ((model, modality), some) in zip(axes.ravel(), groups, strict=False):
        _multiplicity(axis, some, palette.colour(model), palette.face(model))
        axis.set_title(_source(model, modality).replace(": ", "\n"), fontsize=8)
        axis.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("galaxies")
    parts[0].supxlabel(f"properties in which a galaxy is an outlier ({method_name(method)})", fontsize=9.5)
    if len(groups) > 1:
        _overlap(parts[1].subplots(), table[table["method"] == method], [name for name, _ in groups])
    style.save(fig, path)


def _multiplicity(axis, rows: pandas.DataFrame, colour: str, face: str) -> None:
    count, expected = (rows[rows["metric"] == metric] for metric in ("count", "expected"))
    x, value = count["group"].astype(int).to_numpy(), count["value"].to_numpy()
    spread = np.abs(count[["ci_low", "ci_high"]].to_numpy().T - value)
    axis.bar(x, value, 0.7, color=face, edgecolor=colour, lw=1.0)
    axis.errorbar(x, value, spread, fmt="none", ecolor=style.INK, elinewidth=0.8)
    chance = expected["value"].to_numpy()
    axis.hlines(chance, x - 0.42, x + 0.42, color=style.INK, ls=(0, (3, 1.5)), lw=1.3)
    for at, height, top in zip(x, value, np.maximum(value + spread[1], chance), strict=True):
        axis.text(at, max(top, 0.6) * 1.15, f"{height:,.0f}", ha="center", va="bottom", fontsize=7)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylim(0.5, max(axis.get_ylim()[1], 4 * (value + spread[1]).max()))
    axis.set_xticks(x)


def _overlap(axis, table: pandas.DataFrame, names: list[tuple[str, str]]) -> None:
    """The Jaccard index of outliers in any property (numbers), coloured by how many times chance it is."""
    rows = table[(table["property"] == "any") & table["metric"].isin(["jaccard", "jaccard_expected"])]
    values = rows.pivot(index=["model", "modality"], columns="metric", values="value").to_dict("index")
    size = len(names)
    told, ratio = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for i, j in np.ndindex(size, size):
        found = values.get(pair_of(names[i], names[j]))
        if found is not None:
            told[j, i], ratio[j, i] = found["jaccard"], found["jaccard"] / found["jaccard_expected"]
    shown = axis.imshow(
        ratio, cmap=style.CONTINUOUS, vmin=1, vmax=max(2.0, np.nanmax(ratio, initial=2.0)), origin="upper"
    )
    middle = sum(shown.get_clim()) / 2
    for (i, j), value in np.ndenumerate(told):
        if np.isfinite(value):
            ink = style.INK if ratio[i, j] > middle else "white"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=ink)
    labels = [_source(*name) for name in names]
    axis.set_xticks(range(size), labels, rotation=40, ha="right", fontsize=7)
    axis.set_yticks(range(size), labels, fontsize=7)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.figure.colorbar(shown, ax=axis, label="Jaccard index / chance", shrink=0.8)


def _source(model: str, modality: str) -> str:
    return style.pretty(model) if modality in BASELINES else f"{style.pretty(modality)}: {style.pretty(model)}"
