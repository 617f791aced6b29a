"""What the report says of bright and faint galaxies."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.brightness import Settings, words
from skyloom.analysis.common.blocks import Claim, Figure, Shown, Text, claim, read_csv
from skyloom.analysis.common.group_tables import group_table


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("Too few galaxies with predictions and a brightness.", warns=True)]
    differences = group_table(table, "delta_r2", "Bright minus faint (AstroCLIP benchmark, Table 17)")
    return [*claims(table, settings), Figure(paths["figure"]), differences, group_table(table)]


def claims(table: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """Bright galaxies have the higher R2, for most of what is predicted."""
    for column in settings.by:
        name = " - ".join(words(column))
        rows = table[(table["metric"] == "delta_r2") & (table["group"] == name) & table["value"].notna()]
        if rows.empty:
            continue
        higher, lower = (rows["ci_low"] > 0).sum(), (rows["ci_high"] < 0).sum()
        yield claim(
            f"Properties are predicted better where galaxies are bright ({name.replace(' - ', ' against ')})",
            f"of {len(rows)} predictions {higher} have a higher R2 there and {lower} a lower one, beyond their 95 %"
            f" intervals; median difference {rows['value'].median():+.3f}",
            higher > lower,
            max(higher, lower) > 0.5 * len(rows),
        )
