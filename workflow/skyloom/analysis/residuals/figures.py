"""Box plots of absolute residuals, bins of the properties, and net counts by the size of the error."""

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.patches
import numpy as np
import pandas

from skyloom.analysis.common.blocks import method_name
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.residuals import Settings
from skyloom.analysis.residuals.compare import bin_names
from skyloom.figures import style

HISTOGRAM = 60
"""Bars of the distribution of a property."""
TARGETS = {"low": "low values", "high": "high values"}


def own(table: pandas.DataFrame) -> pandas.DataFrame:
    """The rows without those of one modality among another's galaxies ("a->b")."""
    return table[~table["modality"].astype(str).str.contains("->", regex=False)]


def names_of(table: pandas.DataFrame) -> list[tuple[str, str]]:
    """Models and modalities in the order of the table, as far as possible that of the property with most of them."""
    number = table.groupby("property")["model"].transform("size")
    table = table.loc[(-number).sort_values(kind="stable").index]
    return list(dict.fromkeys(zip(table["model"], table["modality"], strict=True)))


@style.look()
def draw_boxes(table: pandas.DataFrame, methods: Sequence[str], palette: style.Palette, path) -> None:
    """A row a method, a column a property, a box a model: what stands in the table, the mean as a diamond."""
    table = own(table)
    methods = [method for method in methods if method in set(table["method"])]
    if not methods:
        return style.nothing("no residuals: nothing was predicted", path)
    properties = list(dict.fromkeys(table["property"]))
    sources = {method: names_of(table[table["method"] == method]) for method in methods}
    lines = [len(names) for names in sources.values()]
    fig = style.figure(height=0.21 * sum(lines) + 0.55 * len(methods) + 0.5)
    axes = fig.subplots(len(methods), len(properties), squeeze=False, sharex="col", height_ratios=lines)
    for axis_row, (method, names) in zip(axes, sources.items(), strict=True):
        for axis, name in zip(axis_row, properties, strict=True):
            rows = table[(table["method"] == method) & (table["property"] == name)]
            found = rows.pivot(index=["model", "modality"], columns="metric", values="value")
            _boxes(axis, [found.loc[source] if source in found.index else None for source in names], names, palette)
            axis.set_yticks(range(len(names)), [_source(*source) for source in names] if axis is axis_row[0] else [])
        axis_row[0].set_ylabel(method_name(method))
    for axis, name in zip(axes[-1], properties, strict=True):
        axis.set_xlabel(f"|error| of\n{style.label(name)}")
        axis.set_xlim(left=0)
    style.save(fig, path)


def _boxes(axis, found: list, names: list[tuple], palette: style.Palette) -> None:
    for place, (box, (model, _)) in enumerate(zip(found, names, strict=True)):
        if box is None:
            continue
        colour, face = palette.colour(model), palette.face(model)
        stats = {"med": box["median"], "q1": box["q1"], "q3": box["q3"], "mean": box["mean"], "label": ""}
        stats |= {"whislo": box["whisker_low"], "whishi": box["whisker_high"]}
        line = {"color": colour, "lw": 1.0}
        axis.bxp(
            [stats], positions=[place], widths=0.62, orientation="horizontal", showfliers=False, showmeans=True,
            patch_artist=True, manage_ticks=False, whiskerprops=line, capprops=line,
            boxprops={"facecolor": matplotlib.colors.to_rgba(face, 0.45), "edgecolor": colour, "lw": 1.0},
            medianprops={"color": style.INK, "lw": 1.3},
            meanprops={"marker": "D", "ms": 3, "mfc": style.INK, "mec": style.INK},
        )  # fmt: skip
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="x", color=style.GRID, lw=0.5)
    axis.set_axisbelow(True)


