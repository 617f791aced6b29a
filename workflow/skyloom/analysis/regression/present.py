"""What the report says of a regression: claims, scores, comparisons, and published numbers beside ours."""

from collections.abc import Iterator

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
from skyloom.analysis.regression import BASELINES, PHOTOMETRY, Settings
from skyloom.figures import style
from skyloom.settings.names import PROPERTIES

METRICS = {"sigma_nmad": "sigma_NMAD", "bias": "bias", "outliers_0.15": "|dz| > 0.15", "outliers_0.05": "|dz| > 0.05"}
# Published sSFR is the benchmark's own ("legacy") quantity; it stands in the column of ours, marked.
PUBLISHED_AS = {"ssfr_legacy": "log_ssfr"}
PHOTOMETRIC = ("image", "hsc_image", PHOTOMETRY)
"""Inputs of photometric redshifts."""
HEADS = ("input", "model", "method")


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("No property is known of enough galaxies of this survey: nothing is scored.", warns=True)]
    test = table[table["split"] == "test"]
    intro = Text(
        "R2 in original units on the test split with 95 % bootstrap intervals over galaxies; every network was trained "
        "once, with one seed. kNN is zero-shot, MLP few-shot. Each model is scored on the galaxies that it has; "
        '"a->b" takes the property from the nearest training galaxies in modality b of a test galaxy in modality a. '
        "Of a simulated survey, `truth` is what the noiseless truth of all properties reaches against labels that are "
        "measured: nobody does better but by chance."
    )
    found = [*claims(test, settings), intro, score_table(test), Figure(paths["figure_scores"])]
    found += [Figure(paths["figure_predictions"]), photoz_table(test), difference_table(test), choice_table(table)]
    if survey.published:
        published = read_csv(survey.published)
        found += [published_table(survey, published, test), references(published)]
        found += [published_photoz(survey.name, published, test)]
    return [block for block in found if block is not None]


