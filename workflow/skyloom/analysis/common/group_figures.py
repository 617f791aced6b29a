"""R2 by group of galaxies, drawn one way for every analysis that has groups."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from skyloom.analysis.common.blocks import method_name
from skyloom.analysis.common.bygroup import ALL
from skyloom.figures import style

SPAN = 0.3
"""Largest difference in R2 that has a colour of its own."""


@style.look()
def draw_by_group(
    table: pandas.DataFrame, groups: Sequence[str], title: str, path, names: Mapping | None = None
) -> None:
    """How far R2 in each group is from that of all: a panel a property, a line a model and method, a column a group.

    Parameters
    ----------
    table : rows of `bygroup.COLUMNS`
    groups : in the order of the columns
    title : of them
    names : group -> what it is called there
    """
    rows = table[(table["metric"] == "r2") & table["value"].notna() & shown(table)]
    if not rows["group"].isin(groups).any():
        return style.nothing("too few galaxies with predictions in the groups", path)
    sources = list(dict.fromkeys(zip(*(rows[key] for key in ("method", "model", "modality")), strict=True)))
    sources.sort(key=lambda source: source[0])  # methods together, else as in the table
    properties = list(dict.fromkeys(rows["property"]))
    fig = style.figure(height=0.155 * len(sources) + 1.5)
    axes = fig.subplots(1, len(properties), squeeze=False, sharey=True)[0]
    for axis, name in zip(axes, properties, strict=True):
        picture = _panel(axis, rows[rows["property"] == name], sources, groups)
        axis.set_title(style.label(name), fontsize=9)
        axis.set_xticks(range(len(groups) + 1), ["all", *((names or {}).get(group, group) for group in groups)])
        axis.tick_params(axis="x", rotation=90, labelsize=7, length=0)
        axis.tick_params(axis="y", length=0)
        axis.spines[:].set_visible(False)
    labels = [", ".join(dict.fromkeys((style.pretty(m), style.pretty(i), method_name(by)))) for by, m, i in sources]
    axes[0].set_yticks(range(len(sources)), labels, fontsize=7)
    fig.supxlabel(title, fontsize=9)
    fig.colorbar(picture, ax=axes, label="R2 in the group minus R2 of all", fraction=0.03, pad=0.01, extend="both")
    style.save(fig, path)


def _panel(axis, rows: pandas.DataFrame, sources: Sequence[tuple], groups: Sequence[str]):
    """One property; the first column says R2 of all, a dot that the interval of a group leaves it out."""
    found = rows.set_index(["method", "model", "modality", "group"])[["value", "ci_low", "ci_high"]]
    found = found[~found.index.duplicated()]
    key = pandas.MultiIndex.from_tuples([(*source, group) for source in sources for group in (ALL, *groups)])
    value, low, high = found.reindex(key).to_numpy(float).T.reshape(3, len(sources), len(groups) + 1)
    change = value - value[:, :1]
    change[:, 0] = np.nan
    picture = axis.imshow(change, cmap="PuOr", vmin=-SPAN, vmax=SPAN, aspect="auto", origin="upper")
    for place, score in enumerate(value[:, 0]):
        if np.isfinite(score):
            axis.text(0, place, f"{score:.2f}", ha="center", va="center", fontsize=6.5)
    sure = (low > value[:, :1]) | (high < value[:, :1])
    sure[:, 0] = False
    y, x = np.nonzero(sure)
    axis.plot(x, y, ".", ms=3, color=style.INK)
    return picture


def shown(table: pandas.DataFrame) -> np.ndarray:
    """Which rows a figure shows: of networks and magnitudes, not of queries across modalities or of the truth."""
    across = table["modality"].astype(str).str.contains("->")
    return (~across & (table["model"] != "truth")).to_numpy()
