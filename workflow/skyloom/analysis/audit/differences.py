"""Differences against their two terms (check 4)."""

from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.audit.findings import IMPOSSIBLE, UNLIKELY, Finding, found
from skyloom.analysis.audit.reading import BETWEEN, KEY

DELTA = "delta_"
SPLITTING = ("model", "group", "modality", "method", "split")
"""Columns that can name the two terms, as `first - second`."""
FACTOR = 2
"""How far quantiles may be from the triangle inequality of standard deviations."""


def differences(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Rows of a metric `delta_x`, of `first - second`, that are not x of the first minus x of the second.

    Two models are compared on the galaxies that both have: their scores must be of as many for the difference to be
    theirs. It is never of more galaxies than either.
    """
    terms = frame[~frame["metric"].str.startswith(DELTA) & frame["value"].notna()]
    places = {key: list(rows) for key, rows in terms.groupby(KEY, sort=False).indices.items()}
    for _, row in frame[frame["metric"].str.startswith(DELTA) & frame["value"].notna()].iterrows():
        column = next((name for name in SPLITTING if row[name].count(BETWEEN) == 1), None)
        if column is None:
            continue
        pair = [_term(terms, places, row, column, name) for name in row[column].split(BETWEEN)]
        if any(term is None for term in pair):
            continue
        numbers = [term["n"] for term in pair if term["n"] > 0]
        if column != "group" and row["n"] > 0 and numbers:
            if row["n"] > min(numbers):
                what = f"a difference of {row['n']:,.0f} galaxies, and a term has {min(numbers):,.0f}"
                yield found(row, IMPOSSIBLE, what, row["n"], min(numbers))
                continue
            if max(numbers) > row["n"]:
                continue  # of those galaxies that both have: neither score is of them alone
        yield against_terms(row, *pair) or interval(row, *pair)


def _term(terms: pandas.DataFrame, places: dict, row: pandas.Series, column: str, name: str) -> pandas.Series | None:
    """The row of a term, of the same table where it is there."""
    key = tuple({**row[KEY], column: name, "metric": row["metric"].removeprefix(DELTA)}.values())
    found_rows = terms.iloc[places.get(key, [])]
    here = found_rows[found_rows["table"] == row["table"]]
    both = here if len(here) else found_rows
    return both.iloc[0] if len(both) else None


def against_terms(row: pandas.Series, first: pandas.Series, second: pandas.Series) -> Finding | None:
    """A value that is not the difference of its terms: of the other sign, or another number."""
    value, right = row["value"], first["value"] - second["value"]
    slack = row["step"] + first["step"] + second["step"] + 1e-9
    if abs(value - right) <= slack:
        return None
    sum_of = f"{first['value']:g} - {second['value']:g} = {right:+.4g}"
    if abs(value + right) <= slack:
        return found(row, IMPOSSIBLE, f"the sign is flipped: {value:+g} is stated, and {sum_of}", value, right)
    return found(row, IMPOSSIBLE, f"{value:+g} is not the difference of its terms: {sum_of}", value, right)


def interval(row: pandas.Series, first: pandas.Series, second: pandas.Series) -> Finding | None:
    """An interval wider than both of its terms' together, or narrower than one of them is wider than the other."""
    widths = [(term["ci_high"] - term["ci_low"]) / 2 for term in (row, first, second)]
    if not np.isfinite(widths).all():
        return None
    own, one, other = widths
    slack = row["ci_step"] + first["ci_step"] + second["ci_step"] + 1e-9
    if abs(one - other) / FACTOR - slack <= own <= FACTOR * (one + other) + slack:
        return None
    what = f"an interval of +-{own:.3g}, and those of its terms are +-{one:.3g} and +-{other:.3g}"
    return found(row, UNLIKELY, what, own, one + other)
