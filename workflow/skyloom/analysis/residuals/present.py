"""What the report says of residuals: who is closer to the truth, and how large errors are."""

from collections.abc import Iterator, Sequence

import pandas

from skyloom.analysis.common.blocks import (
    Claim,
    Figure,
    Scores,
    Shown,
    Table,
    Text,
    claim,
    in_order,
    method_name,
    read_csv,
    scored,
    with_interval,
)
from skyloom.analysis.common.significance import LEVEL
from skyloom.analysis.residuals import Settings
from skyloom.figures import style

PAIR = ["model", "modality", "method", "property"]


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table, bins = read_csv(paths["table"]), read_csv(paths["bins"])
    if table.empty:
        return [Text("Nothing was predicted of galaxies whose properties are known: there are no residuals.")]
    found = [*claims(bins, settings), Figure(paths["figure"]), box_table(table, settings.methods)]
    found += [Figure(paths["figure_bins"]), Figure(paths["figure_net"]), pair_table(bins)]
    return [block for block in found if block is not None]


def claims(bins: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """The first model of each pair is closer to the truth of more galaxies than the second, in the first property of
    `shown` that both predict and by the first of `methods`; certain where p corrected for all comparisons is < 0.05."""
    rows = bins[(bins["metric"] == "closer") & (bins["target"] == "all")]
    p = bins[bins["metric"] == "p_holm"].set_index(PAIR)["value"]
    for (model, modality), some in rows.groupby(["model", "modality"], sort=False):
        method = next((name for name in settings.methods if name in set(some["method"])), None)
        of = some[some["method"] == method].set_index("property")
        name = next((name for name in (*settings.shown, *of.index) if name in of.index), None)
        if name is None or "->" in modality:
            continue
        row, corrected = of.loc[name], p.loc[(model, modality, method, name)]
        first, second = map(style.pretty, model.split(" - "))
        yield claim(
            f"{first} is closer to the truth than {second} for most galaxies ({style.pretty(modality)}, "
            f"{method_name(method)}): {style.label(name)}",
            f"{with_interval(row, 3)} of {row['n']:,} galaxies, p = {corrected:.2g} (corrected for {len(p)} tests)",
            row["value"] > 0.5,
            corrected < LEVEL,
        )


def box_table(table: pandas.DataFrame, methods: Sequence[str]) -> Scores | None:
    """Median absolute error of every model; the smallest of an input and method marked."""
    rows = table[(table["metric"] == "median") & table["method"].isin(methods)]
    if not len(rows):
        return None
    best = set(
        rows.assign(input=rows["modality"].str.split("->").str[0]).groupby(["input", "property"])["value"].idxmin()
    )
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for (modality, model, method), some in rows.groupby(["modality", "model", "method"], sort=False):
        cells = {row["property"]: scored(row, i in best, 3) for i, row in some.iterrows()}
        name = [style.pretty(modality), style.pretty(model), method_name(method)]
        lines.append((name, in_order(cells, properties)))
    note = (
        "Median of |predicted - true| on the test split with its distribution-free 95 % interval. Bold: smallest of "
        "its input. Quartiles, whiskers and means are in the table beside it."
    )
    columns = list(map(style.label, properties))
    return Scores(("input", "model", "method"), columns, lines, "Median absolute errors", note)


def pair_table(bins: pandas.DataFrame) -> Table | None:
    """How often the first model of a pair is closer: all galaxies, and the lowest and highest bin of a property."""
    rows = bins[bins["metric"] == "closer"]
    p = bins[bins["metric"] == "p_holm"].set_index(PAIR)["value"]
    lines = []
    for key, some in rows.groupby(PAIR, sort=False):
        of = some.set_index("target")
        cells = [with_interval(of.loc[t], 3) if t in of.index else "" for t in ("all", "low", "high")]
        model, modality, method, name = key
        head = [style.pretty(modality), style.pretty(model), method_name(method), style.label(name)]
        number = f"{of.loc['all', 'n']:,}" if "all" in of.index else ""
        lines.append([*head, *cells, f"{p[key]:.2g}" if key in p.index else "", number])
    columns = ["input", "first - second", "method", "property", "all", "low values", "high values", "p", "galaxies"]
    note = (
        "Share of galaxies whose error is smaller with the first model, with its exact 95 % interval; one half: "
        f"neither is closer. p: exact test, corrected for all {len(p)} comparisons (Holm 1979)."
    )
    return Table(columns, lines, "Who is closer, galaxy by galaxy", note, folded=True) if lines else None
