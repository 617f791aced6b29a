"""What the report says of fine-tuning."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import Claim, Figure, Scores, Shown, Text, claim, in_order, read_csv, scored
from skyloom.analysis.finetune import PHOTOMETRY, Settings
from skyloom.analysis.finetune.methods import ALONE, SCRATCH
from skyloom.settings.names import PROPERTIES

FIRST = ("r2", "accuracy")
WORDS = {"r2": "R2", "accuracy": "accuracy"}
SHARES = {"mae": "mean absolute error", "balanced_accuracy": "balanced accuracy"}
SURE = {"coverage": "intervals that hold", "overconfidence": "probability above accuracy"}


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if table.empty:
        return [Text("No label is known of enough test galaxies.", warns=True)]
    figures = [Figure(paths["figure"]), Figure(paths["figure_predictions"])]
    return [*claims(table), *figures, *(score_table(part, label) for label, part in _labels(table))]


def _labels(table: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    single = table[~table["metric"].str.startswith("delta_")]
    for label in dict.fromkeys(single["property"]):
        yield label, single[single["property"] == label]


def score_table(rows: pandas.DataFrame, label: str) -> Scores:
    """All scores of a label."""
    names = {name: words for name, words in {**WORDS, **SHARES, **SURE}.items() if name in set(rows["metric"])}
    lines = []
    first = rows[rows["metric"].isin(FIRST)]
    for row in first.to_dict("records"):
        own = rows[(rows["model"] == row["model"]) & (rows["method"] == row["method"])]
        cells = {line["metric"]: scored(line, False, 3) for line in own.to_dict("records")}
        heads = [row["model"], str(row["encoder"]) if pandas.notna(row["encoder"]) else "", row["method"]]
        lines.append((heads, in_order(cells, names)))
    note = f"{first['n'].iloc[0]} test galaxies; learned from {first['learned_from'].iloc[0]}."
    title = f"Fine-tuned for {PROPERTIES.get(label, label)}"
    return Scores(["model", "encoder", "what learned"], list(names.values()), lines, title, note)


def claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """What fine-tuning is above: the head alone, a network from scratch, photometry; for each label and pair."""
    for row in table[table["metric"].str.startswith("delta_")].to_dict("records"):
        models, ways = row["model"].split(" - "), row["method"].split(" - ")
        if len(models) != 2 or len(ways) != 2:
            continue
        better = _order(models, ways)
        if better is None:
            continue
        sign, text = better
        low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
        word = WORDS[row["metric"].removeprefix("delta_")]
        yield claim(
            f"{PROPERTIES.get(row['property'], row['property'])}: {text}",
            f"{word} {sign * row['value']:+.3f} [{low:.3f}, {high:.3f}], n = {row['n']}",
            sign * row["value"] > 0,
            low > 0 or high < 0,
        )


def _order(models: list[str], ways: list[str]) -> tuple[int, str] | None:
    """Which of two is claimed to be better, +1 the first, and in what words; None for other pairs."""
    if models[1] == PHOTOMETRY:
        return +1, f"{models[0]} ({ways[0]}) beats photometry"
    for sign, (one, other) in ((+1, (0, 1)), (-1, (1, 0))):
        if ways[other] == SCRATCH and ways[one] != SCRATCH and "untrained" not in ways[one]:
            return sign, f"pretraining helps: {models[one]} ({ways[one]}) beats {models[other]} ({SCRATCH})"
        if ways[other] == ALONE and ways[one].startswith("last"):
            return sign, f"the {ways[one]} of {models[one]} beat the head alone of {models[other]}"
    return None
