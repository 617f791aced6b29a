"""Figure 2 of the paper, and whether the model knows what it does not know."""

from collections.abc import Mapping

import numpy as np
import pandas
from matplotlib.ticker import NullFormatter

from skyloom.analysis.queries import Settings
from skyloom.analysis.queries.answers import Answers
from skyloom.analysis.queries.certainty import pit_of
from skyloom.figures import style
from skyloom.formats.part_columns import SCALARS
from skyloom.models.mosaic import BANDS

CURVES = ("sfh", "sed", "spherex", "lsst")
NAMES = {
    "redshift": "redshift",
    "log_mhalo": "log M halo [Msun]",
    "log_mstar": "log M* [Msun]",
    "sfh": "log SFR [Msun/yr]",
    "sed": "log F_nu at 10 pc [Jy]",
    "spherex": "SPHEREx [mag]",
    "lsst": "LSST [mag]",
    "lsst_image": "LSST pictures",
}
UNITS = {"sfh": "cosmic time [Gyr]", "sed": "wavelength [A]", "spherex": "wavelength [A]", "lsst": "band"}


@style.look()
def draw_queries(
    answers: Mapping[str, Answers],
    truths: Mapping[str, np.ndarray],
    targetid: np.ndarray,
    axes: Mapping[str, np.ndarray],
    scores: pandas.DataFrame,
    s: Settings,
    path,
) -> None:
    """A row a query: curves of a few galaxies with what was given shaded out, then a scatter plot for each scalar."""
    curves = [m for m in CURVES if m in truths]
    columns = [*curves, *(SCALARS if "scalars" in truths else ())]
    if not answers:
        return style.nothing("no query was asked", path)
    fig = style.figure(height=1.9 * len(answers) + 0.4, width=2.05 * len(columns))
    grid = fig.subplots(len(answers), len(columns), squeeze=False)
    for axis_row, (name, asked) in zip(grid, answers.items(), strict=True):
        place = np.searchsorted(targetid, asked.targetid)
        mae = scores[(scores["modality"] == name) & (scores["metric"] == "mae") & (scores["model"] == asked.model)]
        mae = mae.set_index("property")["value"]
        for axis, column in zip(axis_row, columns, strict=True):
            if column in curves:
                _curves(axis, asked, column, truths[column][place], axes.get(column), s.shown)
            else:
                _scatter(axis, asked, column, truths["scalars"][place][:, SCALARS.index(column)], s.points)
            if column in mae.index:
                axis.set_title(f"MAE {mae[column]:.3f}", fontsize=8)
        axis_row[0].set_ylabel(f"{style.pretty(name)}\n{NAMES[columns[0]]}", fontsize=8)
    for axis, column in zip(grid[-1], columns, strict=True):
        axis.set_xlabel(UNITS.get(column, f"true {NAMES.get(column, column)}"), fontsize=8)
    for axis, column in zip(grid[0], columns, strict=True):
        title = axis.get_title()
        axis.set_title(f"{NAMES[column]}\n{title}", fontsize=8)
    style.save(fig, path)


def _places(axis: np.ndarray | None, size: int) -> np.ndarray:
    if axis is None:
        return np.arange(size, dtype=float)
    return (axis[1:] + axis[:-1]) / 2 if len(axis) == size + 1 else axis


def _curves(axis, asked: Answers, modality: str, truth: np.ndarray, where: np.ndarray | None, shown: int) -> None:
    """Some galaxies: the truth light and solid, the answer dark and dotted with its interval; given numbers shaded."""
    x = _places(where, truth.shape[1])
    if modality in ("sed", "spherex"):
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
    rows = np.linspace(0, len(truth) - 1, min(shown, len(truth))).astype(int)
    given = asked.about["given"].get(modality, [])
    said, places = asked.all_of(modality) if asked.of(modality) else (None, [])
    ends = [asked.all_of(modality, end)[0] for end in ("_lower", "_upper")] if said is not None else []
    marker = "o" if modality == "lsst" else ""
    for number, row in enumerate(rows):
        colour = style.CYCLE[number % len(style.CYCLE)]
        axis.plot(x, truth[row], color=colour, alpha=0.45, lw=1.6, marker=marker, ms=3)
        if said is not None:
            axis.plot(x[places], said[row], color=colour, lw=1.1, ls=":", marker=marker, ms=2)
            axis.fill_between(x[places], ends[0][row], ends[1][row], color=colour, alpha=0.13, lw=0)
    for run in np.split(given, np.flatnonzero(np.diff(given) > 1) + 1) if given else []:
        axis.axvspan(x[run[0]], x[run[-1]], color="#9ecae1", alpha=0.25, lw=0, zorder=0)
    if modality == "lsst":
        axis.set_xticks(x, list(BANDS) if len(x) == len(BANDS) else [f"{v:g}" for v in x])
        axis.invert_yaxis()
    if modality == "spherex":
        axis.invert_yaxis()
        known = truth[rows][np.isfinite(truth[rows])]
        if len(known):
            low, high = np.percentile(known, [2, 98])
            axis.set_ylim(high + 1.5, low - 1.5)
    axis.tick_params(labelsize=7)


