"""What the report says of a search for anomalies."""

from collections.abc import Iterator

import pandas
import pyarrow.parquet

from skyloom.analysis.anomalies import Settings
from skyloom.analysis.anomalies.measure import ANY, CHANCE, COMBINED, COMMONEST, FAMILY, GUESS
from skyloom.analysis.anomalies.metrics import AUC, AVERAGE
from skyloom.analysis.common.blocks import Claim, Figure, Shown, Table, Text, claim, grid, read_csv, with_interval
from skyloom.figures import style

SHOWN = 20
"""Galaxies of the list."""


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"]).fillna({"model": "", "modality": "", "method": ""})
    own = table[table["split"] == settings.split]
    found = [*claims(own), about(table, settings), Figure(paths["figure_scores"])]
    if (own["metric"] == AUC).any():
        found += [Figure(paths["figure_found"]), found_table(own)]
    return [*found, listed(paths["galaxies"])]


def claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """The combined score finds each kind better than chance, and causes are guessed better than as the commonest."""
    rows = table[(table["model"] == COMBINED) & (table["metric"] == AUC) & (table["method"] != CHANCE)]
    for _, row in rows.iterrows():
        yield claim(
            f"The combined score tells {_kind(row['group'])} from galaxies with nothing wrong",
            f"area under the curve {with_interval(row)}, chance 0.50, n = {row['n']:,}",
            row["value"] > 0.5,
            row["ci_low"] > 0.5 or row["ci_high"] < 0.5,
        )
    right = table[(table["metric"] == "right") & (table["group"] == ANY)].set_index("model")
    if {GUESS, COMMONEST} <= set(right.index):
        guess, commonest = right.loc[GUESS], right.loc[COMMONEST]
        beyond = guess["ci_low"] > commonest["value"] or guess["ci_high"] < commonest["value"]
        numbers = f"{with_interval(guess)} against {commonest['value']:.2f}, n = {guess['n']:,}"
        text = "Causes of flagged anomalies are guessed right more often than by always guessing the commonest"
        yield claim(text, numbers, guess["value"] > commonest["value"], beyond)


def about(table: pandas.DataFrame, settings: Settings) -> Text:
    """How the scores are put together, and who chose that."""
    how = table.loc[table["metric"] == "flagged", "method"]
    why = "set in the configuration" if settings.combined != "chosen" else "taken where no label tells"
    tried = table[(table["split"] != settings.split) & (table["metric"] == AVERAGE) & (table["group"] == ANY)]
    tried = tried[(tried["model"] == COMBINED) & (tried["method"] != CHANCE)]
    if len(tried):
        why = "chosen on the validation split by average precision: " + ", ".join(
            f"{row['method']} {row['value']:.3f}" for _, row in tried.iterrows()
        )
    return Text(
        f"Combined is the {how.iloc[0] if len(how) else settings.combined} of standardised ranks ({why}). "
        "A family is what sees the same thing: the embeddings of a modality, modalities that contradict each other, "
        "and each with the catalogue. Where kinds are labelled, each is scored against galaxies with nothing wrong."
    )


def found_table(table: pandas.DataFrame) -> Table:
    """Average precision and area under the curve of the combined score, and which family and single score do best."""
    lines = []
    for group in dict.fromkeys(table.loc[table["metric"] == AUC, "group"]):
        rows = table[(table["group"] == group) & (table["metric"] == AVERAGE)]
        is_chance = rows["method"] == CHANCE
        single = rows[~rows["model"].isin([COMBINED, FAMILY]) & (rows["method"] != "forest")]
        parts = [
            rows[(rows["model"] == COMBINED) & ~is_chance],
            rows[rows["model"] == FAMILY],
            single,
            rows[rows["method"] == "forest"],
        ]
        auc = table[(table["group"] == group) & (table["metric"] == AUC) & (table["model"] == COMBINED)]
        auc = auc[auc["method"] != CHANCE]
        cells = [_best(part, named=place > 0) for place, part in enumerate(parts)]
        chance = rows[is_chance]["value"]
        area = with_interval(auc.iloc[0]) if len(auc) else ""
        lines.append([_kind(group), area, *cells, f"{chance.iloc[0]:.3f}" if len(chance) else ""])
    heads = ["kind", "AUC", "average precision", "best family", "best score", "best forest", "chance"]
    note = (
        "95 % intervals over galaxies. AUC and average precision are those of the combined score; the others are "
        "average precisions of the best of several on these galaxies, which flatters them. Forest: an isolation "
        "forest, the baseline."
    )
    return Table(heads, lines, note=note)


def _best(rows: pandas.DataFrame, named: bool) -> str:
    if rows.empty:
        return ""
    row = rows.loc[rows["value"].idxmax()]
    names = [row[key] for key in ("model", "modality", "method") if row[key] and row[key] != FAMILY]
    names += [row["property"]] if row["property"] != "anomaly" else []
    return with_interval(row, 3) + (f" {style.pretty(' '.join(map(str, names)))}" if named else "")


def _kind(group: str) -> str:
    return "all kinds" if group == ANY else style.pretty(group)


def listed(path: str) -> Table:
    """The first galaxies of the list with their guesses."""
    columns = [name for name in pyarrow.parquet.read_schema(path).names if name.startswith(f"{FAMILY}-")]
    frame = pyarrow.parquet.read_table(path, columns=["place", "targetid", *columns, "guess", "label"]).to_pandas()
    frame = frame.sort_values("place").head(SHOWN).rename(columns=lambda name: name.removeprefix(f"{FAMILY}-"))
    frame["label"] = frame["label"].fillna("unknown").replace("", "nothing")
    note = "Numbers are -ln(share of galaxies at least as odd in the family)."
    return grid(frame, "The oddest galaxies", folded=True, note=note)
