"""Predicted against true properties, and scores with their intervals."""

import numpy as np
import pandas

from skyloom.figures import style

# What the panels of predictions show, in this order, where present.
PANELS = [
    ("photometry", "photometry", "mlp"),
    ("astrodino", "image", "knn"),
    ("astroclip", "image", "knn"),
    ("specformer", "spectrum", "knn"),
    ("astroclip", "spectrum", "knn"),
]
CROWDED = 3000  # points above which density replaces dots


@style.look()
def draw_predictions(predictions: pandas.DataFrame, table: pandas.DataFrame, path) -> None:
    """Predicted against true redshift and mass: one column a model, R2 with its interval in each panel."""
    groups = dict(list(predictions.groupby(["model", "modality", "method"], sort=False)))
    shown = [key for key in PANELS if key in groups] or list(groups)[:5]
    present = list(dict.fromkeys(predictions["property"]))
    properties = [p for p in ("z", "log_mstar") if p in present] or present[:2]
    fig = style.figure(height=2.15 * len(properties) + 0.5)
    axes = fig.subplots(len(properties), len(shown), squeeze=False, sharex="row", sharey="row")
    scores = table[(table["metric"] == "r2") & (table["split"] == "test")]
    scores = scores.set_index(["model", "modality", "method", "property"])
    for axis_row, name in zip(axes, properties, strict=True):
        for axis, key in zip(axis_row, shown, strict=True):
            _panel(axis, groups[key][groups[key]["property"] == name], scores.loc[(*key, name)], style.colour(key[0]))
        axis_row[0].set_ylabel(f"predicted {style.label(name)}")
        fig.align_ylabels(axes[:, 0])
        axis_row[len(shown) // 2].set_xlabel(f"true {style.label(name)}")
    for axis, (model, modality, method) in zip(axes[0], shown, strict=True):
        source = "g, r, z magnitudes" if modality == "photometry" else style.source(modality)
        axis.set_title(f"{style.pretty(model)}\n{source}, {_method(method)}")
    style.save(fig, path)


@style.look()
def draw_scores(table: pandas.DataFrame, properties: list[str], path) -> None:
    """R2 on the test split of every model, one panel a property; bars are 95 % bootstrap intervals."""
    scores = table[(table["metric"] == "r2") & (table["split"] == "test")]
    names = _ordered(scores)
    fig = style.figure(height=0.27 * len(names) + 1.1)
    axes = fig.subplots(1, len(properties), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, properties, strict=True):
        _dots(axis, scores[scores["property"] == name], names)
        axis.set_title(style.label(name))
        axis.set_xlabel("R2")
    axes[0].set_yticks(range(len(names)), [_source(*name) for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    markers = [axes[0].plot([], [], m, color=style.INK, ms=5, ls="")[0] for m in "oD"]
    fig.legend(markers, [_method("knn"), _method("mlp")], loc="outside lower center", ncol=2)
    style.save(fig, path)


def _panel(axis, rows: pandas.DataFrame, score: pandas.Series, colour: str) -> None:
    rows = rows.dropna(subset=["truth", "prediction"])
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


def _dots(axis, scores: pandas.DataFrame, names: list[tuple[str, str]]) -> None:
    floor = min(-0.05, scores["value"].clip(lower=-0.3).min() - 0.05)
    for method, marker, shift in (("knn", "o", -0.14), ("mlp", "D", 0.14)):
        rows = scores[scores["method"] == method].set_index(["model", "modality"])
        for place, name in enumerate(names):
            if name not in rows.index:
                continue
            row, colour = rows.loc[name], style.colour(name[0])
            face = "white" if name[0].endswith("_untrained") else colour
            value = max(row["value"], floor)  # a failed fit may lie at -100: shown as an arrow at the edge
            shape = marker if row["value"] >= floor else "<"
            axis.plot(
                [max(row["ci_low"], floor), max(row["ci_high"], floor)], [place + shift] * 2, color=colour, lw=1.2
            )
            axis.plot(value, place + shift, shape, ms=4.5, color=colour, mfc=face, mew=1.1)
    axis.set_xlim(floor, 1.02)
    axis.axvline(0, color=style.INK, lw=0.7)
    axis.grid(axis="x", color=style.GRID, lw=0.6)
    axis.grid(axis="y", color=style.GRID, lw=0.4)
    axis.set_axisbelow(True)


def _ordered(scores: pandas.DataFrame) -> list[tuple[str, str]]:
    """Models by modality: photometry, images, image queries among spectra, spectra; baselines before trained models."""
    modality = ["photometry", "image", "image->spectrum", "hsc_image", "spectrum", "spectrum->image"]
    names = set(zip(scores["model"], scores["modality"], strict=True))

    def place(name: tuple[str, str]) -> tuple:
        where = modality.index(name[1]) if name[1] in modality else len(modality)
        return where, style.rank(name[0]), name

    return sorted(names, key=place)


def _source(model: str, modality: str) -> str:
    return "photometry (g, r, z)" if modality == "photometry" else f"{style.source(modality)}: {style.pretty(model)}"


def _method(method: str) -> str:
    return {"knn": "kNN", "mlp": "MLP"}.get(method, method)
