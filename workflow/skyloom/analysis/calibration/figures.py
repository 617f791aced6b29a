"""Calibration at a glance: coverage against nominal, PIT, the 90 % interval in every bin, and how wide it is."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from skyloom.analysis.calibration.names import called
from skyloom.analysis.calibration.scores import BIN_MARGIN, CURVE, JUDGED, OVERALL_MARGIN, Scored
from skyloom.analysis.common import conformal
from skyloom.analysis.common.bins import CLASS, ESTIMATE, OVERALL, SNR, Z
from skyloom.figures import style

PIT_BINS = 10
BAND, INNER, BEFORE = "#e8eef4", "#cfdde9", "#9a9a9a"
FLOOR = 72  # per cent: lower coverages are arrows at the edge
MARKERS = {Z: ("o", "true z"), SNR: ("s", "S/N"), ESTIMATE: ("^", "estimate"), CLASS: ("P", "class")}
MAGNITUDE = ("v", "magnitude")


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What curves are drawn of.

    Attributes
    ----------
    source, given, property : whose
    n, calibration : galaxies scored, and of the conformal step
    crps : mean
    curve, curve_before : (len(CURVE),) coverage
    pit, pit_before : (PIT_BINS,) galaxies
    p : of the test of the PIT
    spread : width of the central 90 % of the property itself
    """

    source: str
    given: str
    property: str
    n: int
    calibration: int
    crps: float
    curve: np.ndarray
    curve_before: np.ndarray
    pit: np.ndarray
    pit_before: np.ndarray
    p: float
    spread: float

    @classmethod
    def of(cls, source: str, given: str, name: str, scored: Scored, calibration: int) -> "Drawn":
        n = len(scored.pit)
        counts = [np.histogram(pit, PIT_BINS, (0, 1))[0] for pit in (scored.pit, scored.before)]
        curves = [scored.curve(pit) for pit in (scored.pit, scored.before)]
        crps = scored.crps.mean() if n else np.nan
        spread = np.subtract(*np.quantile(scored.truth, [0.95, 0.05])) if n else np.nan
        p = conformal.uniformity(scored.pit, calibration)
        return cls(source, given, name, n, calibration, crps, *curves, *counts, p, spread)


@style.look()
def draw(table: pandas.DataFrame, drawn: Sequence[Drawn], traits: Mapping, path) -> None:
    """A column a property; `table` as in `scores.COLUMNS`, `traits` : source -> those of its model."""
    drawn = [one for one in drawn if one.n]
    if not drawn:
        return style.nothing("No galaxy of the test split has a property and a source of it.", path)
    properties = list(dict.fromkeys(one.property for one in drawn))
    sources = list(dict.fromkeys((one.source, one.given) for one in drawn))
    palette = style.Palette(traits)
    rows = 0.18 * len(sources)
    heights = [1.5, 1.15, rows + 0.15, rows + 0.15]
    fig = style.figure(height=sum(heights) + 2.7)
    axes = fig.subplots(4, len(properties), squeeze=False, sharey="row", height_ratios=heights)
    for column, name in zip(axes.T, properties, strict=True):
        mine = [one for one in drawn if one.property == name]
        _curves(column[0], mine, palette)
        column[0].set_title(style.label(name))
        _pit(column[1], min(mine, key=lambda one: one.crps), palette)
        own = table[(table["property"] == name) & (table["n"] > 0)]
        _bins(column[2], own, sources, palette)
        _widths(column[3], own, {(one.source, one.given): one.spread for one in mine}, sources, palette)
    axes[0, 0].set_ylabel("coverage\n- nominal [%]")
    axes[1, 0].set_ylabel("galaxies\n/ expected")
    for row in (2, 3):
        axes[row, 0].set_yticks(range(len(sources)), [called(*source) for source in sources])
        axes[row, 0].set_ylim(len(sources) - 0.4, -0.6)
    middle = len(properties) // 2
    labels = ("nominal coverage of a central interval [%]", "PIT of the source with the best CRPS")
    labels += (f"coverage of {JUDGED} % intervals [%]", f"median width of {JUDGED} % intervals / that of the sample")
    for axis, text in zip(axes[:, middle], labels, strict=True):
        axis.set_xlabel(text)
    _legend(fig, table)
    style.save(fig, path)


def _curves(axis, drawn: Sequence[Drawn], palette: style.Palette) -> None:
    largest = max(drawn, key=lambda one: one.n)
    low, high = _chance(largest.n, largest.calibration)
    axis.fill_between(CURVE, 100 * low - CURVE, 100 * high - CURVE, color=INNER, lw=0)
    axis.axhline(0, color=style.INK, lw=0.7)
    for one in drawn:
        axis.plot(CURVE, 100 * one.curve_before - CURVE, color=BEFORE, lw=0.6, alpha=0.7, ls=":")
    for one in drawn:
        axis.plot(CURVE, 100 * one.curve - CURVE, color=palette.colour(one.source), lw=1.1, alpha=0.9)
    axis.set(xlim=(0, 100), ylim=(-10, 10), xticks=(0, 50, 90))
    axis.grid(color=style.GRID, lw=0.4)


