"""What the report says of a calibration: claims, the figure, coverage and scores by source, and the bins that miss."""

from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.calibration import Settings
from skyloom.analysis.calibration.names import called
from skyloom.analysis.calibration.scores import BIN_MARGIN, JUDGED, OVERALL_MARGIN
from skyloom.analysis.common import conformal
from skyloom.analysis.common.bins import OVERALL, Z
from skyloom.analysis.common.blocks import Cell, Claim, Figure, Scores, Shown, Table, Text, claim, in_order, read_csv
from skyloom.figures import style

HEADS = ("source",)
NAMED = 4
"""Misses that a claim names; the rest stand in the table."""
COVERAGE = f"coverage{JUDGED}"


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"]).fillna({"holds": "", "given": "", "low": "", "high": ""})
    table = table[table["n"] > 0]
    overall = table[table["group"] == OVERALL]
    if overall.empty:
        return [Text("No galaxy of the test split has a property and a source of it.", warns=True)]
    found = [*claims(table, settings), *_texts(overall, settings, survey), Figure(paths["figure"])]
    found += [coverage_table(overall), crps_table(overall), misses(table, settings)]
    return [block for block in found if block is not None]


def _texts(overall: pandas.DataFrame, settings: Settings, survey: Shown) -> Iterator[Text]:
    few = overall[overall["holds"] == ""]
    if len(few):
        yield Text(
            f"{len(few)} of {len(overall)} rows have fewer than {settings.least} galaxies: not judged.",
            warns=True,
        )
    n = overall["calibrated_on"]
    yield Text(
        "Each source gives every property of a galaxy a whole density with as many peaks as it takes. A conformal step "
        f"maps its levels by galaxies that no head saw ({n.min():,} to {n.max():,}): an interval of 90 % then holds "
        f"the truth with a probability between 90 % and {90 + 200 / (n.min() + 1):.1f} % whatever the density was, if "
        "the galaxies are exchangeable with those. PIT: Kolmogorov-Smirnov test, with the noise of the galaxies of the "
        "step counted; CRPS in the unit of the property, smaller is better. Bins of the true redshift of a posterior "
        "over redshift are no fair test of it: without perfect information, galaxies with extreme redshifts are "
        "covered less and those in the middle more; bins of the estimate, of magnitude and of signal-to-noise are."
    )
    if survey.simulated:
        yield Text(
            "Exchangeability fails from a mock to the sky: what is promised here holds for simulated galaxies. For "
            "galaxies of the sky coverage has to be measured, and is not promised.",
            warns=True,
        )


