"""Two-dimensional maps of embeddings, coloured by what galaxies are."""

import numpy as np
import pandas
from matplotlib.lines import Line2D

from skyloom.figures import style


@style.look()
def draw_projection(points: pandas.DataFrame, galaxies: pandas.DataFrame, properties: list[str], path) -> None:
    """One row an embedding: continuous redshift, then each property split at its median into low and high.

    `points` has model, modality, targetid, x, y; `galaxies` has index targetid and columns z and the properties.
    """
    groups = list(points.groupby(["model", "modality"], sort=False))
    if not groups:
        return style.nothing("too few galaxies to project", path)
    columns = ["z", *properties]
    fig = style.figure(height=1.75 * len(groups) + 0.8)
    axes = fig.subplots(len(groups), len(columns), squeeze=False)
    for axis_row, ((model, modality), rows) in zip(axes, groups, strict=True):
        values = galaxies.reindex(rows["targetid"])
        for axis, name in zip(axis_row, columns, strict=True):
            axis.set(xticks=[], yticks=[])
            if name != "z":
                _low_high(axis, rows, values[name])
        colours = _redshift(axis_row[0], rows, values["z"])
        axis_row[0].set_ylabel(f"{style.pretty(model)}\n{style.pretty(modality)}")
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(style.label(name).split(" [")[0])
    fig.colorbar(colours, ax=axes[:, 0], location="bottom", label="redshift", shrink=0.9, aspect=14, pad=0.02)
    handles = [Line2D([], [], marker="o", ls="", ms=5, color=c) for c in (style.LOW, style.HIGH)]
    fig.legend(handles, ["below the median", "above the median"], loc="lower right", ncol=2)
    style.save(fig, path)


def _size(n: int) -> float:
    return float(np.clip(3500 / max(n, 1), 1.0, 9.0))


def _redshift(axis, rows: pandas.DataFrame, z: pandas.Series):
    known = z.dropna()
    low, high = np.percentile(known, [1, 99]) if len(known) else (0, 1)
    return axis.scatter(
        rows["x"], rows["y"], c=z, s=_size(len(rows)), lw=0, cmap=style.CONTINUOUS, vmin=low, vmax=high, rasterized=True
    )


def _low_high(axis, rows: pandas.DataFrame, values: pandas.Series) -> None:
    values = values.to_numpy()
    known = np.isfinite(values)
    if not known.any():
        return style.empty(axis, "no values")
    colour = np.where(values > np.median(values[known]), style.HIGH, style.LOW)
    axis.scatter(rows["x"][known], rows["y"][known], c=colour[known], s=_size(len(rows)), lw=0, alpha=0.75)
