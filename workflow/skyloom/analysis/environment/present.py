"""What the report says of environments."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import Claim, Figure, Shown, Table, Text, claim, read_csv
from skyloom.analysis.common.group_tables import group_table
from skyloom.analysis.environment import ANGULAR, SPATIAL, Settings


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if not (table["metric"] == "r2").any():
        return [Text("Too few galaxies with a position and predictions.", warns=True), Figure(paths["figure"])]
    found = [*claims(table), Figure(paths["figure"]), Figure(paths["figure_scores"])]
    truth = table[table["metric"] == "spearman"]
    if len(truth):
        lines = [[r.method, r.property.replace("_", " "), f"{r.value:.2f}", f"{r.n:,}"] for r in truth.itertuples()]
        note = "Rank correlation with the number of the mock universe's own galaxies that are near in space."
        found.append(Table(["measured", "true", "Spearman", "galaxies"], lines, "Are crowded places found?", note))
    differences = group_table(table, "delta_r2", "R2 where it is crowded minus where it is not")
    return [*found, differences, group_table(table)]


def claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """It does not matter whether it is crowded."""
    for names, what in ((ANGULAR, "many and few neighbours on the sky"), (SPATIAL, "high and low density in space")):
        rows = table[(table["metric"] == "delta_r2") & (table["group"] == f"{names[-1]} - {names[0]}")]
        rows = rows[rows["value"].notna()]
        if rows.empty:
            continue
        higher, lower = (rows["ci_low"] > 0).sum(), (rows["ci_high"] < 0).sum()
        yield claim(
            f"Predictions are as good of galaxies with {what}",
            f"of {len(rows)} predictions {higher} have a higher R2 where it is crowded and {lower} a lower one, beyond"
            f" their 95 % intervals (by chance {0.025 * len(rows):.1f} each); median difference"
            f" {rows['value'].median():+.3f}",
            higher + lower <= 0.1 * len(rows),
            higher + lower > 0.25 * len(rows),
        )
