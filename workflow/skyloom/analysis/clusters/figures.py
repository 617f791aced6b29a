"""Elbow curves, cluster means and frequencies."""

import numpy as np
import pandas

from skyloom.analysis.clusters import RAW
from skyloom.figures import style

SEEN = {"hdbscan": "components", RAW: "whole embedding"}
"""What HDBSCAN sees, by method."""


@style.look()
def draw_kmeans(table: pandas.DataFrame, properties: list[str], palette: style.Palette, path) -> None:
    """One row an embedding: inertia against k with the chosen k, cluster means in units of their scatter, AMI."""
    groups = list(table[table["method"] == "kmeans"].groupby(["model", "modality"], sort=False))
    if not groups:
        return style.nothing("too few galaxies for clusters", path)
    fig = style.figure(height=1.9 * len(groups) + 0.5)
    axes = fig.subplots(len(groups), 3, squeeze=False, width_ratios=[1, 1.25, 1])
    names = [style.label(p).split(" [")[0] for p in properties]
    top = max(0.05, np.nan_to_num(table[table["metric"] == "ami"]["value"].max()) * 1.1)
    for (left, middle, right), ((model, modality), rows) in zip(axes, groups, strict=True):
        _elbow(left, rows, palette.colour(model))
        _means(middle, rows, properties)
        ami = rows[rows["metric"] == "ami"].set_index("property")["value"].reindex(properties)
        right.barh(range(len(properties)), ami, color=palette.colour(model), height=0.6)
        right.set(yticks=range(len(properties)), yticklabels=names, xlim=(min(0, np.nan_to_num(ami.min())), top))
        right.invert_yaxis()
        left.set_ylabel(f"{style.pretty(model)}\n{style.pretty(modality)}\ninertia / inertia(k=1)")
        middle.set_xticks(range(len(properties)), names if left is axes[-1][0] else [])
    axes[0][0].set_title("elbow")
    axes[0][1].set_title("mean of each cluster (standardised)")
    axes[0][2].set_title("adjusted mutual information")
    axes[-1][0].set_xlabel("k")
    axes[-1][2].set_xlabel("AMI, binned property")
    axes[-1][1].tick_params(axis="x", rotation=25)
    style.save(fig, path)


@style.look()
def draw_hdbscan(table: pandas.DataFrame, palette: style.Palette, path, shown: int = 8) -> None:
    """How many galaxies HDBSCAN puts in each cluster, noise first: on components and on whole embeddings."""
    groups = list(table[table["method"].isin(SEEN)].groupby(["model", "modality", "method"], sort=False))
    if not groups:
        return style.nothing("too few galaxies for clusters", path)
    columns = min(4, len(groups))
    lines = -(-len(groups) // columns)
    fig = style.figure(height=2.0 * lines + 0.4)
    axes = fig.subplots(lines, columns, squeeze=False)
    for axis in axes.ravel()[len(groups) :]:
        axis.set_axis_off()
    for axis, ((model, modality, method), rows) in zip(axes.ravel(), groups, strict=False):
        counts = _counts(rows)
        noise = counts.pop(-1) if -1 in counts else 0
        head = counts.head(shown)
        heights = [noise, *head] + ([counts.iloc[shown:].sum()] if len(counts) > shown else [])
        names = ["-1", *map(str, head.index)] + (["rest"] if len(counts) > shown else [])
        bars = axis.bar(names, heights, color=[style.GRID, *[palette.colour(model)] * (len(names) - 1)])
        axis.bar_label(bars, labels=[f"{h:.0f}" for h in heights], fontsize=7)
        axis.set_title(f"{style.pretty(model)}, {style.pretty(modality)}\n{SEEN[method]}", fontsize=9)
        axis.set_xlim(-0.8, max(3, len(names)) - 0.2)
        axis.margins(y=0.15)
    for axis in axes[:, 0]:
        axis.set_ylabel("galaxies")
    fig.supxlabel("HDBSCAN cluster", fontsize=9.5)
    style.save(fig, path)


def _elbow(axis, rows: pandas.DataFrame, colour: str) -> None:
    inertia = rows[rows["metric"] == "inertia"]
    k = inertia["property"].str.removeprefix("k=").astype(int).to_numpy()
    value = inertia["value"].to_numpy() / inertia["value"].iloc[0]
    chosen = rows[rows["metric"] == "chosen_k"]["value"].iloc[0]
    mark = style.OTHER_MARK if colour != style.OTHER_MARK else style.INK
    axis.plot(k[[0, -1]], value[[0, -1]], color=style.GREYS[1], ls="--", lw=1)
    axis.plot(k, value, "o-", ms=3.5, color=colour)
    axis.axvline(chosen, color=mark, ls=":", lw=1.3)
    axis.vlines(chosen, *sorted([value[k == chosen][0], np.interp(chosen, k[[0, -1]], value[[0, -1]])]), mark, lw=2.2)
    below = rows[(rows["metric"] == "below_chord") & (rows["property"] == f"k={chosen:.0f}")]["value"]
    why = f"\n{below.iloc[0]:.2f} below the chord" if len(below) else ""
    axis.text(chosen + 0.2, 0.98, f"k = {chosen:.0f}{why}", transform=axis.get_xaxis_transform(), va="top", fontsize=8)
    axis.set_xticks(k[:: max(1, len(k) // 5)])


def _means(axis, rows: pandas.DataFrame, properties: list[str]) -> None:
    counts = _counts(rows)
    means = rows[rows["metric"].isin([f"mean_{p}" for p in properties])]
    grid = means.pivot(index="property", columns="metric", values="value")
    grid = grid.reindex(
        index=[f"cluster={c}" for c in counts.index], columns=[f"mean_{p}" for p in properties]
    ).to_numpy()
    weight = counts.to_numpy() / counts.sum()
    centre = np.nansum(weight[:, None] * grid, axis=0)
    spread = np.sqrt(np.nansum(weight[:, None] * (grid - centre) ** 2, axis=0))
    scaled = (grid - centre) / np.where(spread > 0, spread, 1)
    axis.imshow(scaled, cmap="PuOr", vmin=-2, vmax=2, aspect="auto", origin="upper")
    for (i, j), value in np.ndenumerate(grid):
        text = "white" if abs(scaled[i, j]) > 1.0 else style.INK
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=text)
    axis.set_yticks(range(len(counts)), [f"{c} ({n:.0f})" for c, n in counts.items()])
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _counts(rows: pandas.DataFrame) -> pandas.Series:
    counts = rows[rows["metric"] == "count"]
    return counts.set_index(counts["property"].str.removeprefix("cluster=").astype(int))["value"]
