"""What a check has to say of a place in a table."""

import dataclasses
from collections.abc import Iterable, Mapping

IMPOSSIBLE = "impossible"
"""The numbers contradict each other or the definition of what they are."""
UNLIKELY = "unlikely"
"""They do not contradict each other, but chance alone hardly makes them."""
NEEDS = "needs"
"""They are possible if something holds that the table does not say."""

PLACE = ("survey", "model", "modality", "method", "property", "split", "group", "more")
COLUMNS = ["source", "table", "place", "check", "level", "what", "value", "expected"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A number that cannot be, or hardly.

    Attributes
    ----------
    source, table : file, and table in it
    place : model, modality, method, property, split, group: as far as they are one
    level : IMPOSSIBLE, UNLIKELY or NEEDS
    what : in words, with the numbers
    value : as it stands
    expected : what it should be, or the bound that it breaks
    """

    source: str
    table: str
    place: str
    level: str
    what: str
    value: float
    expected: float

    def line(self) -> str:
        """On one line."""
        table = "" if self.table == self.source else f", table {self.table}"
        return f"{self.source}{table}: {self.place or 'whole table'}: {self.what} [{self.level}]"


def found(row: Mapping, level: str, what: str, value: float, expected: float, without: Iterable[str] = ()) -> Finding:
    """A finding at a row of a table; columns `without` do not belong to the place."""
    place = ", ".join(str(row[name]) for name in PLACE if name not in without and row[name] != "")
    return Finding(row["source"], row["table"], place, level, what, float(value), float(expected))
