"""What the report says of attention."""

import pandas

from skyloom.analysis.attention import Settings
from skyloom.analysis.attention.scores import CONTROL, EFFECTIVE, LIFT, SHARE
from skyloom.analysis.common.blocks import Figure, Scores, Shown, in_order, read_csv, scored
from skyloom.figures import style


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    figures = [Figure(paths["figure_spectrum"]), Figure(paths["figure_image"])]
    return [*filter(None, [head_table(read_csv(paths["table"]))]), *figures]


def head_table(table: pandas.DataFrame) -> Scores | None:
    """A line a head, a column for what is measured."""
    if table.empty:
        return None
    called = {
        EFFECTIVE: "effective share of tokens",
        SHARE: "share of {}",
        LIFT: "preference, {}",
        CONTROL: "the same, {} of another redshift",
    }
    table = table.assign(what=[called[m].format(p) for m, p in zip(table["metric"], table["property"], strict=True)])
    columns, lines = list(dict.fromkeys(table["what"])), []
    for (model, modality, head), own in table.groupby(["model", "modality", "method"], sort=False):
        cells = {row["what"]: scored(row, False) for _, row in own.iterrows()}
        lines.append(((style.pretty(modality), style.pretty(model), head), in_order(cells, columns)))
    note = (
        "Effective share: exp of the entropy over the number of tokens. Preference: mean attention of such tokens over "
        "that of all that show a part; 1 is none. Lines of another redshift say what a look at always the same "
        "wavelengths gives. Means over test galaxies; tokens have mixed in the backbone before they are looked at."
    )
    return Scores(("input", "model", "head"), columns, lines, "What each head looks at", note)
