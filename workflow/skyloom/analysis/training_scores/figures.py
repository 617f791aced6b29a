"""R2 of training galaxies, left out, beside that of test galaxies."""

from collections.abc import Mapping, Sequence

import pandas

from skyloom.analysis.common.blocks import method_name
from skyloom.analysis.common.predictors import BASELINES
from skyloom.figures import style

MARKERS = {"knn": ("o", -0.17), "mlp": ("D", 0.17)}
SHIFT = 0.09  # of the test score below that of the training split
NAIVE = "#8a7f72"


@style.look()
def draw(table: pandas.DataFrame, properties: Sequence[str], traits: Mapping, path) -> None:
    """A panel a property, a line a source: training (filled) and test (open) R2 with 95 % intervals, by method, and a
    cross for the naive score of a kNN that finds itself. `traits` : model -> the traits of its embeddings."""
    names = list(dict.fromkeys(zip(table["model"], table["modality"], strict=True)))
    if not names:
        return style.nothing("nothing that the regression scored by kNN or MLP", path)
    palette = style.Palette(traits)
    fig = style.figure(height=0.36 * len(names) + 1.2)
    axes = fig.subplots(1, len(properties), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, properties, strict=True):
        _panel(axis, table[table["property"] == name], names, palette)
        axis.set_title(style.label(name))
        axis.set_xlabel("R2")
    labels = [style.pretty(a) if b in BASELINES else f"{style.pretty(b)}: {style.pretty(a)}" for a, b in names]
    axes[0].set_yticks(range(len(names)), labels)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    shown = [(m, MARKERS[m][0], style.INK, "training, left out") for m in MARKERS if m in set(table["method"])]
    shown += [(m, MARKERS[m][0], "white", "test") for m in MARKERS if m in set(table["method"])]
    handles = [axes[0].plot([], [], shape, color=style.INK, mfc=face, ms=5, ls="")[0] for _, shape, face, _ in shown]
    words = [f"{method_name(method)}, {what}" for method, _, _, what in shown]
    if (table["metric"] == "r2_naive").any():
        handles += axes[0].plot([], [], "x", color=NAIVE, ms=5, ls="")
        words.append("kNN that finds itself")
    fig.legend(handles, words, loc="outside lower center", ncol=len(words))
    style.save(fig, path)


def _panel(axis, rows: pandas.DataFrame, names: list[tuple[str, str]], palette: style.Palette) -> None:
    scores = rows[rows["metric"] == "r2"]
    floor = min(-0.05, scores["value"].clip(lower=-0.3).min() - 0.05)
    for _, row in rows[rows["metric"].isin(["r2", "r2_naive"])].iterrows():
        place = names.index((row["model"], row["modality"]))
        marker, shift = MARKERS[row["method"]]
        if row["metric"] == "r2_naive":
            axis.plot(max(row["value"], floor), place + shift, "x", ms=4.5, color=NAIVE, clip_on=False)
            continue
        train, colour = row["split"] == "train", palette.colour(row["model"])
        y = place + shift + (-SHIFT if train else SHIFT)
        axis.plot([max(row["ci_low"], floor), max(row["ci_high"], floor)], [y] * 2, color=colour, lw=1.1)
        shape = marker if row["value"] >= floor else "<"  # off the scale: an arrow at the edge
        axis.plot(max(row["value"], floor), y, shape, ms=4, color=colour, mfc=colour if train else "white", mew=1)
    axis.set_xlim(floor, 1.02)
    axis.axvline(0, color=style.INK, lw=0.7)
    axis.grid(axis="x", color=style.GRID, lw=0.6)
    axis.grid(axis="y", color=style.GRID, lw=0.4)
    axis.set_axisbelow(True)
