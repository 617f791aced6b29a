"""Values, intervals and numbers of galaxies that cannot be (check 6)."""

from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.audit.findings import IMPOSSIBLE, UNLIKELY, Finding, found
from skyloom.analysis.audit.reading import BETWEEN, KEY, known

BOUNDS = {"r2": (-np.inf, 1), "ami": (-1, 1), "ari": (-1, 1), "silhouette": (-1, 1), "spearman": (-1, 1)}
SCORES = r"r2|bias|sigma_nmad|outliers_.*"
"""Metrics of a source and property that are of the same galaxies."""
NARROWER, WIDER = 100, 10
"""How many times an interval of R2 may be narrower or wider than that of Gaussian values."""
LEAST = 100
"""Galaxies without which the width of an interval is not judged."""


def bounds(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Values outside what they can be by definition: R2 above 1, counts that are no counts."""
    for _, row in frame[frame["metric"].isin([*BOUNDS, "count", "share"]) & frame["value"].notna()].iterrows():
        value, one = row["value"], 100 if row["unit"] == "%" else 1
        low, high = {**BOUNDS, "count": (0, np.inf), "share": (0, one)}[row["metric"]]
        if not low <= value <= high:
            bound = low if value < low else high
            yield found(row, IMPOSSIBLE, f"{row['metric']} {value:g} is beyond {bound:g}", value, bound)
        elif row["metric"] == "count" and value != round(value):
            yield found(row, IMPOSSIBLE, f"a count of {value:g}", value, round(value))
        else:
            yield None


def intervals(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Intervals that do not contain their value, and those of R2 that are too narrow or too wide for their galaxies."""
    for _, row in frame[frame["ci_low"].notna() & frame["ci_high"].notna() & frame["value"].notna()].iterrows():
        low, high, value = row["ci_low"], row["ci_high"], row["value"]
        slack = row["step"] + row["ci_step"] + 1e-9
        of = f"the interval [{low:g}, {high:g}]"
        if low > high:
            yield found(row, IMPOSSIBLE, f"{of} ends before it begins", low, high)
        elif not low - slack <= value <= high + slack:
            end = low if value < low else high
            yield found(row, IMPOSSIBLE, f"{of} does not contain its value {value:g}", value, end)
        elif row["metric"] == "r2" and high > 1 + row["ci_step"]:
            yield found(row, IMPOSSIBLE, f"{of} of an R2 goes beyond 1", high, 1)
        else:
            yield width(row) if row["metric"] == "r2" and row["n"] >= LEAST else None


def width(row: pandas.Series) -> Finding | None:
    """A 95 % interval of R2 whose half width is far from 1.96 * 2 R (1 - R2) / sqrt(n), that of Gaussian values.

    Approximate, so that only gross slips are found. Outliers widen it; predictions that are truth shrunk towards the
    mean (of a network that learned little) have errors in proportion to it, hence R2 hardly varies, and an interval may
    be tens of times narrower. R2 below 0.05 is not judged.
    """
    value, n, own = row["value"], row["n"], (row["ci_high"] - row["ci_low"]) / 2
    if not 0.05 < value < 1:
        return None
    gaussian = 1.96 * 2 * np.sqrt(value) * (1 - value) / np.sqrt(n)
    slack = row["ci_step"] + 1e-9
    if own + slack < (gaussian - row["step"]) / NARROWER:
        word = "narrow"
    elif own - slack > WIDER * (gaussian + row["step"]) and 1 - row["ci_low"] > 4 * (1 - value):
        word = "wide"
    else:
        return None
    what = f"an interval of +-{own:.2g} is too {word} for {n:,.0f} galaxies: about +-{gaussian:.2g} was expected"
    return found(row, UNLIKELY, what, own, gaussian)


def repeats(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """The same number with two values, in one table or in two."""
    for _, rows in frame[frame["value"].notna()].groupby(KEY, sort=False):
        first = rows.iloc[0]
        for _, row in rows.iloc[1:].iterrows():
            if first["n"] > 0 and row["n"] > 0 and first["n"] != row["n"]:
                continue  # of other galaxies
            off = abs(first["value"] - row["value"]) > first["step"] + row["step"] + 1e-9
            where = "" if first["table"] == row["table"] else f" in table {first['table']}"
            what = f"{row['metric']} is {row['value']:g} here and {first['value']:g}{where}"
            yield found(row, IMPOSSIBLE, what, row["value"], first["value"]) if off else None


def galaxies(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Scores of the same predictions that are of different numbers of galaxies within a table."""
    rows = frame[frame["metric"].str.fullmatch(SCORES) & frame["value"].notna() & known(frame["n"])]
    rows = rows[~rows["group"].str.contains(BETWEEN, regex=False)]
    for _, own in rows.groupby(["table", *(name for name in KEY if name != "metric")], sort=False):
        if len(own) < 2:
            continue
        few, many = own["n"].min(), own["n"].max()
        what = f"{own['metric'].iloc[own['n'].argmin()]} is of {few:,.0f} galaxies,"
        what = f"{what} {own['metric'].iloc[own['n'].argmax()]} of {many:,.0f}"
        yield found(own.iloc[0], IMPOSSIBLE, what, few, many) if few != many else None
