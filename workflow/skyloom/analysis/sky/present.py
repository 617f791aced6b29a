"""What the report says of the clusters of the sky."""

from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.common.blocks import Claim, Figure, Shown, Table, Text, claim, read_csv
from skyloom.analysis.common.bygroup import ALL, SOURCE
from skyloom.analysis.common.group_tables import group_table
from skyloom.analysis.sky import Settings
from skyloom.figures import style


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("Too few galaxies have a position.", warns=True)]
    counts = table[table["metric"].isin(["count", "share"])].pivot(index="group", columns="metric", values="value")
    counts = counts.sort_values("count", ascending=False)
    lines = [[str(name), f"{row['count']:,.0f}", f"{100 * row['share']:.1f}"] for name, row in counts.iterrows()]
    frequencies = Table(["cluster of the sky", "galaxies", "%"], lines, "Frequencies (AstroCLIP benchmark, Table 13)")
    return [*claims(table), frequencies, Figure(paths["figure"]), Figure(paths["figure_scores"]), group_table(table)]


def claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """No part of the sky is different: as many intervals as by chance leave the score of all out."""
    rows = table[(table["metric"] == "r2") & np.isfinite(table["value"].astype(float))]
    every = rows[rows["group"] == ALL].set_index([*SOURCE, "property"])["value"]
    parts = rows[rows["group"] != ALL]
    if parts.empty:
        return
    key = pandas.MultiIndex.from_frame(parts[[*SOURCE, "property"]])
    pooled = every.reindex(key).to_numpy()
    out = (parts["ci_low"].to_numpy() > pooled) | (parts["ci_high"].to_numpy() < pooled)
    share = out.mean()
    yield claim(
        "No cluster of the sky is predicted worse or better than the rest",
        f"{out.sum()} of {len(out)} 95 % intervals ({share:.0%}) leave out the R2 of all galaxies of"
        f" {len(every)} predictions ({', '.join(dict.fromkeys(style.label(p) for p in rows['property']))});"
        " those of one cluster share its galaxies, and R2 falls where a property varies less",
        share <= 0.1,
        False,
    )
