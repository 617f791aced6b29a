"""What the report says of an audit: do our tables contradict themselves, and what do the same checks find elsewhere?"""

from collections.abc import Iterator

import pandas

from skyloom.analysis.audit import Settings
from skyloom.analysis.audit.audit import OWN, PUBLISHED
from skyloom.analysis.common.blocks import Claim, Shown, Table, Text, claim, grid, read_csv

SHOWN = ["source", "table", "place", "check", "level", "what"]
TEXT = (
    "R2 in bins against R2 of all, counts with a common factor, training scores that are exact by construction, "
    "differences against their terms, sums, shares and means, values and intervals that cannot be. Rounding is allowed "
    "for. What is `impossible` contradicts other numbers; what is `unlikely` hardly comes of chance; what `needs` "
    "something is possible if that holds, which the table does not say."
)


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    found, checked = read_csv(paths["table"]), read_csv(paths["checked"])
    return [*claims(found, checked, survey), Text(TEXT), *listed(found), looked_at(checked)]


def claims(found: pandas.DataFrame, checked: pandas.DataFrame, survey: Shown) -> Iterator[Claim]:
    """Nothing of ours contradicts itself."""
    places = checked[checked["of"] == OWN]
    number = int((found["of"] == OWN).sum())
    numbers = f"{number} findings at {places['places'].sum():,} places of {places['source'].nunique()} tables"
    yield claim(f"No number of {survey.name}'s tables contradicts another", numbers, number == 0, True)


def listed(found: pandas.DataFrame) -> Iterator[Table]:
    """The findings, ours first; those of published tables folded."""
    for of, title in ((OWN, "Found in our tables"), (PUBLISHED, "Found by the same checks in published tables")):
        rows = found[found["of"] == of][SHOWN].fillna("").astype(str)
        if len(rows):
            yield grid(rows, title, folded=of == PUBLISHED, rows=len(rows))


def looked_at(checked: pandas.DataFrame) -> Table:
    """How many places each check looked at in each table."""
    wide = checked.pivot_table(index=["of", "source"], columns="check", values="places", aggfunc="sum", sort=False)
    wide = wide.reset_index().rename_axis(columns=None)
    note = "0: the table has nothing for that check."
    return grid(wide, "Places that each check looked at", folded=True, note=note, rows=max(len(wide), 1))
