"""Example queries with what was retrieved, and recall against k."""

import numpy as np

from skyloom.figures import style
from skyloom.figures.samples import IMAGE, draw


@style.look()
def draw_retrieval(rows: list[dict], path) -> None:
    """One row a query: the query, its own counterpart, then the nearest galaxies.

    Each of `rows` has `title`, and `panels`: a list of dicts with `form` and `data` (as `samples.Pictures` gives them),
    `note` (one line above the panel) and `frame` ("query", "match" or "").
    """
    if not rows:
        return style.nothing("too few galaxies to retrieve among", path)
    columns = max(len(row["panels"]) for row in rows)
    fig = style.figure(height=1.42 * len(rows) + 0.3)
    axes = fig.subplots(len(rows), columns, squeeze=False)
    for axis_row, row in zip(axes, rows, strict=True):
        for axis in axis_row:
            axis.set_axis_off()
        for axis, panel in zip(axis_row, row["panels"], strict=False):
            axis.set_axis_on()
            _panel(axis, panel)
        axis_row[0].set_ylabel(row["title"], fontsize=7.5)
    style.save(fig, path)


def _panel(axis, panel: dict) -> None:
    draw(axis, panel["form"], panel["data"], compact=True)
    if panel["form"] != IMAGE:
        axis.set_box_aspect(0.9)
    axis.set_title(panel["note"], fontsize=8)
    colour = {"query": style.INK, "match": style.MATCH}.get(panel["frame"])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color(colour or style.GRID)
        spine.set_linewidth(2.2 if colour else 0.8)


@style.look()
def draw_ranks(ranks: dict[str, np.ndarray], path) -> None:
    """Recall@k against k for each pairing, with chance (k/n): `ranks` name -> rank of the true counterpart (n,)."""
    if not ranks:
        return style.nothing("too few galaxies to retrieve among", path)
    fig = style.figure(height=2.9, width=5.2)
    axis = fig.subplots()
    most = max(map(len, ranks.values()))
    for place, (name, rank) in enumerate(ranks.items()):
        k = np.unique(np.geomspace(1, len(rank), 80).astype(int))
        colour = style.CYCLE[place % len(style.CYCLE)]
        axis.plot(k, [(rank <= top).mean() for top in k], color=colour, label=f"{name} (n = {len(rank)})")
    for place, count in enumerate(dict.fromkeys(map(len, ranks.values()))):
        k = np.unique(np.geomspace(1, count, 80).astype(int))
        axis.plot(k, k / count, color=style.GREYS[0], ls="--", lw=1, label="" if place else "chance")
    axis.set(xscale="log", xlabel=f"k (of {most} galaxies)", ylabel="recall@k", ylim=(0, 1.02))
    axis.grid(color=style.GRID, lw=0.5)
    axis.legend(loc="best")
    style.save(fig, path)
