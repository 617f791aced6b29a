"""Figures: scores of every way to a label; what is said against what is known, or classes against classes."""

import os
from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.finetune.methods import Method, Task
from skyloom.figures import style
from skyloom.settings.names import PROPERTIES

WORDS = {"r2": "R$^2$", "accuracy": "share of classes that is right"}
NOTHING = "no label is known of enough test galaxies"
SHOWN = 4
"""Methods of a label in the figure of predictions."""


def name_of(row: dict | Method) -> str:
    """What a method is called on an axis."""
    model, way = (row.model, row.way) if isinstance(row, Method) else (row["model"], row["method"])
    return f"{model}\n({way})"


def draw_scores(table: pandas.DataFrame, path: str | os.PathLike) -> None:
    """A panel a label: the first score of every method with its 95 % interval."""
    rows = table[table["metric"].isin(list(WORDS))] if len(table) else table
    if rows.empty:
        style.nothing(NOTHING, path)
        return
    labels = list(dict.fromkeys(zip(rows["property"], rows["metric"], strict=True)))
    parts = [rows[(rows["property"] == label) & (rows["metric"] == metric)] for label, metric in labels]
    with style.look():
        figure = style.figure(0.8 * len(labels) + 0.42 * len(rows))
        axes = figure.subplots(len(labels), 1, squeeze=False, height_ratios=[len(part) + 1 for part in parts])[:, 0]
        for axis, part, (label, metric) in zip(axes, parts, labels, strict=True):
            for place, row in enumerate(part.to_dict("records")):
                colour = style.GREYS[0] if not row["encoder"] else style.MARK
                error = np.abs([[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]])
                axis.errorbar(row["value"], place, xerr=error, fmt="o", ms=4.5, color=colour)
            axis.set_yticks(range(len(part)), [name_of(row) for row in part.to_dict("records")])
            axis.set(xlabel=WORDS[metric], ylim=(len(part) - 0.5, -0.5))
            axis.set_title(f"{PROPERTIES.get(label, label)}, {part['n'].iloc[0]} test galaxies")
            axis.grid(axis="x", color=style.GRID, lw=0.6)
        style.save(figure, path)


def draw_predictions(drawn: Sequence[tuple[Task, np.ndarray]], path: str | os.PathLike) -> None:
    """A row a label, a column a method."""
    if not drawn:
        style.nothing(NOTHING, path)
        return
    columns = max(min(SHOWN, len(task.methods)) for task, _ in drawn)
    with style.look():
        figure = style.figure(2.7 * len(drawn))
        axes = figure.subplots(len(drawn), columns, squeeze=False)
        for line, (task, test) in zip(axes, drawn, strict=True):
            for axis in line[len(task.methods) :]:
                axis.set_axis_off()
            for axis, method in zip(line, [*task.methods[: SHOWN - 1], *task.methods[SHOWN - 1 :][-1:]], strict=False):
                (_classes if task.classes else _numbers)(axis, task, method, test)
                axis.set_title(name_of(method), fontsize=8.5)
            line[0].set_ylabel("said" if task.classes else f"said: {PROPERTIES.get(task.label, task.label)}")
        style.save(figure, path)


def _numbers(axis, task: Task, method: Method, test: np.ndarray) -> None:
    truth, said = task.truth.loc[test].to_numpy(), method.said.loc[test]
    error = np.nan_to_num([said["value"] - said["lower"], said["upper"] - said["value"]])
    axis.errorbar(truth, said["value"], yerr=error, fmt=".", ms=3, lw=0.4, color=style.MARK, alpha=0.5, rasterized=True)
    ends = np.percentile(truth, [0, 100])
    axis.plot(ends, ends, color=style.INK, lw=0.7)
    room = 0.1 * (ends[1] - ends[0] or 1)
    axis.set(xlabel="known", xlim=(ends[0] - room, ends[1] + room), ylim=(ends[0] - room, ends[1] + room))


def _classes(axis, task: Task, method: Method, test: np.ndarray) -> None:
    truth, said = task.truth.loc[test].to_numpy(int), method.said.loc[test, "value"].to_numpy(int)
    counts = np.zeros((len(task.classes),) * 2)
    np.add.at(counts, (said, truth), 1)
    axis.imshow(counts / counts.sum(0).clip(min=1), vmin=0, vmax=1, cmap="Blues")
    if len(task.classes) <= 12:
        for (row, column), count in np.ndenumerate(counts):
            dark = count > 0.5 * counts[:, column].sum()
            axis.text(column, row, f"{count:.0f}", ha="center", va="center", color="w" if dark else style.INK, size=7.5)
    axis.set_xticks(range(len(task.classes)), task.classes, rotation=30, ha="right")
    axis.set_yticks(range(len(task.classes)), task.classes)
    axis.set_xlabel("known")