def claims(table: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """Whether the judged intervals hold what they say, overall and in every bin; the misses are named."""
    judged = table[table["holds"] != ""]
    overall, bins = (judged[(judged["group"] == OVERALL) == whole] for whole in (True, False))
    if len(overall):
        yield _claim(
            f"{JUDGED} % intervals cover {JUDGED} ± {100 * OVERALL_MARGIN:.0f} % of the test galaxies, every source "
            "and property",
            overall,
            OVERALL_MARGIN,
        )
    if len(bins):
        yield _claim(
            f"{JUDGED} % intervals cover {JUDGED} ± {100 * BIN_MARGIN:.0f} % in every bin with at least "
            f"{settings.least} galaxies",
            bins,
            BIN_MARGIN,
        )


def _claim(text: str, rows: pandas.DataFrame, margin: float) -> Claim:
    missed = rows[rows["holds"] == "no"]
    low, high = JUDGED / 100 - margin, JUDGED / 100 + margin
    inside = (rows[f"{COVERAGE}_low"] >= low) & (rows[f"{COVERAGE}_high"] <= high)
    beyond = (missed[f"{COVERAGE}_high"] < low) | (missed[f"{COVERAGE}_low"] > high)
    numbers = (
        f"{len(rows) - len(missed)} of {len(rows)} do, mean {100 * rows[COVERAGE].mean():.1f} %; of perfectly "
        f"calibrated ones {_by_chance(rows, margin):.0f} would miss by chance"
    )
    if len(missed):
        far = missed.reindex((missed[COVERAGE] - JUDGED / 100).abs().sort_values(ascending=False, kind="stable").index)
        named = [f"{_place(row)} {100 * row[COVERAGE]:.1f} %" for _, row in far.head(NAMED).iterrows()]
        numbers += f"; farthest: {'; '.join(named)}" + (f"; {len(far) - NAMED} more" if len(far) > NAMED else "")
    return claim(text, numbers, not len(missed), bool(beyond.any()) if len(missed) else bool(inside.all()))


def _by_chance(rows: pandas.DataFrame, margin: float) -> float:
    """How many of these rows would miss if nothing but chance were at work."""
    total = 0.0
    for n, calibrated_on in zip(rows["n"], rows["calibrated_on"], strict=True):
        chance = conformal.by_chance(JUDGED / 100, int(n), int(calibrated_on))
        low, high = n * (JUDGED / 100 - margin), n * (JUDGED / 100 + margin)
        total += 1 - (chance.cdf(np.floor(high + 1e-6)) - chance.cdf(np.ceil(low - 1e-6) - 1))
    return total


def _place(row: pandas.Series) -> str:
    """``spectrum: specformer, redshift, mag_r 17.2 to 18.4``."""
    where = f"{called(row['source'], row['given'])}, {style.label(row['property'])}"
    return where if row["group"] == OVERALL else f"{where}, {_bin(row)}"


def _bin(row: pandas.Series) -> str:
    name = "true z" if row["group"] == Z else row["group"]
    low, high = row["low"], row["high"]
    return f"{name} {low}" if high == "" else f"{name} {float(low):.3g} to {float(high):.3g}"


def coverage_table(overall: pandas.DataFrame) -> Scores:
    """Coverage of the judged intervals of each source and property, its bootstrap interval, the test of the PIT."""

    def cell(row: pandas.Series) -> Cell:
        ends = f"[{100 * row[f'{COVERAGE}_low']:.1f}, {100 * row[f'{COVERAGE}_high']:.1f}]"
        return Cell(f"{100 * row[COVERAGE]:.1f}", f"{ends}, p {row['pit_p']:.2g}", row["holds"] == "yes")

    note = (
        f"Bold: within {JUDGED} ± {100 * OVERALL_MARGIN:.0f} %. In brackets the 95 % bootstrap interval over test "
        "galaxies; p: of the test that PIT are uniform."
    )
    return _scores(overall, cell, f"Coverage of {JUDGED} % intervals on the test split [%]", note)


def crps_table(overall: pandas.DataFrame) -> Scores:
    """CRPS of each source and property, with log score and width; the best of a property marked."""
    best = set(overall.groupby("property")["crps"].idxmin())

    def cell(row: pandas.Series) -> Cell:
        words = f"log score {row['log_score']:.2f}, width {row[f'width{JUDGED}']:.3g}"
        return Cell(f"{row['crps']:.4g}", words, row.name in best)

    note = (
        "Bold: best of a property. Log score: mean natural logarithm of the density at the truth, before the conformal "
        f"step; width: median of the {JUDGED} % intervals, after it."
    )
    return _scores(overall, cell, "CRPS, log score and sharpness", note)


def _scores(overall: pandas.DataFrame, cell, title: str, note: str) -> Scores:
    properties, lines = list(dict.fromkeys(overall["property"])), []
    for (source, given), rows in overall.groupby(["source", "given"], sort=False):
        cells = {row["property"]: cell(row) for _, row in rows.iterrows()}
        lines.append(([called(source, given)], in_order(cells, properties)))
    return Scores(HEADS, [style.label(name) for name in properties], lines, title, note)


def misses(table: pandas.DataFrame, settings: Settings) -> Table | None:
    """Every bin that misses its margin, the farthest first."""
    rows = table[(table["group"] != OVERALL) & (table["holds"] == "no")]
    order = (rows[COVERAGE] - JUDGED / 100).abs().sort_values(ascending=False, kind="stable").index
    lines = [
        [
            *(called(row["source"], row["given"]), style.label(row["property"]), _bin(row), f"{row['n']:,}"),
            *(f"{100 * row[name]:.1f}" for name in (COVERAGE, f"{COVERAGE}_low", f"{COVERAGE}_high")),
        ]
        for _, row in rows.loc[order].iterrows()
    ]
    columns = ["source", "property", "bin", "galaxies", f"{JUDGED} % covers [%]", "low", "high"]
    title = f"Bins of at least {settings.least} galaxies beyond {JUDGED} ± {100 * BIN_MARGIN:.0f} %"
    return Table(columns, lines, title, folded=True) if lines else None