@style.look()
def draw_bins(truth: Mapping[str, np.ndarray], bins: pandas.DataFrame, path) -> None:
    """A panel a property: how its values are distributed, coloured by bin. `truth` : property -> known values (n,)."""
    if not truth:
        return style.nothing("no property is known of these galaxies", path)
    columns = min(3, len(truth))
    fig = style.figure(height=2.2 * -(-len(truth) // columns) + 0.6)
    axes = fig.subplots(-(-len(truth) // columns), columns, squeeze=False).ravel()
    for axis in axes[len(truth) :]:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes, truth.items(), strict=False):
        rows = bins[(bins["property"] == name) & (bins["method"] == "quantiles")]
        found = rows.pivot(index="target", columns="metric", values="value").loc[list(dict.fromkeys(rows["target"]))]
        low, high = np.percentile(values, [0.2, 99.8])
        if high - low <= 1e-9 * max(1.0, abs(high)):  # one galaxy, or one value but for rounding
            low, high = low - 1, high + 1
        margin = 0.02 * (high - low)
        colours = colours_of(len(found))
        for (_, one), colour in zip(found.iterrows(), colours, strict=True):
            # each bin has bars of its own, which end at its edges: a bar belongs to one bin
            ends = max(one["from"], low - margin), min(one["to"], high + margin)
            inside = values[(values >= ends[0]) & (values <= ends[1])]
            bars = max(1, round(HISTOGRAM * (ends[1] - ends[0]) / (high - low))) if high > low else 1
            if ends[1] - ends[0] > 1e-9 * (high - low) and len(inside):
                heights, edges = np.histogram(inside, bars, range=ends)
                axis.bar(edges[:-1], heights / np.diff(edges) / len(values), np.diff(edges), align="edge", color=colour)
        axis.set(xlabel=style.label(name), ylabel="share of galaxies per unit")
        axis.set_title(f"{len(values):,} galaxies", fontsize=8.5)
    names = list(dict.fromkeys(bins[bins["method"] == "quantiles"]["target"]))
    handles = [matplotlib.patches.Patch(color=colour) for colour in colours_of(len(names))]
    fig.legend(handles, map(_target, names), loc="outside lower center", ncol=len(names))
    style.save(fig, path)


@style.look()
def draw_net(bins: pandas.DataFrame, settings: Settings, path) -> None:
    """A row a pair of models, a column each of the properties `shown`: net counts by error, coloured by bin of it."""
    rows = own(bins[bins["metric"] == "net_count"])
    method = next((m for m in settings.methods if m in set(rows["method"])), None)
    rows = rows[rows["method"] == method]
    if not len(rows):
        return style.nothing("no two models to compare", path)
    there = list(dict.fromkeys(rows["property"]))
    properties = [name for name in settings.shown if name in there] or there[: len(settings.shown)]
    pairs = names_of(rows)
    fig = style.figure(height=2.0 * len(pairs) + 0.7)
    axes = fig.subplots(len(pairs), len(properties), squeeze=False)
    for axis_row, (model, modality) in zip(axes, pairs, strict=True):
        for axis, name in zip(axis_row, properties, strict=True):
            of = bins[(bins["model"] == model) & (bins["modality"] == modality) & (bins["method"] == method)]
            _net(axis, of[of["property"] == name], settings)
        axis_row[0].set_ylabel(f"{style.pretty(modality)}\n{style.pretty(model)}\ngalaxies", fontsize=8)
    for axis, name in zip(axes[-1], properties, strict=True):
        axis.set_xlabel(f"|error| of {style.label(name)}, {method_name(method)}")
    handles, labels = next(a.get_legend_handles_labels() for a in axes.ravel() if a.get_legend_handles_labels()[0])
    fig.legend(handles, labels, loc="outside lower center", ncol=settings.bins)
    style.save(fig, path)


def _net(axis, rows: pandas.DataFrame, settings: Settings) -> None:
    net = rows[(rows["metric"] == "net_count") & (rows["target"] != "all")]
    if not len(net):
        return style.empty(axis, "too few galaxies")
    errors = list(dict.fromkeys(net["error"]))
    x, width = np.arange(len(errors)), 0.84 / settings.bins
    for number, (name, colour) in enumerate(zip(bin_names(settings.bins), colours_of(settings.bins), strict=True)):
        own = net[net["target"] == name]
        value = own["value"].to_numpy()
        spread = np.abs(own[["ci_low", "ci_high"]].to_numpy().T - value)
        at = x + (number - (settings.bins - 1) / 2) * width
        axis.bar(at, value, width, color=colour, label=_target(name))
        axis.errorbar(at, value, spread, fmt="none", ecolor=style.INK, elinewidth=0.6)
    axis.axhline(0, color=style.INK, lw=0.7)
    ends = rows[rows["metric"] == "error_to"].set_index("error")["value"].loc[errors].to_numpy()[:-1]
    between = [f"{low:.2g} to {high:.2g}" for low, high in zip(ends[:-1], ends[1:], strict=True)]
    labels = [f"< {ends[0]:.2g}", *between, f"> {ends[-1]:.2g}"]
    axis.set_xticks(x, labels, fontsize=7.5)
    axis.grid(axis="y", color=style.GRID, lw=0.5)
    axis.set_axisbelow(True)


def colours_of(count: int) -> list:
    """Colours of bins from low to high, dark to light, which grey and every kind of colour vision keep in order."""
    return list(matplotlib.colormaps[style.CONTINUOUS](np.linspace(0.08, 0.88, count)))


def _target(name: str) -> str:
    return TARGETS.get(name, name)


def _source(model: str, modality: str) -> str:
    return style.pretty(model) if modality in BASELINES else f"{style.pretty(modality)}: {style.pretty(model)}"
