"""The loss curve of a training, from its metrics. Apart from the engine: a colour changed here retrains nothing."""

import json
import os
from pathlib import Path

from skyloom.core.errors import BadInput
from skyloom.figures import style

SPLITS = ("train", "validation")
COLUMNS = 3
"""Of small panels."""
ENGINE = ("step", "epoch", "split", "lr", "grad_norm", "loss")
"""What the rows of every training have."""


def draw(metrics_path: str | os.PathLike, figure_path: str | os.PathLike, title: str) -> None:
    """Draw the first column of metrics.jsonl against the loss of both splits, or against its last column; and below, in
    a small panel each, against whatever else a training says: parts of its loss, signs of collapse.

    That is the loss against the step, or for a model that is fitted what its rows say, e.g. the explained variance
    against the number of components.

    Raises
    ------
    BadInput : the file does not hold rows of metrics.
    """
    try:
        rows = [json.loads(line) for line in Path(metrics_path).read_text(encoding="utf-8").splitlines()]
        x, y = ("step", "loss") if not rows or "loss" in rows[0] else (next(iter(rows[0])), list(rows[0])[-1])
        others = _others(rows) if y == "loss" else []
        points = {name: _points(rows, x, name) for name in [y, *others]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{metrics_path}: expected a row of metrics a line, as JSON ({error!r})") from error
    with style.look():
        lines = -(-len(others) // COLUMNS)
        figure = style.figure(3.2 + 1.7 * lines, 5.5)
        grid = figure.add_gridspec(1 + lines, COLUMNS, height_ratios=[3.2, *[1.7] * lines])
        axis = figure.add_subplot(grid[0, :])
        _draw(axis, points[y])
        axis.set(xlabel=x, ylabel=y.replace("_", " "), title=title)
        if any(points[y].values()):
            axis.legend()
        for place, name in enumerate(others):
            small = figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS])
            _draw(small, points[name], marker_size=2.5)
            small.set_title(name.replace("_", " "), fontsize=8)
            small.tick_params(labelsize=7)
            small.locator_params(nbins=4)
            small.set_xlabel(x, fontsize=7.5)
        style.save(figure, figure_path)


def _others(rows: list[dict]) -> list[str]:
    """The names of further numbers, in their order."""
    steps = [row for row in rows if row["split"] in SPLITS]
    found = dict.fromkeys(name for row in steps for name in row if name not in ENGINE)
    return [name for name in found if all(isinstance(row.get(name, 0.0), int | float) for row in steps)]


def _points(rows: list[dict], x: str, y: str) -> dict[str, list[tuple[float, float]]]:
    """Split -> (x, y) of the rows that have both."""
    return {s: [(r[x], r[y]) for r in rows if r["split"] == s and y in r] for s in SPLITS}


def _draw(axis, points: dict[str, list], marker_size: float = 4) -> None:
    for split, found in points.items():
        if found:
            axis.plot(*zip(*found, strict=True), marker=".", ms=marker_size, color=style.SPLITS[split], label=split)
