"""How odd galaxies of each kind are in each family of scores, and precision against rank."""

import numpy as np
import pandas

from skyloom.analysis.anomalies.measure import ANY, COMBINED, kinds_of
from skyloom.analysis.anomalies.metrics import Listing
from skyloom.analysis.anomalies.scores import Score
from skyloom.figures import style

COLUMNS = 3
NONE, UNKNOWN = "nothing wrong", "galaxies"
BEYOND = 4
"""The curves go to so many times as many galaxies as there are to be found."""


@style.look()
def draw_scores(families: pandas.DataFrame, total: np.ndarray, label: np.ndarray, path) -> None:
    """A panel a family, the combined score first: oddness of every galaxy, a line of points for each kind of anomaly.

    `families` (n, F) as `combine.families` gives them, `total` (n,), `label` (n,) kinds, "" or None.
    """
    if not len(families) or not np.isfinite(total).any():
        return style.nothing("too few galaxies to say which are odd", path)
    kinds = kinds_of(label, 1)
    lines = {NONE if kinds else UNKNOWN: (label == "") if kinds else np.ones(len(label), bool)}
    lines |= {kind: inside for kind, inside in kinds.items() if kind != ANY}
    panels = {COMBINED: total, **{str(name): families[name].to_numpy(float) for name in families}}
    rows = -(-len(panels) // COLUMNS)
    fig = style.figure(height=rows * (0.8 + 0.24 * len(lines)) + 0.3)
    axes = fig.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_axis_off()
    rng = np.random.default_rng(0)
    for axis, (name, values) in zip(axes.ravel(), panels.items(), strict=False):
        for place, inside in enumerate(lines.values()):
            _strip(axis, place, values[inside & np.isfinite(values)], rng)
        axis.set_title(style.pretty(name))
        axis.set_yticks(range(len(lines)), map(style.pretty, lines))
        axis.set_ylim(len(lines) - 0.4, -0.6)
    for axis in axes.ravel()[max(0, len(panels) - COLUMNS) : len(panels)]:
        axis.set_xlabel("oddness, -ln(share at least as odd)")
    style.save(fig, path)


def _strip(axis, place: int, values: np.ndarray, rng: np.random.Generator) -> None:
    colour = style.GREYS[1] if not place else style.CYCLE[(place - 1) % len(style.CYCLE)]
    height = place + rng.uniform(-0.3, 0.3, len(values))
    size, alpha = (2, 0.3) if len(values) > 500 else (5, 0.7)
    axis.scatter(values, height, s=size, alpha=alpha, color=colour, lw=0, rasterized=True)
    if len(values):
        axis.plot([np.median(values)] * 2, [place - 0.4, place + 0.4], color=style.INK, lw=2)


@style.look()
def draw_found(lists: list[tuple[Score, np.ndarray]], label: np.ndarray, least: int, path) -> None:
    """A panel a kind: precision against rank of the combined score and of each family; dashed: chance."""
    kinds = kinds_of(label, least)
    if not kinds or not lists:
        return style.nothing("no labelled anomalies: nothing to be precise about", path)
    rows = -(-len(kinds) // COLUMNS)
    fig = style.figure(height=2.3 * rows + 0.7)
    axes = fig.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axis in axes.ravel()[len(kinds) :]:
        axis.set_axis_off()
    for axis, (kind, inside) in zip(axes.ravel(), kinds.items(), strict=False):
        for place, (score, values) in enumerate(lists):
            first = score.model == COMBINED
            colour = style.INK if first else style.CYCLE[(place - 1) % len(style.CYCLE)]
            known = np.isfinite(values) & (inside | (label == ""))
            if not (known & inside).any() or not (known & ~inside).any():
                continue
            rank = np.unique(np.geomspace(1, min(known.sum(), BEYOND * inside.sum() + 10), 60).astype(int))
            precision = Listing(values[known], inside[known]).precision(rank)
            name = f"combined ({score.method})" if first else style.pretty(score.method)
            axis.plot(rank, precision, color=colour, lw=2 if first else 1, zorder=3 if first else 2, label=name)
        axis.axhline(inside.sum() / (inside | (label == "")).sum(), color=style.GREYS[0], ls="--", lw=1, label="chance")
        axis.axvline(inside.sum(), color=style.GRID, lw=1)
        axis.set_title(f"{'all kinds' if kind == ANY else style.pretty(kind)} (n = {inside.sum()})")
        axis.set(xscale="log", ylim=(0, 1.03))
    for axis in axes[:, 0]:
        axis.set_ylabel("precision")
    for axis in axes.ravel()[max(0, len(kinds) - COLUMNS) : len(kinds)]:
        axis.set_xlabel("rank (galaxies looked at)")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=4)
    style.save(fig, path)
