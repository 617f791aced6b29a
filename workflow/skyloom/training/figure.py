"""The loss curve of a training, from its metrics. Apart from the engine: a colour changed here retrains nothing."""

import json
import os
from pathlib import Path

from skyloom.core.errors import BadInput
from skyloom.figures import style


def draw(metrics_path: str | os.PathLike, figure_path: str | os.PathLike, title: str) -> None:
    """Draw the first column of metrics.jsonl against the loss of both splits, or against its last column.

    That is the loss against the step, or for a model that is fitted what its rows say, e.g. the explained variance
    against the number of components.

    Raises
    ------
    BadInput : the file does not hold rows of metrics.
    """
    try:
        rows = [json.loads(line) for line in Path(metrics_path).read_text(encoding="utf-8").splitlines()]
        x, y = ("step", "loss") if not rows or "loss" in rows[0] else (next(iter(rows[0])), list(rows[0])[-1])
        points = {s: [(r[x], r[y]) for r in rows if r["split"] == s] for s in ("train", "validation")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{metrics_path}: expected a row of metrics a line, as JSON ({error!r})") from error
    with style.look():
        figure = style.figure(3.2, 5.5)
        axis = figure.add_subplot()
        for split, found in points.items():
            if found:
                axis.plot(*zip(*found, strict=True), marker=".", ms=4, color=style.SPLITS[split], label=split)
        axis.set(xlabel=x, ylabel=y.replace("_", " "), title=title)
        if any(points.values()):
            axis.legend()
        style.save(figure, figure_path)