def claims(test: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """The pairs of `differences`: the first is better than the second in the zero-shot R2 of the first property that
    both predict."""
    rows = test[test["method"] == "knn"]
    places = {name: place for place, name in enumerate(settings.properties)}
    differences = rows[rows["metric"] == "delta_r2"]
    differences = differences.iloc[differences["property"].map(places).argsort(kind="stable")]
    for _, row in differences.drop_duplicates(["model", "modality"]).sort_index().iterrows():
        scores = rows[(rows["metric"] == "r2") & (rows["property"] == row["property"])]
        values = [_value(scores[scores["model"] == model], row["modality"]) for model in row["model"].split(" - ")]
        better, worse = (style.pretty(model) for model in row["model"].split(" - "))
        yield claim(
            f"{better} beats {worse} ({style.pretty(row['modality'])}): zero-shot R2 of {style.label(row['property'])}",
            f"{' against '.join(values)}, difference {with_interval(row, 3)}, n = {row['n']:,}",
            row["value"] > 0,
            row["ci_low"] > 0 or row["ci_high"] < 0,
        )


def _value(scores: pandas.DataFrame, modality: str) -> str:
    """R2 of a model in a modality, or of a baseline, which has one of its own."""
    own = scores[scores["modality"].isin([modality, *BASELINES])]
    return f"{own['value'].iloc[0]:.3f}" if len(own) else "?"


def score_table(test: pandas.DataFrame) -> Scores:
    """R2 on the test split: a line for each model and method, a column for each property; best of an input marked."""
    scores = test[test["metric"] == "r2"]
    scores = scores.assign(input=scores["modality"].str.split("->").str[0])
    properties = list(dict.fromkeys(scores["property"]))
    best = set(scores.dropna(subset=["value"]).groupby(["input", "property"])["value"].idxmax())
    n = {name: set(scores[scores["property"] == name]["n"]) for name in properties}
    lines = []
    for name, rows in _by_source(scores):
        cells = {}
        for i, row in rows.iterrows():
            differs = len(n[row["property"]]) > 1
            cells[row["property"]] = scored(row, i in best, note=f"n = {row['n']:,}" if differs else "")
        lines.append((name, in_order(cells, properties)))
    columns = [style.label(p) + (f", n = {min(n[p]):,}" if len(n[p]) == 1 else "") for p in properties]
    return Scores(HEADS, columns, lines, note="Bold: best of its input.")


def photoz_table(test: pandas.DataFrame) -> Scores | None:
    """Redshift statistics of every model on the test split."""
    rows = test[(test["property"] == "z") & test["metric"].isin(METRICS)]
    lines = []
    for name, group in _by_source(rows):
        cells = {row["metric"]: scored(row, best=False, digits=4) for _, row in group.iterrows()}
        lines.append((name, in_order(cells, METRICS)))
    note = (
        "dz = (z predicted - z true) / (1 + z true); bias is its median, sigma_NMAD 1.4826 times its median absolute "
        "deviation."
    )
    return Scores(HEADS, list(METRICS.values()), lines, "Redshift statistics", note) if lines else None


def difference_table(test: pandas.DataFrame) -> Scores | None:
    """Paired differences of R2; a difference whose interval excludes 0 is marked."""
    rows = test[test["metric"] == "delta_r2"]
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for name, group in _by_source(rows):
        cells = {
            row["property"]: scored(row, row["ci_low"] > 0 or row["ci_high"] < 0, sign=True, note=f"n = {row['n']:,}")
            for _, row in group.iterrows()
        }
        lines.append((name, in_order(cells, properties)))
    note = "Difference of R2 on the test galaxies that both have, paired bootstrap. Bold: the 95 % interval excludes 0."
    columns = [style.label(p) for p in properties]
    return Scores(HEADS, columns, lines, "Who is better than whom", note) if lines else None


def choice_table(table: pandas.DataFrame) -> Table | None:
    """What was chosen on the validation split."""
    rows = table[table["metric"].str.startswith("chosen_")]
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for (modality, model, method, metric), group in rows.groupby(["modality", "model", "method", "metric"], sort=False):
        values = group.set_index("property")["value"]
        cells = [f"{values[p]:g}" if p in values.index else "" for p in properties]
        name = [style.pretty(modality), style.pretty(model), method_name(method), metric.removeprefix("chosen_")]
        lines.append([*name, *cells])
    columns = [*HEADS, "what", *map(style.label, properties)]
    return Table(columns, lines, "What was chosen on the validation split", folded=True) if lines else None


def published_table(survey: Shown, published: pandas.DataFrame, test: pandas.DataFrame) -> Table | None:
    """Published R2, each followed by ours of the same kind of model, modality and method; each line says its survey."""
    ours = test[(test["metric"] == "r2") & (test["trained"].astype(str) == "True")]
    rows = published[published["metric"] == "r2"].replace({"property": PUBLISHED_AS})
    properties = [p for p in PROPERTIES if p in set(rows["property"])]
    lines, marked = [], []
    for (model, modality, method), group in rows.groupby(["model", "modality", "method"], sort=False):
        name = [style.pretty(modality), method_name(method)]
        for (source, where), some in group.groupby(["source", "survey"], sort=False):
            values = some.set_index("property")["value"]
            lines.append([source, where, model, *name, *_two_digits(values, properties)])
        own = ours[(ours["kind"] == model) & (ours["modality"] == modality) & (ours["method"] == method)]
        for trained, some in own.groupby("model", sort=False):
            marked.append(len(lines))
            values = some.set_index("property")["value"]
            lines.append(["this run", survey.name, style.pretty(trained), *name, *_two_digits(values, properties)])
    note = "Each line names its survey. "
    if survey.simulated:
        note += (
            "Ours come from simulated galaxies: these are easier or harder than the sky in ways nobody has measured, "
            "so no line of ours beats, or is beaten by, a line from real data. "
        )
    note += "The published sSFR is the benchmark's own quantity, not the logarithm used here."
    columns = ["source", "survey", "model", "input", "method", *map(style.label, properties)]
    return Table(columns, lines, "Published numbers beside ours", note, marked=marked) if lines else None


def references(published: pandas.DataFrame) -> Table:
    """Source and reference of everything published, each once."""
    rows = published[["source", "reference"]].drop_duplicates()
    return Table(["source", "reference"], rows.to_numpy().tolist(), "References of the published numbers", folded=True)


def published_photoz(survey: str, published: pandas.DataFrame, test: pandas.DataFrame) -> Table | None:
    """Published photometric-redshift statistics, and those of our trained models and baselines of magnitudes."""
    rows = published[published["metric"].isin(METRICS)]
    lines = [
        [row.source, row.survey, row.model, row.modality, METRICS[row.metric], f"{row.value:g}", row.reference]
        for row in rows.itertuples()
    ]
    own = test[(test["property"] == "z") & test["modality"].isin(PHOTOMETRIC) & test["metric"].isin(METRICS)]
    own = own[own["trained"].astype(str) == "True"]
    marked = range(len(lines), len(lines) + len(own))
    for _, row in own.iterrows():
        name = ["this run", survey, style.pretty(row["model"]), style.pretty(row["modality"]), METRICS[row["metric"]]]
        lines.append([*name, with_interval(row, 4), method_name(row["method"])])
    columns = ["source", "survey", "model", "input", "metric", "value", "note"]
    return Table(columns, lines, "Photometric redshifts, published and ours", marked=marked, folded=True)


def _by_source(rows: pandas.DataFrame) -> Iterator[tuple[list[str], pandas.DataFrame]]:
    """Rows of each input, model and method, in the order of the table, with their names for people."""
    for (modality, model, method), group in rows.groupby(["modality", "model", "method"], sort=False):
        yield [style.pretty(modality), style.pretty(model), method_name(method)], group


def _two_digits(values: pandas.Series, properties: list[str]) -> list[str]:
    return [f"{values[p]:.2f}" if p in values.index else "" for p in properties]
