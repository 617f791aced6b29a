"""Example queries with what was retrieved, recall against k, and what is found beyond redshift."""

import numpy as np
import pandas

from skyloom.analysis.retrieval.likeness import RATIO, called
from skyloom.analysis.retrieval.narrow import NARROW
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


@style.look()
def draw_likeness(table: pandas.DataFrame, narrow: float, path) -> None:
    """A line each pairing: where the counterpart ranks among galaxies of its redshift, and how alike what is found is.

    `table` is the tidy one; a panel for the rank fraction and for each property of `likeness`, with 95 % intervals and
    chance, or random galaxies of the same redshift, as a dashed line.
    """
    rows = table[table["method"] == "cosine"]
    ranked = rows[rows["metric"] == f"{NARROW}median_rank_fraction"]
    ratios = rows[rows["metric"] == RATIO]
    panels = [("rank among galaxies of the\nsame redshift (fraction)", 0.5, ranked)] if len(ranked) else []
    for name, own in ratios.groupby("property", sort=False):
        panels.append((f"difference in {called(name)}\n/ that of random galaxies", 1.0, own))
    if not panels:
        return style.nothing("too few galaxies of the same redshift", path)
    pairs = pandas.concat([own for *_, own in panels])[["model", "modality"]].drop_duplicates()
    models = list(dict.fromkeys(pairs["model"]))
    names = sorted(pairs.itertuples(index=False, name=None), key=lambda pair: models.index(pair[0]))
    fig = style.figure(height=0.3 * len(names) + 1.2, width=min(style.WIDTH, 2.2 + 2.3 * len(panels)))
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title, chance, own) in zip(axes, panels, strict=True):
        _intervals(axis, own, names, models)
        axis.axvline(chance, color=style.GREYS[0], ls="--", lw=1)
        axis.set_xlabel(title)
        axis.set_xlim(0, max(1.1 * chance, 1.05 * np.nan_to_num(own["ci_high"].max())))
        axis.grid(axis="x", color=style.GRID, lw=0.5)
    axes[0].set_yticks(
        range(len(names)), [f"{style.pretty(m)}, {style.pretty(p).replace('->', ' -> ')}" for m, p in names]
    )
    axes[0].invert_yaxis()
    fig.suptitle(f"the same redshift: |dz|/(1 + z) < {narrow:g}; dashed: chance", fontsize=9)
    style.save(fig, path)


def _intervals(axis, own: pandas.DataFrame, names: list, models: list[str]) -> None:
    """Values with their intervals at the line of each (model, modality), one colour a model."""
    for row in own.itertuples():
        line = names.index((row.model, row.modality))
        colour = style.CYCLE[models.index(row.model) % len(style.CYCLE)]
        axis.plot([row.ci_low, row.ci_high], [line, line], color=colour, lw=1.6)
        axis.plot(row.value, line, "o", color=colour, ms=4.5)
