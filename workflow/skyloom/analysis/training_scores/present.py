"""What the report says of scores on the training split: what is no score, and do training galaxies score higher?"""

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
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.common.significance import LEVEL
from skyloom.analysis.training_scores import Settings
from skyloom.figures import style

HEADS = ("input", "model", "method")
EXACT = 0.999
"""R2 above which a score says that labels were given back."""
HOW = {"knn": "leave-one-out kNN", "mlp": "cross-validated MLP"}


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("The regression predicts nothing of this survey: its training split has no scores.", warns=True)]
    intro = Text(
        "R2 of training galaxies with what the regression chose: kNN among all others (a galaxy is never its own "
        f"neighbour), MLP trained on the other {settings.folds - 1} of {settings.folds} folds. Networks behind the "
        f"embeddings have seen these galaxies, without their labels. At most {settings.galaxies:,} are scored, and "
        "the MLP learns from these."
    )
    found = [*claims(table), intro, score_table(table), Figure(paths["figure"]), gap_table(table)]
    found += [published_table(survey, read_published(survey.published), table)] if survey.published else []
    return [block for block in found if block is not None]


def claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """That a kNN which finds itself scores 1 whatever it compares, and that no training score is above the test score,
    for each method."""
    naive = table[table["metric"] == "r2_naive"]
    if len(naive):
        honest = table[(table["metric"] == "r2") & (table["split"] == "train") & (table["method"] == "knn")]["value"]
        low, high = naive["value"].min(), naive["value"].max()
        yield claim(
            "A kNN scored on its own training points, each its own neighbour, gives their labels back",
            f"R2 {low:.3f} to {high:.3f}; without itself {honest.min():.2f} to {honest.max():.2f}",
            low > EXACT,
            True,
        )
    gaps = table[table["metric"] == "r2_gap"].reset_index(drop=True)
    corrected = table[table["metric"] == "r2_gap_p_holm"]["value"].to_numpy()
    for method, rows in gaps.groupby("method", sort=False):
        above = (rows["value"] > 0) & (corrected[rows.index] < LEVEL)
        most = rows.loc[rows["value"].idxmax()] if rows["value"].notna().any() else rows.iloc[0]
        where = f"{style.pretty(most['model'])}, {style.pretty(most['modality'])}, {style.label(most['property'])}"
        yield claim(
            f"{method_name(method)}: no R2 of training galaxies is above that of test galaxies",
            f"{above.sum()} of {len(rows)} are (p below {LEVEL} by Holm); largest gap {with_interval(most, 3, True)} "
            f"({where})",
            not above.any(),
            True,
        )


def score_table(table: pandas.DataFrame) -> Scores:
    """R2 of the training split, with that of the test split beside it."""
    rows = table[table["metric"] == "r2"]
    place = ["modality", "model", "method", "property"]
    test = rows[rows["split"] == "test"].set_index(place)["value"]
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for name, group in _by_source(rows[rows["split"] == "train"]):
        cells = {}
        for _, row in group.iterrows():
            cells[row["property"]] = scored(row, best=False, note=f"test {test[tuple(row[place])]:.2f}")
        lines.append((name, in_order(cells, properties)))
    note = "R2 of training galaxies that had no part in what predicts them, 95 % intervals, and of test galaxies."
    return Scores(HEADS, [style.label(p) for p in properties], lines, "Scores on the training split", note)


def gap_table(table: pandas.DataFrame) -> Scores:
    """R2 of training galaxies minus that of test galaxies; the certain ones marked."""
    rows = table[table["metric"] == "r2_gap"].reset_index(drop=True)
    certain = table[table["metric"] == "r2_gap_p_holm"]["value"].to_numpy() < LEVEL
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for name, group in _by_source(rows):
        cells = {row["property"]: scored(row, certain[i], sign=True) for i, row in group.iterrows()}
        lines.append((name, in_order(cells, properties)))
    note = f"Training minus test, resampled apart. Bold: p, corrected for {len(rows)} gaps (Holm), is below {LEVEL}."
    return Scores(HEADS, [style.label(p) for p in properties], lines, "Training minus test", note)


def published_table(survey: Shown, published: pandas.DataFrame, table: pandas.DataFrame) -> Table | None:
    """Published scores on a training split, each followed by ours of the same kind of model, modality and method."""
    rows = published[(published["metric"] == "r2") & (published["split"] == "train") & (published["group"] == "")]
    ours = table[(table["metric"] == "r2") & (table["split"] == "train") & (table["trained"].astype(str) == "True")]
    properties = list(dict.fromkeys(rows["property"]))
    lines, marked = [], []
    for (model, modality, method), group in rows.groupby(["model", "modality", "method"], sort=False):
        name = [style.pretty(modality), HOW.get(method, method_name(method))]
        for (source, where), some in group.groupby(["source", "survey"], sort=False):
            lines.append([source, where, model, style.pretty(modality), method_name(method), *_cells(some, properties)])
        own = ours[(ours["kind"] == model) & (ours["modality"] == modality) & (ours["method"] == method)]
        for trained, some in own.groupby("model", sort=False):
            marked.append(len(lines))
            lines.append(["this run", survey.name, style.pretty(trained), *name, *_cells(some, properties)])
    note = "Each line names its survey: numbers of simulated galaxies are no better or worse than those of the sky. "
    note += "The published kNN was scored on its own training points, the published MLP where it was trained."
    columns = ["source", "survey", "model", "input", "method", *map(style.label, properties)]
    return Table(columns, lines, "Published training scores beside ours", note, marked=marked) if lines else None


def _by_source(rows: pandas.DataFrame) -> Iterator[tuple[list[str], pandas.DataFrame]]:
    for (modality, model, method), group in rows.groupby(["modality", "model", "method"], sort=False):
        yield [style.pretty(modality), style.pretty(model), method_name(method)], group


def _cells(rows: pandas.DataFrame, properties: list[str]) -> list[str]:
    values = rows.set_index("property")["value"]
    return [f"{values[p]:.2f}" if p in values.index else "" for p in properties]