def _scatter(axis, asked: Answers, name: str, truth: np.ndarray, points: int) -> None:
    """Answers against the truth; the band holds the 16-84 % range of the error in bins of the truth."""
    axis.tick_params(labelsize=7)
    if name not in asked.values:
        given = SCALARS.index(name) in asked.about["given"].get("scalars", [])
        return style.empty(axis, "given" if given else "not asked for")
    said = asked.values[name]
    low, high = np.nanpercentile(truth, [0.2, 99.8])
    axis.plot([low, high], [low, high], color=style.INK, lw=0.7)
    edges = np.linspace(low, high, 13)
    bins = np.digitize(truth, edges)
    middle, band = [], []
    for number in range(1, len(edges)):
        here = (bins == number) & np.isfinite(said)
        if here.sum() >= 10:
            middle.append((edges[number - 1] + edges[number]) / 2)
            band.append(np.percentile(said[here], [16, 84]))
    if middle:
        axis.fill_between(middle, *np.transpose(band), color=style.MARK, alpha=0.2, lw=0)
    axis.scatter(truth[:points], said[:points], s=2, lw=0, color=style.MARK, alpha=0.6, rasterized=True)
    axis.set(xlim=(low, high), ylim=(low, high))


@style.look()
def draw_calibration(
    answers: Mapping[str, Answers],
    truths: Mapping[str, np.ndarray],
    targetid: np.ndarray,
    scores: pandas.DataFrame,
    path,
) -> None:
    """Coverage of every quantity's intervals by query, and the distribution of PIT of the scalars."""
    if not answers:
        return style.nothing("no query was asked", path)
    fig = style.figure(height=max(2.6, 0.42 * len(answers) + 1.6))
    left, right = fig.subplots(1, 2, width_ratios=[1.25, 1])
    coverage = scores[scores["metric"] == "coverage"]
    quantities = [q for q in NAMES if q in set(coverage["property"])]
    promised = np.array([asked.about["level"] for asked in answers.values()])
    for number, quantity in enumerate(quantities):
        rows = coverage[coverage["property"] == quantity].set_index("modality").reindex(list(answers))
        y = np.arange(len(answers)) + 0.8 * (number / max(1, len(quantities)) - 0.5)
        error = np.abs(np.array([rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]]))
        left.errorbar(
            rows["value"] - promised, y, xerr=error, fmt="o", ms=3, lw=0.8, color=style.CYCLE[number], label=quantity
        )
    left.axvspan(-0.02, 0.02, color=style.GRID, lw=0, zorder=0)
    left.set_yticks(np.arange(len(answers)), [style.pretty(name) for name in answers], fontsize=8)
    left.invert_yaxis()
    left.set_xlabel("share of galaxies inside the interval, less its level")
    left.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=4)
    for number, (name, asked) in enumerate(answers.items()):
        place = np.searchsorted(targetid, asked.targetid)
        pits = []
        for quantity in SCALARS:
            if f"{quantity}_quantiles" in asked.values:
                truth = truths["scalars"][place][:, SCALARS.index(quantity)]
                known = np.isfinite(truth)
                found = asked.values[f"{quantity}_quantiles"][known]
                pits.append(pit_of(truth[known], found, asked.about["levels"]))
        if pits:
            pit = np.sort(np.concatenate(pits))
            colour = style.CYCLE[number % len(style.CYCLE)]
            right.plot(pit, np.linspace(0, 1, len(pit)) - pit, color=colour, label=style.pretty(name))
    right.axhline(0, color=style.INK, lw=0.7)
    right.set(xlabel="PIT of redshift and masses", ylabel="share below, less PIT", xlim=(0, 1), ylim=(-0.15, 0.15))
    right.legend(fontsize=7, loc="best")
    style.save(fig, path)
