"""Predicted against true properties, and scores with their intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from skyloom.analysis.common.blocks import method_name
from skyloom.analysis.common.predictors import BASELINES, PHOTOMETRY
from skyloom.figures import style

CROWDED = 3000  # points above which density replaces dots
MARKERS = {"knn": ("o", -0.14), "mlp": ("D", 0.14), "probe": ("s", 0.0)}  # of a method, and where on its line
COLUMNS = 5  # panels side by side at most


@style.look()
def draw_predictions(predictions: pandas.DataFrame, table: pandas.DataFrame, traits: Mapping, path) -> None:
    """Predicted against true: a column a model, a row each of the first two properties, R2 with its interval.

    `traits` : model -> the traits of its embeddings.
    """
    groups = dict(list(predictions.groupby(["model", "modality", "method"], sort=False)))
    properties = list(dict.fromkeys(predictions["property"]))[:2]
    shown = panels(table, traits, properties[0]) or list(groups)[:COLUMNS]
    palette = style.Palette(traits)
    fig = style.figure(height=2.15 * len(properties) + 0.5)
    axes = fig.subplots(len(properties), len(shown), squeeze=False, sharex="row", sharey="row")
    scores = table[(table["metric"] == "r2") & (table["split"] == "test")]
    scores = scores.set_index(["model", "modality", "method", "property"])
    for axis_row, name in zip(axes, properties, strict=True):
        for axis, key in zip(axis_row, shown, strict=True):
            score = scores.loc[(*key, name)] if (*key, name) in scores.index else None
            _panel(axis, groups[key][groups[key]["property"] == name], score, palette.colour(key[0]))
        axis_row[0].set_ylabel(f"predicted {style.label(name)}")
        fig.align_ylabels(axes[:, 0])
        axis_row[len(shown) // 2].set_xlabel(f"true {style.label(name)}")
    for axis, (model, modality, method) in zip(axes[0], shown, strict=True):
        source = "magnitudes" if modality == PHOTOMETRY else style.pretty(modality)
        axis.set_title(f"{style.pretty(model)}\n{source}, {method_name(method)}")
    style.save(fig, path)


@style.look()
def draw_cross(predictions: pandas.DataFrame, table: pandas.DataFrame, traits: Mapping, path) -> None:
    """Predicted against true in a shared space: a column each modality and pairing of two, zero-shot, a row each model
    and each of the first two properties (AstroCLIP, figures 4 and 5)."""
    rows = predictions[predictions["method"] == "knn"]
    models = list(dict.fromkeys(rows.loc[rows["modality"].str.contains("->"), "model"]))
    if not models:
        return style.nothing("no model has two modalities in one space", path)
    rows = rows[rows["model"].isin(models)]
    groups = dict(list(rows.groupby(["model", "modality", "property"], sort=False)))
    properties = list(dict.fromkeys(rows["property"]))[:2]
    columns = pairings(list(dict.fromkeys(rows["modality"])))
    palette = style.Palette(traits)
    lines = [(name, model) for name in properties for model in models]
    width = min(style.WIDTH, 0.8 + 2.05 * len(columns))
    fig = style.figure(height=2.0 * len(lines) + 0.5, width=width)
    axes = fig.subplots(len(lines), len(columns), squeeze=False, sharex="row", sharey="row")
    scores = table[(table["metric"] == "r2") & (table["split"] == "test") & (table["method"] == "knn")]
    scores = scores.set_index(["model", "modality", "property"])
    for (name, model), panels_ in zip(lines, axes, strict=True):
        for modality, axis in zip(columns, panels_, strict=True):
            key = (model, modality, name)
            if key in groups:
                _panel(axis, groups[key], scores.loc[key] if key in scores.index else None, palette.colour(model))
            else:
                style.empty(axis, "not asked")
        panels_[0].set_ylabel(f"{style.pretty(model)}\npredicted {style.label(name)}", fontsize=8.5)
        panels_[len(columns) // 2].set_xlabel(f"true {style.label(name)}")
    for modality, axis in zip(columns, axes[0], strict=True):
        axis.set_title(style.pretty(modality).replace("->", " \u2192 "))
    fig.align_ylabels(axes[:, 0])
    style.save(fig, path)


def pairings(modalities: Sequence[str]) -> list[str]:
    """Modalities, and between the last two of them the pairings `a->b`, as in the paper; COLUMNS at most."""
    alone = [name for name in modalities if "->" not in name]
    crossed = [name for name in modalities if "->" in name]
    found = [*alone[:-1], *crossed, *alone[-1:]]
    return found[:COLUMNS]


@style.look()
def draw_scores(table: pandas.DataFrame, properties: Sequence[str], traits: Mapping, path) -> None:
    """R2 on the test split of every model, one panel a property; bars are 95 % bootstrap intervals."""
    scores = table[(table["metric"] == "r2") & (table["split"] == "test")]
    names = list(dict.fromkeys(zip(scores["model"], scores["modality"], strict=True)))
    palette = style.Palette(traits)
    fig = style.figure(height=0.27 * len(names) + 1.1)
    axes = fig.subplots(1, len(properties), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, properties, strict=True):
        _dots(axis, scores[scores["property"] == name], names, palette)
        axis.set_title(style.label(name))
        axis.set_xlabel("R2")
    axes[0].set_yticks(range(len(names)), [_source(*name) for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    there = [method for method in MARKERS if method in set(scores["method"])]
    markers = [axes[0].plot([], [], MARKERS[m][0], color=style.INK, ms=5, ls="")[0] for m in there]
    fig.legend(markers, map(method_name, there), loc="outside lower center", ncol=len(there))
    style.save(fig, path)


def panels(table: pandas.DataFrame, traits: Mapping, name: str) -> list[tuple[str, str, str]]:
    """(model, modality, method) of the panels, in the order of the table: photometry, and the kNN of the trained
    models that do best on the validation split in the property `name`."""
    rows = table[(table["metric"] == "r2") & (table["split"] == "validation") & (table["property"] == name)]
    keys = list(zip(rows["model"], rows["modality"], rows["method"], strict=True))
    value = dict(zip(keys, rows["value"], strict=True))
    photometry = [key for key in keys if key[1:] == (PHOTOMETRY, "mlp")]
    found = [key for key in keys if key[2] == "knn" and "->" not in key[1] and style.rank(traits[key[0]]) > 2]
    best = set(sorted(found, key=lambda key: -np.nan_to_num(value[key], nan=-np.inf))[: COLUMNS - len(photometry)])
    return photometry + [key for key in found if key in best]


def _panel(axis, rows: pandas.DataFrame, score: pandas.Series | None, colour: str) -> None:
    rows = rows.dropna(subset=["truth", "prediction"])
    if score is None or not len(rows):
        return style.empty(axis, "no values")
    low, high = np.percentile(rows["truth"], [0.2, 99.8])
    margin = 0.08 * (high - low)
    limits = (low - margin, high + margin)
    axis.plot(limits, limits, color=style.INK, lw=0.8, ls="--", zorder=3)
    if len(rows) > CROWDED:
        axis.hexbin(
            rows["truth"], rows["prediction"], gridsize=45, extent=(*limits, *limits), bins="log", mincnt=1, lw=0
        )
    else:
        axis.plot(rows["truth"], rows["prediction"], ".", ms=3, alpha=0.5, mew=0, color=colour)
    axis.set(xlim=limits, ylim=limits)
    text = f"R2 {score['value']:.2f}\n[{score['ci_low']:.2f}, {score['ci_high']:.2f}]"
    axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=8.5, zorder=4)


def _dots(axis, scores: pandas.DataFrame, names: list[tuple[str, str]], palette: style.Palette) -> None:
    floor = min(-0.05, scores["value"].clip(lower=-0.3).min() - 0.05)
    for method, (marker, shift) in MARKERS.items():
        rows = scores[scores["method"] == method].set_index(["model", "modality"])
        for place, name in enumerate(names):
            if name not in rows.index:
                continue
            row, colour = rows.loc[name], palette.colour(name[0])
            value = max(row["value"], floor)  # a failed fit may lie at -100: shown as an arrow at the edge
            shape = marker if row["value"] >= floor else "<"
            axis.plot(
                [max(row["ci_low"], floor), max(row["ci_high"], floor)], [place + shift] * 2, color=colour, lw=1.2
            )
            axis.plot(value, place + shift, shape, ms=4.5, color=colour, mfc=palette.face(name[0]), mew=1.1)
    axis.set_xlim(floor, 1.02)
    axis.axvline(0, color=style.INK, lw=0.7)
    axis.grid(axis="x", color=style.GRID, lw=0.6)
    axis.grid(axis="y", color=style.GRID, lw=0.4)
    axis.set_axisbelow(True)


def _source(model: str, modality: str) -> str:
    return style.pretty(model) if modality in BASELINES else f"{style.pretty(modality)}: {style.pretty(model)}"
