"""What the report says of a regression: claims, scores, comparisons, and published numbers beside ours.

A difference is certain when its interval excludes 0; of several in one table, when p corrected for their number (Holm)
is below LEVEL.
"""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import (
    ONCE,
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
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.common.significance import LEVEL
from skyloom.analysis.regression import Settings
from skyloom.analysis.regression.published import METRICS, published_photoz, published_table, references
from skyloom.figures import style

HEADS = ("input", "model", "method")


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("No property is known of enough galaxies of this survey: nothing is scored.", warns=True)]
    test = table[table["split"] == "test"]
    intro = Text(
        "R2 in original units on the test split with 95 % bootstrap intervals over galaxies; every network was trained "
        f"once, with one seed{_trainings(settings)}. kNN is zero-shot, MLP few-shot. Each model is scored on the "
        'galaxies that it has; "a->b" takes the property from the nearest training galaxies in modality b of a test '
        "galaxy in modality a. Of a simulated survey, `truth` is what the noiseless truth of all properties reaches "
        "against labels that are measured: nobody does better but by chance."
    )
    found = [*claims(test, settings), intro, score_table(test), Figure(paths["figure_scores"])]
    crossed = test["modality"].str.contains("->").any()
    found += [Figure(paths["figure_predictions"]), Figure(paths["figure_cross"]) if crossed else None]
    found += [photoz_table(test), difference_table(test)]
    found += [seed_table(test), choice_table(table)]
    if survey.published:
        published = read_published(survey.published)
        found += [published_table(survey, published, test), references(published)]
        found += [published_photoz(survey.name, published, test)]
    return [block for block in found if block is not None]


def claims(test: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """The pairs of `differences`: the first is better than the second in the zero-shot R2 of the first property that
    both predict. Of more than one, what is certain is so after Holm's correction over all differences of the table.
    Beside the interval over galaxies stands what is known of the luck of a training."""
    rows = test[test["method"] == "knn"]
    places = {name: place for place, name in enumerate(settings.properties)}
    differences = _differences(test).query("method == 'knn'")
    differences = differences.iloc[differences["property"].map(places).argsort(kind="stable")]
    claimed = differences.drop_duplicates(["model", "modality"]).sort_index()
    for _, row in claimed.iterrows():
        scores = rows[(rows["metric"] == "r2") & (rows["property"] == row["property"])]
        values = [_value(scores[scores["model"] == model], row["modality"]) for model in row["model"].split(" - ")]
        better, worse = (style.pretty(model) for model in row["model"].split(" - "))
        holm = f", p {row['p_holm']:.2g} (Holm)" if len(claimed) > 1 and row["p_holm"] == row["p_holm"] else ""
        yield claim(
            f"{better} beats {worse} ({style.pretty(row['modality'])}): zero-shot R2 of {style.label(row['property'])}",
            f"{' against '.join(values)}, difference {with_interval(row, 3)}{holm}, n = {row['n']:,}"
            f"; {_of_seeds(test, row, settings.seeds)}",
            row["value"] > 0,
            _certain(row, len(claimed)),
        )


def _differences(test: pandas.DataFrame) -> pandas.DataFrame:
    """Rows delta_r2, with a column `p_holm` (NaN where the table has none)."""
    key = ["model", "modality", "method", "property"]
    corrected = test[test["metric"] == "delta_r2_p_holm"].set_index(key)["value"]
    found = test[test["metric"] == "delta_r2"]
    return found.assign(p_holm=[corrected.get(tuple(row), float("nan")) for row in found[key].to_numpy()])


def _certain(row: pandas.Series, among: int) -> bool:
    if among > 1 and row["p_holm"] == row["p_holm"]:
        return row["p_holm"] < LEVEL
    return row["ci_low"] > 0 or row["ci_high"] < 0


def _trainings(settings: Settings) -> str:
    return f", the MLP with {settings.seeds}, of which scores are the first" if settings.seeds > 1 else ""


def _of_seeds(test: pandas.DataFrame, row: pandas.Series, seeds: int) -> str:
    """What trainings with several seeds say of a difference. Only the MLP is trained again, so it is the few-shot one;
    neighbours of the zero-shot one are not trained, and the networks behind both are trained once."""
    key = ["model", "modality", "property"]
    few_shot = test[(test["method"] == "mlp") & (test[key] == row[key]).all(axis=1)].drop_duplicates("metric")
    few_shot = few_shot.set_index("metric")
    if "delta_r2_seed_std" not in few_shot.index:
        return ONCE
    mean, deviation = (few_shot.loc[f"delta_r2_seed_{name}", "value"] for name in ("mean", "std"))
    return (
        f"few-shot {with_interval(few_shot.loc['delta_r2'], 3)}, over {seeds} training seeds of the MLP "
        f"{mean:.3f} \u00b1 {deviation:.3f} (standard deviation); {ONCE} of the networks"
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
    """Paired differences of R2; those that are certain, after Holm's correction if there are several, are marked."""
    rows = _differences(test)
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for name, group in _by_source(rows):
        cells = {
            row["property"]: scored(row, _certain(row, len(rows)), sign=True, note=f"n = {row['n']:,}")
            for _, row in group.iterrows()
        }
        lines.append((name, in_order(cells, properties)))
    corrected = len(rows) > 1 and rows["p_holm"].notna().any()
    mark = f"p, corrected for {len(rows):,} differences (Holm), is below {LEVEL}" if corrected else (
        "the 95 % interval excludes 0")  # fmt: skip
    note = f"Difference of R2 on the test galaxies that both have, paired bootstrap. Bold: {mark}."
    columns = [style.label(p) for p in properties]
    return Scores(HEADS, columns, lines, "Who is better than whom", note) if lines else None


def seed_table(test: pandas.DataFrame) -> Table | None:
    """Mean and scatter of R2, and of differences, over trainings of the MLP: the variance that intervals over galaxies
    lack."""
    rows = test[test["metric"].str.contains("_seed_")]
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for name, group in _by_source(rows):
        values = {(row["property"], row["metric"].rpartition("_")[2]): row["value"] for _, row in group.iterrows()}
        cells = [f"{values[p, 'mean']:.3f} \u00b1 {values[p, 'std']:.3f}" if (p, "mean") in values else ""
                 for p in properties]  # fmt: skip
        lines.append([*name, *cells])
    note = "R2 on the same test galaxies: mean and standard deviation over trainings with different seeds."
    columns = [*HEADS, *map(style.label, properties)]
    return Table(columns, lines, "How much is the luck of a training", note) if lines else None


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


def _by_source(rows: pandas.DataFrame) -> Iterator[tuple[list[str], pandas.DataFrame]]:
    """Rows of each input, model and method, in the order of the table, with their names for people."""
    for (modality, model, method), group in rows.groupby(["modality", "model", "method"], sort=False):
        yield [style.pretty(modality), style.pretty(model), method_name(method)], group
