"""What the report says of a retrieval: chance beside every number, and whether chance is beaten by far."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import Claim, Figure, Shown, Table, claim, read_csv, with_interval
from skyloom.analysis.retrieval import Settings
from skyloom.figures import style

FACTOR = 10
"""How many times better than chance a recall is claimed to be."""


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    figures = [Figure(paths["figure_recall"]), Figure(paths["figure"])]
    return [*claims(table, max(settings.top)), retrieval_table(table), *figures]


def claims(table: pandas.DataFrame, k: int) -> Iterator[Claim]:
    """Recall@k of every pairing against FACTOR times chance, or against chance where so much more is not possible."""
    rows = table[table["metric"] == f"recall@{k}"].set_index(["model", "modality", "method"])
    for model, modality, method in rows.index:
        if method == "chance" or (model, modality, "chance") not in rows.index:
            continue
        found, chance = rows.loc[(model, modality, method)], rows.loc[(model, modality, "chance")]["value"]
        factor = FACTOR if FACTOR * chance <= 1 else 1
        beyond = found["ci_low"] > factor * chance or found["ci_high"] < factor * chance
        asked = f"at least {factor} times chance" if factor > 1 else "above chance"
        holds = found["value"] >= factor * chance if factor > 1 else found["value"] > chance
        yield claim(
            f"Recall@{k} of {style.pretty(model)}, {style.pretty(modality)}, is {asked}",
            f"{with_interval(found, 3)}, chance {chance:.3f}: {found['value'] / chance:.1f} times, n = {found['n']:,}",
            holds,
            beyond,
        )


def retrieval_table(table: pandas.DataFrame) -> Table:
    """Retrieval metrics with chance beside them."""
    chance = table[table["method"] == "chance"].set_index(["model", "modality", "metric"])["value"]
    lines = []
    for _, row in table[table["method"] != "chance"].iterrows():
        key = (row["model"], row["modality"], row["metric"])
        expected = f"{chance[key]:.4g}" if key in chance.index else ""
        name = [style.pretty(row["model"]), style.pretty(row["modality"]), row["metric"].replace("_", " ")]
        lines.append([*name, with_interval(row, 3), expected, row["n"]])
    note = (
        "Cosine similarity among all galaxies of the split that have both modalities; ties share their mean rank. "
        '"median abs dz" is the typical |dz|/(1 + z) between a galaxy and its nearest other galaxy.'
    )
    return Table(["model", "pairing", "metric", "value [95 %]", "chance", "galaxies"], lines, note=note)
