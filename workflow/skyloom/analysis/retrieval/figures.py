"""Example queries with what was retrieved."""

import numpy as np

from skyloom.figures import style
from skyloom.figures.galaxies import draw_image, draw_spectrum


@style.look()
def draw_retrieval(rows: list[dict], path) -> None:
    """One row a query: the query, its own counterpart, then the nearest galaxies.

    Each of `rows` has `title`, and `panels`: a list of dicts with modality ("image" or "spectrum"), `data` (rgb
    (3, S, S), or flux and ivar (2, W)), `note` (one line under the panel) and `frame` ("query", "match" or "").
    """
    columns = max(len(row["panels"]) for row in rows)
    fig = style.figure(height=1.42 * len(rows) + 0.3)
    axes = fig.subplots(len(rows), columns, squeeze=False)
    for axis_row, row in zip(axes, rows, strict=True):
        for axis in axis_row:
            axis.set_axis_off()
        for axis, panel in zip(axis_row, row["panels"], strict=False):
            axis.set_axis_on()
            _panel(axis, panel)
        axis_row[0].set_ylabel(row["title"], fontsize=8.5)
    style.save(fig, path)


def _panel(axis, panel: dict) -> None:
    if panel["modality"] == "image":
        draw_image(axis, panel["data"])
    else:
        draw_spectrum(axis, *panel["data"], compact=True)
        axis.set_box_aspect(0.9)
    axis.set_title(panel["note"], fontsize=8)
    colour = {"query": style.INK, "match": style.FAMILIES["astroclip"]}.get(panel["frame"])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color(colour or style.GRID)
        spine.set_linewidth(2.2 if colour else 0.8)


@style.look()
def draw_ranks(ranks: dict[str, np.ndarray], count: int, path) -> None:
    """Recall@k against k for each pairing, with chance (k/n): `ranks` name -> rank of the true counterpart (n,)."""
    fig = style.figure(height=2.9, width=5.2)
    axis = fig.subplots()
    k = np.unique(np.geomspace(1, count, 80).astype(int))
    for colour, (name, rank) in zip(style.CYCLE, ranks.items(), strict=False):
        axis.plot(k, [(rank <= top).mean() for top in k], color=colour, label=name)
    axis.plot(k, k / count, color=style.FAMILIES["chance"], ls="--", lw=1, label="chance")
    axis.set(xscale="log", xlabel=f"k (of {count} galaxies)", ylabel="recall@k", ylim=(0, 1.02))
    axis.grid(color=style.GRID, lw=0.5)
    axis.legend(loc="best")
    style.save(fig, path)