def _pit(axis, one: Drawn, palette: style.Palette) -> None:
    edges = np.linspace(0, 1, PIT_BINS + 1)
    expected = one.n / PIT_BINS
    chance = conformal.by_chance(1 / PIT_BINS, one.n, one.calibration)
    axis.axhspan(*(chance.ppf([0.025, 0.975]) / expected), color=INNER, lw=0)
    axis.stairs(one.pit / expected, edges, fill=True, color=palette.colour(one.source), alpha=0.55)
    axis.stairs(one.pit_before / expected, edges, color=style.INK, lw=0.9, ls=":")
    axis.axhline(1, color=style.INK, lw=0.7)
    axis.set(xlim=(0, 1), ylim=(0, 2.05), xticks=(0, 0.5, 1))
    p = f"p = {one.p:.2f}" if one.p >= 0.005 else f"p = {one.p:.0e}"
    given, _, models = called(one.source, one.given).partition(": ")
    axis.set_title(f"{given}\n{models}".strip() + f"\n{p}", fontsize=6.5, pad=3)


def _bins(axis, own: pandas.DataFrame, sources: list, palette: style.Palette) -> None:
    for margin, colour in ((BIN_MARGIN, BAND), (OVERALL_MARGIN, INNER)):
        axis.axvspan(JUDGED - 100 * margin, JUDGED + 100 * margin, color=colour, lw=0, zorder=0)
    axis.axvline(JUDGED, color=style.INK, lw=0.6, zorder=1)
    for place, source in enumerate(sources):
        rows = own[(own["source"] == source[0]) & (own["given"] == source[1])]
        for row in rows[(rows["group"] != OVERALL) & (rows["holds"] != "")].itertuples():
            marker = MARKERS.get(row.group, MAGNITUDE)[0]
            value = 100 * getattr(row, f"coverage{JUDGED}")
            look = {"ms": 3.2, "mfc": "none", "color": style.OTHER_MARK if row.holds == "no" else BEFORE}
            axis.plot(max(value, FLOOR), place + 0.12, "<" if value < FLOOR else marker, **look)
        for row in rows[rows["group"] == OVERALL].itertuples():
            ends = [100 * max(getattr(row, f"coverage{JUDGED}{end}"), FLOOR / 100) for end in ("_low", "_high")]
            colour, face = palette.colour(source[0]), palette.face(source[0])
            value = 100 * getattr(row, f"coverage{JUDGED}")
            axis.plot(ends, [place - 0.15] * 2, color=colour, lw=1.1)
            axis.plot(max(value, FLOOR), place - 0.15, "D" if value >= FLOOR else "<", ms=4, color=colour, mfc=face)
    axis.set(xlim=(FLOOR - 1, 101), xticks=(80, 90, 100))
    axis.grid(axis="y", color=style.GRID, lw=0.4)
    axis.set_axisbelow(True)


def _widths(axis, own: pandas.DataFrame, spread: Mapping, sources: list, palette: style.Palette) -> None:
    rows = own[own["group"] == OVERALL].set_index(["source", "given"])
    for place, source in enumerate(sources):
        if source in rows.index and spread.get(source, 0) > 0:
            value = rows.loc[source, f"width{JUDGED}"] / spread[source]
            colour, face = palette.colour(source[0]), palette.face(source[0])
            axis.barh(place, value, 0.6, color=face, ec=colour, alpha=0.8, lw=0.8)
    axis.axvline(1, color=style.INK, lw=0.6, ls=":")
    axis.set_xlim(0, 1.15)
    axis.grid(axis="x", color=style.GRID, lw=0.4)
    axis.set_axisbelow(True)


def _chance(n: int, calibration: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares between which coverages of CURVE lie in 95 % of all runs of a calibrated source."""
    ends = [conformal.by_chance(level / 100, n, calibration).ppf([0.025, 0.975]) / n for level in CURVE]
    return tuple(np.transpose(ends))


def _legend(fig, table: pandas.DataFrame) -> None:
    groups = [group for group in dict.fromkeys(table["group"]) if group != OVERALL]
    axis, look = fig.axes[0], {"ms": 4, "mfc": "none", "ls": ""}
    handles = [axis.plot([], [], "D-", ms=4, color=style.INK)[0]]
    handles += [axis.plot([], [], MARKERS.get(group, MAGNITUDE)[0], color=BEFORE, **look)[0] for group in groups]
    handles += [axis.plot([], [], "o", color=style.OTHER_MARK, **look)[0]]
    handles += [axis.plot([], [], color=BEFORE, ls=":")[0]]
    handles += [axis.fill_between([], [], color=colour, lw=0) for colour in (INNER, BAND)]
    texts = ["all galaxies, 95 % interval", *(f"bins of {MARKERS.get(group, MAGNITUDE)[1]}" for group in groups)]
    texts += ["a bin beyond its margin", "before the conformal step"]
    texts += [f"by chance, or {JUDGED} ± {100 * OVERALL_MARGIN:.0f} %", f"{JUDGED} ± {100 * BIN_MARGIN:.0f} %"]
    fig.legend(handles, texts, loc="outside lower center", ncol=4)
