"""In how many properties galaxies are outliers beside independence, and how alike two models' outliers are."""

from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.common.blocks import method_name
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.outliers.chance import pair_of
from skyloom.figures import style

ROW = 0.26
"""Inches of the line of a model: thirty of them are a page."""
FIT = 20
"""Models whose overlaps fit into the matrix as numbers; of more it has colours alone (the table has the numbers)."""
LEFT = 0.5
"""Galaxies at which the logarithmic axis begins: less than one."""


@style.look()
def draw(table: pandas.DataFrame, methods: Sequence[str], palette: style.Palette, path) -> None:
    """A line a model: the overlap of its outliers with those of the models above, and its counts by number of
    properties. Of the first of `methods` that there is."""
    rows = table[
        (table["property"] == "all")
        & (table["model"] != "all")
        & ~table["modality"].astype(str).str.contains("->", regex=False)
    ]
    method = next((name for name in methods if name in set(rows["method"])), None)
    rows = rows[rows["method"] == method]
    if not len(rows):
        return style.nothing("too few galaxies for outliers", path)
    names = list(dict.fromkeys(rows[["model", "modality"]].itertuples(index=False, name=None)))
    numbers = sorted({int(group) for group in rows.loc[rows["metric"] == "count", "group"]})
    overlaps = table[(table["method"] == method) & (table["property"] == "any")]
    several = len(names) > 1 and len(overlaps) > 0
    fig = style.figure(height=ROW * max(len(names), 4) + 1.35)
    wide = [4.6] * several + [4.4 / len(numbers)] * len(numbers)
    axes = fig.subplots(1, len(wide), squeeze=False, sharey=True, width_ratios=wide)[0]
    if several:
        _overlap(axes[0], overlaps[overlaps["metric"].isin(["jaccard", "jaccard_expected"])], names)
    panels = axes[several:]
    for axis, number in zip(panels, numbers, strict=True):
        some = rows[rows["group"].astype(str) == str(number)]
        _multiplicity(axis, some.set_index(["model", "modality", "metric"]), names, palette)
        axis.set_title(f"{number} propert{'y' if number == 1 else 'ies'}", fontsize=8.5)
    top = max(axis.get_xlim()[1] for axis in panels)
    for axis in panels:
        axis.set_xlim(LEFT, top)
    labels = [_source(*name) for name in names]
    labels = [f"{label}  {number}" for number, label in enumerate(labels, 1)] if several else labels
    axes[0].set_yticks(range(len(names)), labels, fontsize=7.5)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    middle = panels[(len(panels) - 1) // 2]
    middle.set_xlabel(f"galaxies that are outliers in so many ({method_name(method)})", fontsize=8.5)
    style.save(fig, path)


def _multiplicity(axis, rows: pandas.DataFrame, names: Sequence[tuple[str, str]], palette: style.Palette) -> None:
    """Galaxies that are outliers in a number of properties, a bar a model with its interval; dashed: by chance."""
    ends = [1.0]
    for place, (model, modality) in enumerate(names):
        if (model, modality, "count") not in rows.index:
            continue
        count = rows.loc[(model, modality, "count")]
        chance = rows.loc[(model, modality, "expected"), "value"]
        if count["value"] > LEFT:
            axis.barh(place, count["value"] - LEFT, 0.68, LEFT, color=palette.face(model), ec=palette.colour(model))
        axis.plot([max(count["ci_low"], LEFT), count["ci_high"]], [place, place], color=style.INK, lw=0.8)
        if chance > LEFT:
            axis.vlines(chance, place - 0.45, place + 0.45, color=style.INK, ls=(0, (2, 1)), lw=1.2)
        ends.append(max(count["ci_high"], chance))
        axis.text(1.2 * ends[-1], place, f"{count['value']:,.0f}", va="center", fontsize=6.5)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlim(LEFT, 5 * max(ends))
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=7.5)


def _overlap(axis, rows: pandas.DataFrame, names: list[tuple[str, str]]) -> None:
    """The Jaccard index of outliers in any property (numbers), coloured by how many times chance it is."""
    values = rows.pivot(index=["model", "modality"], columns="metric", values="value").to_dict("index")
    size = len(names)
    told, ratio = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for i, j in np.ndindex(size, size):
        found = values.get(pair_of(names[i], names[j]))
        if found is not None:
            told[j, i] = found["jaccard"]
            if found["jaccard_expected"] > 0:  # 0: one of the two has no outlier
                ratio[j, i] = found["jaccard"] / found["jaccard_expected"]
    shown = axis.imshow(
        ratio,
        cmap=style.CONTINUOUS,
        vmin=1,
        vmax=max(2.0, np.nanmax(ratio, initial=2.0)),
        origin="upper",
        aspect="auto",
    )
    middle = sum(shown.get_clim()) / 2
    for (i, j), value in np.ndenumerate(told):
        if np.isfinite(value) and size <= FIT:
            ink = "white" if ratio[i, j] <= middle else style.INK
            axis.text(j, i, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=6.5, color=ink)
    places = range(0, size - 1, 1 + size // FIT)
    axis.set_xticks(places, [place + 1 for place in places], fontsize=7.5)
    axis.set_title("overlap with the models above, Jaccard index", fontsize=8.5)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    bar = axis.figure.colorbar(shown, ax=axis, location="bottom", shrink=0.7, aspect=40, pad=0.02)
    bar.set_label("Jaccard index / chance", fontsize=8.5)


def _source(model: str, modality: str) -> str:
    return style.pretty(model) if modality in BASELINES else f"{style.pretty(modality)}: {style.pretty(model)}"
