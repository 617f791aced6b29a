"""What the report says of outliers: whether they coincide, and Table 18 of the benchmark beside ours."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import (
    Claim,
    Figure,
    Shown,
    Table,
    Text,
    claim,
    grid,
    method_name,
    read_csv,
    with_interval,
)
from skyloom.analysis.common.bygroup import ALL
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.outliers import Settings
from skyloom.analysis.outliers.chance import gaussian_rate
from skyloom.figures import style

SOURCE = ["model", "modality", "method"]


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("Too few galaxies with predicted and known properties: no outliers are counted.")]
    table["group"] = table["group"].astype(str)
    published = published_counts(read_published(survey.published))
    intro = Text(
        f"An outlier has |predicted - true| above the third quartile by {settings.whisker:g} interquartile ranges of "
        f"its model's own absolute residuals: {100 * gaussian_rate(settings.whisker):.1f} % of galaxies if errors were "
        "Gaussian, so that a better model has no fewer of them by itself. Galaxies that have all properties are "
        "counted by the number of properties in which they are outliers."
    )
    found = [*claims(table, settings), intro, Figure(paths["figure"]), multiplicity_table(table, published, survey)]
    found += [rate_table(table), overlap_table(table)]
    return [block for block in found if block is not None]


def claims(table: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """Of each method, all models together: more galaxies are outliers in two or more properties than independence
    gives; the extremes of single models stand beside it."""
    rows = table[(table["metric"] == "excess") & ~table["modality"].str.contains("->", regex=False)]
    rows = rows.dropna(subset=["value"])
    for method in settings.methods:
        of = rows[rows["method"] == method].sort_values("value", kind="stable")
        some, pooled = of[of["model"] != ALL], of[of["model"] == ALL]
        if not len(some) or not len(pooled):
            continue
        row = pooled.iloc[0]
        told = [f"{style.pretty(one['model'])} {with_interval(one, 1)}" for one in (some.iloc[0], some.iloc[-1])]
        yield claim(
            f"Outliers coincide ({method_name(method)}): more galaxies are outliers in two or more properties than "
            "independent properties give",
            f"{with_interval(row)} times as many, all models together, n = {row['n']:,}; single models from "
            f"{told[0]} to {told[1]}",
            row["value"] > 1,
            row["ci_low"] > 1 or row["ci_high"] < 1,
        )


def published_counts(published: pandas.DataFrame) -> pandas.DataFrame:
    """Published counts of outliers and their shares in percent, a line for each model and number of properties."""
    key = ["survey", "model", "modality", "group"]
    found = published[(published["method"] == "") & (published["property"] == "") & (published["group"] != "")]
    values = {metric: found[found["metric"] == metric].set_index(key)["value"] for metric in ("count", "share")}
    return pandas.DataFrame(values).reindex(values["count"].index).reset_index()


def multiplicity_table(table: pandas.DataFrame, published: pandas.DataFrame, survey: Shown) -> Table | None:
    """Counts and shares by number of properties, with what independence gives; published ones above ours."""
    lines, marked = [], []
    for row in published.itertuples():
        name = [row.survey, row.model, style.pretty(row.modality), "", row.group]
        lines.append([*name, f"{row.count:,.0f}", "", f"{row.share:.2f}", ""])
    rows = table[(table["property"] == ALL) & table["metric"].isin(["count", "expected", "share", "expected_share"])]
    for (*source, group), some in rows.groupby([*SOURCE, "group"], sort=False):
        of = some.set_index("metric")
        model, modality, method = source
        name = [survey.name, style.pretty(model), style.pretty(modality), method_name(method), group]
        share = [f"{100 * of.loc[m, 'value']:.2f}" if m in of.index else "" for m in ("share", "expected_share")]
        marked.append(len(lines))
        count, expected = with_interval(of.loc["count"], 0), f"{of.loc['expected', 'value']:.1f}"
        lines.append([*name, count, expected, *share])
    columns = ["survey", "model", "input", "method", "properties", "galaxies [95 %]", "if independent"]
    columns += ["share of outliers [%]", "if independent [%]"]
    note = "Bold: this run. If independent: properties that are outliers as often, without regard to each other."
    if survey.simulated:
        note += " Ours are simulated galaxies: neither line is better than the other."
    title = "In how many properties a galaxy is an outlier (Table 18 of the AstroCLIP benchmark)"
    return Table(columns, lines, title, note, folded=True, marked=marked) if lines else None


def rate_table(table: pandas.DataFrame) -> Table | None:
    """Outliers of each property."""
    rows = table[(table["metric"] == "outlier_rate") & (table["property"] != ALL)]
    shown = rows[[*SOURCE, "property", "value", "ci_low", "ci_high", "n"]].rename(columns={"value": "share"})
    return grid(shown, "Outliers of each property", folded=True, rows=len(rows)) if len(rows) else None


def overlap_table(table: pandas.DataFrame) -> Table | None:
    """How alike the outliers of two models are, of any property."""
    rows = table[(table["property"] == "any") & table["metric"].isin(["jaccard", "jaccard_expected"])]
    lines = []
    for (model, modality, method), some in rows.groupby(SOURCE, sort=False):
        of = some.set_index("metric")
        name = [style.pretty(model), style.pretty(modality), method_name(method)]
        own = [with_interval(of.loc["jaccard"], 3), f"{of.loc['jaccard_expected', 'value']:.3f}"]
        lines.append([*name, *own, f"{of.loc['jaccard', 'n']:,}"])
    columns = ["models", "inputs", "method", "Jaccard index [95 %]", "by chance", "outliers of either"]
    note = "Galaxies that are outliers, in any property, of both models, by those that are of either."
    return Table(columns, lines, "Do two models fail at the same galaxies?", note, folded=True) if lines else None
