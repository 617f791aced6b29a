"""The page of the comparison: one self-contained HTML file in the look of the report."""

import os
from pathlib import Path

import numpy as np
import pandas

from skyloom.analysis.mock_validation.checks import FAIL, PASS, SKIPPED, tally
from skyloom.core.files import write_text
from skyloom.figures.html import environment

TEMPLATES = Path(__file__).parent / "templates"
STYLES = {PASS: "holds", FAIL: "fails", SKIPPED: "skipped"}
NOTES = {
    "Galaxies and their stars": (
        "All galaxies of the survey's population at 0.03 < z < 0.1, drawn for this page from the library, "
        "complete above 10^9.5 Msun. Star-formation rates are means over 100 Myr."
    ),
    "Counts, redshifts, colours": (
        "Targets drawn for this page with the selections of the surveys. The QSO cut stands in for a random forest."
    ),
    "Structure and neighbours": (
        "True structure of the local galaxies drawn for this page; satellites of haloes drawn for it. Sizes are of "
        "bulge and disc, without arms and clumps."
    ),
    "Emission lines": (
        "Lines in the fibre, without noise, of BGS targets whose four lines are brighter than 3e-17 erg/s/cm2."
    ),
    "Spectra": (
        "Spectra and redshifts of the survey's files. Real DESI coadds of single targets come with every "
        "installation; their light was sent through the mock spectrograph for the effective time that the "
        "files state."
    ),
    "Real spectra": (
        "Each real spectrum beside the mock galaxies nearest in redshift and r, observed to the same noise "
        "and smoothed alike, measured by the same functions."
    ),
    "Learning difficulty": (
        "Gradient boosting (scikit-learn) on dereddened g - r, r - z and r of the catalogue; targets are the "
        "true values; intervals from the scatter over five folds. What an image adds, and how many galaxies it takes: "
        "`learning_curve` of the configuration."
    ),
}


def build_page(path: str | os.PathLike, survey: str, table: pandas.DataFrame, figures: dict, text: dict) -> None:
    """Write the page.

    Parameters
    ----------
    table : Ledger.table()
    figures : section -> figures as `figures.html.figure` gives them
    text : `mock` and `exposures` (sentences), `found` and `missing` (lists), `keys` (list of (name, text))
    """
    sections = []
    for place, name in enumerate(dict.fromkeys(table["section"])):
        rows = table[table["section"] == name]
        sections.append(
            {
                "id": f"s{place}",
                "name": name,
                "note": NOTES.get(name, ""),
                "figures": figures.get(name, []),
                "rows": [_row(row) for row in rows.itertuples()],
                "tally": tally(rows),
            }
        )
    failing = [
        f"{row.quantity}: {number(row.mock)}, expected {expected(row.expected_low, row.expected_high)} (n = {row.n})"
        for row in table[table["verdict"] == FAIL].itertuples()
    ]
    context = {"survey": survey, "sections": sections, "tally": tally(table), "failing": failing, **text}
    write_text(path, environment(TEMPLATES).get_template("mock_validation.html").render(context))


def number(value: float) -> str:
    """Four significant digits, whole numbers from a thousand on; empty for NaN."""
    if not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def expected(low: float, high: float) -> str:
    """A range as people write it."""
    if np.isfinite(low) and np.isfinite(high):
        return f"{number(low)} to {number(high)}"
    return f"at least {number(low)}" if np.isfinite(low) else f"at most {number(high)}"


def _row(row) -> dict:
    return {
        "check": row.check,
        "quantity": row.quantity,
        "mock": number(row.mock),
        "expected": expected(row.expected_low, row.expected_high),
        "n": f"{row.n:,}" if row.n else "",
        "verdict": row.verdict,
        "style": STYLES[row.verdict],
        "source": row.source,
    }
