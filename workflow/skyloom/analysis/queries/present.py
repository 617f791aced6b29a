"""What the report says of queries: the paper's table beside ours, gains, intervals, baselines, physics."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import (
    ONCE,
    Cell,
    Claim,
    Figure,
    Scores,
    Shown,
    Table,
    Text,
    claim,
    read_csv,
    scored,
    with_interval,
)
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.queries import Settings, sample_of
from skyloom.figures import style
from skyloom.formats.part_columns import SCALARS, VECTORS

HOLDS = 0.02
"""How far coverage may be from its level."""
WORSE = 0.15
"""How much larger an error may be than that of another network, such as one trained for the query alone."""
BASELINES = ("median", "boosting")


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table, checks = read_csv(paths["table"]), read_csv(paths["physics"])
    beside = published(read_published(survey.published), table)
    blocks: list = [*claims(table, settings), errors(table), beside, coverage(table)]
    figures = ("figure_schema", "figure", "figure_calibration", "figure_states")
    return [b for b in blocks if b] + [Figure(paths[name]) for name in figures] + [physics(checks)]


def model_of(table: pandas.DataFrame) -> str:
    """The model that is asked."""
    return table.loc[table["metric"] == "coverage", "model"].iloc[0]


def claims(table: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """Gains, calibration, and the any-query model beside those for one query and beside boosting."""
    asked = model_of(table)
    gains = table[table["metric"] == "gain"].fillna({"method": ""}).set_index(["modality", "property", "method"])
    rows, boosted = gains[gains["model"] == asked], gains[gains["model"] == "boosting"]
    for gain in settings.gains:
        key = (f"{gain.better}/{gain.worse}", gain.of, sample_of(gain))
        if key in rows.index:
            row = rows.loc[key]
            other = f"; of gradient boosting by {with_interval(boosted.loc[key])}" if key in boosted.index else ""
            yield claim(
                f"{style.pretty(gain.better)} is at least {gain.least:.0%} better than {style.pretty(gain.worse)} in"
                f" {style.pretty(gain.of)}{', galaxies of ' + sample_of(gain) if gain.brighter is not None else ''}",
                f"mean absolute error lower by {with_interval(row)} of itself, n = {row['n']:,}{other}",
                row["value"] >= gain.least,
                row["ci_low"] > gain.least or row["ci_high"] < gain.least,
            )
    mae = table[table["metric"] == "mae"].pivot_table(index=["modality", "property"], columns="model", values="value")
    for other in [m for m in mae.columns if m not in (asked, *BASELINES)]:
        both = mae.dropna(subset=[asked, other])
        ratio = (both[asked] / both[other]).max() - 1
        query, of = (both[asked] / both[other]).idxmax()
        yield claim(
            f"{style.pretty(asked)} loses at most {WORSE:.0%} to {style.pretty(other)}, asked the same",
            f"worst: {style.pretty(of)} from {style.pretty(query)}, {ratio:+.0%}; {len(both)} comparisons; {ONCE}",
            ratio <= WORSE,
            True,
        )
    if "boosting" in mae.columns:
        both = mae.dropna(subset=[asked, "boosting"])
        better = both[asked] < both["boosting"]
        yield claim(
            f"{style.pretty(asked)} is better than gradient boosting trained for each query and quantity",
            f"in {better.sum()} of {len(better)}; median ratio of errors"
            f" {(both[asked] / both['boosting']).median():.2f}; {ONCE}",
            better.all(),
            True,
        )
    inside = table[table["metric"] == "coverage"]
    held = (inside["value"] - inside["method"].astype(float)).abs() <= HOLDS
    yield claim(
        f"Intervals hold the truth in as many galaxies as they say, give or take {HOLDS:.0%}, every query and quantity",
        f"{held.sum()} of {len(held)}; from {inside['value'].min():.3f} to {inside['value'].max():.3f}",
        held.all(),
        True,
    )


def errors(table: pandas.DataFrame) -> Scores:
    """Mean absolute errors: a line a query and method, a column a quantity."""
    rows = table[table["metric"] == "mae"]
    quantities = [q for q in (*SCALARS, *VECTORS) if q in set(rows["property"])]
    best = rows.groupby(["modality", "property"])["value"].min()
    lines = []
    for query in dict.fromkeys(rows["modality"]):
        own = rows[rows["modality"] == query]
        for model in dict.fromkeys(own["model"]):
            cells = []
            for quantity in quantities:
                row = own[(own["model"] == model) & (own["property"] == quantity)]
                one = row.iloc[0] if len(row) else None
                cells.append(
                    Cell() if one is None else scored(one, one["value"] <= best[query, quantity] + 1e-12, digits=3)
                )
            lines.append(([style.pretty(query), style.pretty(model)], cells))
    note = (
        "Mean absolute error on the test split: redshift; dex of masses, star-formation rates and spectra; mag. Of a"
        " vector the mean over its wanted numbers. median: of the training galaxies, whatever is given. boosting:"
        " gradient boosting (scikit-learn) trained for this query and quantity, histories by principal components."
    )
    heads = ["given", "answered by"]
    return Scores(heads, [style.pretty(q) for q in quantities], lines, title="Errors by query", note=note)


def published(paper: pandas.DataFrame, table: pandas.DataFrame) -> Table | None:
    """Table 1 of the paper beside ours; other galaxies, so no comparison of like with like."""
    paper = paper[(paper["model"] == "mosaic") & (paper["metric"] == "mae")]
    mae = table[(table["metric"] == "mae") & (table["model"] == model_of(table))].set_index(["modality", "property"])
    lines = []
    for _, row in paper.iterrows():
        key = (row["modality"], row["property"])
        if key in mae.index:
            ours = with_interval(mae.loc[key], 3)
            lines.append(
                [row["method"], style.pretty(row["modality"]), style.pretty(row["property"]), row["value"], ours]
            )
    if not lines:
        return None
    note = (
        "Published: Xia et al. 2025, table 1, galaxies of a gigaparsec simulation, no noise stated. Where its table and"
        " the caption of its figure 2 name opposite halves of the history, each line stands beside both readings."
    )
    columns = ["line of the paper's table", "our query, by what is given", "quantity", "published", "ours, mock [95 %]"]
    return Table(columns, [[str(c) for c in line] for line in lines], title="Beside the paper", note=note)


def coverage(table: pandas.DataFrame) -> Table:
    """Do intervals hold, are they narrow, do answers crowd."""
    asked = table[table["metric"].isin(["coverage", "width", "pit_ks", "crowding", "crowding_of_draws"])]
    wide = asked.pivot_table(index=["modality", "property"], columns="metric", values="value", sort=False)
    ends = asked[asked["metric"] == "coverage"].set_index(["modality", "property"])
    lines = []
    for key, row in wide.iterrows():
        text = [f"{row[name]:.3f}" if name in row and pandas.notna(row[name]) else "" for name in wide.columns]
        named = dict(zip(wide.columns, text, strict=True))
        first = with_interval(ends.loc[key], 3)
        rest = [named.get(name, "") for name in ("width", "pit_ks", "crowding", "crowding_of_draws")]
        lines.append([style.pretty(key[0]), style.pretty(key[1]), first, *rest])
    note = (
        "Intervals are set by validation galaxies. PIT: largest distance from a uniform distribution. Crowding: largest"
        " distance between the distributions of answers and of true values; large where answers gather at what training"
        " galaxies are most often (the clumps in the paper's scatter plots), small for draws from what the model says."
    )
    columns = ["given", "quantity", "inside the interval", "its width", "PIT", "crowding of answers", "of draws"]
    return Table(columns, lines, title="How sure", note=note, folded=True)


def physics(checks: pandas.DataFrame) -> Table | Text:
    """Median and scatter of the residuals."""
    if not len(checks):
        return Text("No check of physics: the survey lacks a modality that it needs, or does not say where it lies.")
    lines = [
        [
            style.pretty(r["query"]),
            r["check"],
            r["of"],
            f"{r['median']:+.3f}",
            f"{r['mad']:.3f}",
            r["unit"],
            str(r["n"]),
        ]
        for _, r in checks.iterrows()
    ]
    columns = ["given", "check", "of", "median", "scatter (MAD)", "unit", "galaxies"]
    note = "Does the predicted history form the predicted mass, does the predicted spectrum give the given magnitudes?"
    return Table(columns, lines, title="Do the answers belong to one galaxy?", note=note, folded=True)
