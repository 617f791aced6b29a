"""The last hidden states of every modality for every query, flattened to two dimensions (Xia et al. 2025, figure 3)."""

import numpy as np
import pandas
import torch
from scipy.spatial import ConvexHull, QhullError

from skyloom.analysis.common.projection import flattened
from skyloom.analysis.queries import Settings
from skyloom.figures import style
from skyloom.nn.batch import Batch

BATCH = 256
OUTSIDE = (0.1, 99.9)
"""Percentiles of x and y beyond which a point is left out of its hull."""
COLOURS = {"redshift": 0, "log_mhalo": 1, "log_mstar": 2}


@torch.inference_mode()
def hidden(network, given: dict[str, list[int]], truths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean last hidden state of each modality, (N, dim), of galaxies of which a query shows its numbers."""
    count = len(next(iter(truths.values())))
    parts: dict[str, list[np.ndarray]] = {m: [] for m in network.sizes}
    for start in range(0, count, BATCH):
        batch = Batch({m: {"values": torch.from_numpy(v[start : start + BATCH])} for m, v in truths.items()})
        values, known = network.scaled(batch)
        visible = {m: torch.zeros_like(there) for m, there in known.items()}
        for m, places in given.items():
            visible[m][:, places] = known[m][:, places]
        for m, state in network.hidden(values, visible).items():
            parts[m].append(state.float().mean(1).numpy())
    return {m: np.concatenate(values) for m, values in parts.items()}


def projected(network, given: dict, truths: dict[str, np.ndarray], s: Settings, seed: int) -> pandas.DataFrame:
    """Map of the states: query, modality, row, x, y; of each query one UMAP of all its modalities."""
    if not s.states:
        return pandas.DataFrame(columns=["query", "modality", "row", "x", "y"])
    count = len(next(iter(truths.values())))
    rows = np.arange(count)
    if count > s.states:
        rows = np.sort(np.random.default_rng(seed).choice(count, s.states, replace=False))
    some = {m: values[rows] for m, values in truths.items()}
    frames = []
    for query, places in given.items():
        states = hidden(network, places, some)
        flat = flattened(np.concatenate(list(states.values())), 15, 0.1, 100, seed)
        for (modality, _), xy in zip(states.items(), np.split(flat, len(states)), strict=True):
            frames.append(
                pandas.DataFrame({"query": query, "modality": modality, "row": rows, "x": xy[:, 0], "y": xy[:, 1]})
            )
    return pandas.concat(frames, ignore_index=True)


@style.look()
def draw(points: pandas.DataFrame, scalars: np.ndarray | None, path) -> None:
    """A row for each of redshift, halo and stellar mass, a column a query; a hull around each modality."""
    queries = list(dict.fromkeys(points["query"]))
    if not queries or scalars is None:
        return style.nothing("no map of hidden states was asked for", path)
    fig = style.figure(height=5.6, width=2.0 * len(queries) + 0.8)
    axes = fig.subplots(len(COLOURS), len(queries), squeeze=False)
    modalities = list(dict.fromkeys(points["modality"]))
    colours = dict(zip(modalities, style.CYCLE, strict=False))
    for axis_row, (name, column) in zip(axes, COLOURS.items(), strict=True):
        values = scalars[:, column]
        low, high = np.nanpercentile(values, [1, 99])
        for axis, query in zip(axis_row, queries, strict=True):
            here = points[points["query"] == query]
            shown = axis.scatter(
                here["x"], here["y"], c=values[here["row"]], s=1.5, lw=0, cmap=style.CONTINUOUS, vmin=low, vmax=high,
                rasterized=True,
            )  # fmt: skip
            for modality in modalities:
                _hull(axis, here[here["modality"] == modality][["x", "y"]].to_numpy(), colours[modality])
            axis.set(xticks=[], yticks=[])
        fig.colorbar(shown, ax=axis_row, label=style.pretty(name).replace("log m", "log M "), aspect=14, pad=0.01)
    for axis, query in zip(axes[0], queries, strict=True):
        axis.set_title(style.pretty(query), fontsize=8.5)
    handles = [style.line(colours[m], style.pretty(m)) for m in modalities]
    fig.legend(handles=handles, loc="outside lower center", ncol=len(handles))
    style.save(fig, path)


def _hull(axis, xy: np.ndarray, colour: str) -> None:
    low, high = np.percentile(xy, OUTSIDE, axis=0)
    inside = xy[((xy >= low) & (xy <= high)).all(axis=1)]
    try:
        corners = inside[ConvexHull(inside).vertices]
    except (QhullError, ValueError):
        return
    axis.fill(*corners.T, facecolor="none", edgecolor=colour, lw=1.1)
