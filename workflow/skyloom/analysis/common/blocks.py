"""What an analysis gives the report: a list of blocks, shown in their order.

The function `present` of an analysis is called with the paths of its outputs by role, its settings and a `Shown`.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas

from skyloom.core.errors import BadInput

ROWS = 50
"""Lines of a table that is shown as it is."""
ONCE = "one training seed"
"""What a claim that a model is better says where intervals are over galaxies and nothing was trained again."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """The survey that a report shows.

    Attributes
    ----------
    name : of the survey
    simulated : its galaxies are made up
    host : name of the survey on which its models are trained, itself or another, or names with commas
    host_simulated : the galaxies of all these are made up
    published : the files of published numbers (`skyloom.analysis.common.published`)
    about : what its entry says of it
    """

    name: str
    simulated: bool = False
    host: str = ""
    host_simulated: bool = False
    published: Sequence[str] = ()
    about: str = ""


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; `warns`: set apart as a note."""

    shape: ClassVar[str] = "text"
    text: str
    title: str = ""
    warns: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """An output that is a PNG; its caption is the one beside the module unless given."""

    shape: ClassVar[str] = "figure"
    path: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns and lines of text. `marked`: numbers of lines set in bold; `folded`: shown when clicked on."""

    shape: ClassVar[str] = "table"
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    folded: bool = False
    marked: Sequence[int] = ()


@dataclasses.dataclass(frozen=True)
class Cell:
    """A score with its interval, set in bold when it is the best."""

    value: str = ""
    interval: str = ""
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Scores:
    """Lines of names (the columns `heads`) and cells (the columns `columns`)."""

    shape: ClassVar[str] = "scores"
    heads: Sequence[str]
    columns: Sequence[str]
    lines: Sequence[tuple[Sequence[str], Sequence[Cell]]]
    title: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement, the numbers behind it, whether it holds, and the verdict in words."""

    shape: ClassVar[str] = "claim"
    text: str
    numbers: str
    holds: bool
    verdict: str


def claim(text: str, numbers: str, holds: bool, certain: bool) -> Claim:
    """`holds` is decided by the value; `certain` says whether the 95 % interval excludes the opposite."""
    word = "holds" if holds else "fails"
    return Claim(text, numbers, bool(holds), word if certain else f"{word}, within the uncertainty")


def default(paths: dict[str, str], settings: object, survey: Shown) -> list:
    """The presentation of an analysis without one of its own: its figures, then its tables (csv), folded."""
    figures = [Figure(path) for path in paths.values() if str(path).endswith(".png")]
    tables = [
        grid(read_csv(path), os.path.basename(path), True) for path in paths.values() if str(path).endswith("csv")
    ]
    return [*figures, *tables]


def read_csv(path: str | os.PathLike, dtype: Mapping[str, type] | None = None) -> pandas.DataFrame:
    """A csv table; BadInput if it cannot be read. `dtype`: of columns whose values do not tell."""
    try:
        return pandas.read_csv(path, dtype=dtype)
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a readable csv table: {str(error).strip()}") from error


def grid(frame: pandas.DataFrame, title: str = "", folded: bool = False, note: str = "", rows: int = ROWS) -> Table:
    """A data frame as columns and lines of text, cut to `rows` lines (the note says so)."""
    if len(frame) > rows:
        note = f"{note} The first {rows} of {len(frame):,} lines.".strip()
    lines = [[cell(value) for value in row] for row in frame.head(rows).itertuples(index=False)]
    return Table([str(name).replace("_", " ") for name in frame], lines, title, note, folded)


def cell(value: object) -> str:
    """A value as text: four decimals for fractions, nothing for a missing one."""
    if isinstance(value, float):
        return "" if not np.isfinite(value) else f"{value:.4f}" if value % 1 else f"{value:g}"
    return str(value)


def with_interval(row, digits: int = 2, sign: bool = False) -> str:
    """`0.87 [0.85, 0.89]` of a tidy row (value, ci_low, ci_high), or the value alone where there is no interval."""
    form = f"{'+' if sign else ''}.{digits}f"
    if not np.isfinite(row["value"]):
        return "not defined"
    if not np.isfinite(row["ci_low"]):
        return format(row["value"], form)
    return f"{row['value']:{form}} [{row['ci_low']:{form}}, {row['ci_high']:{form}}]"


def scored(row, best: bool, digits: int = 2, sign: bool = False, note: str = "") -> Cell:
    """A tidy row as a cell, value and interval apart."""
    value, _, interval = with_interval(row, digits, sign).partition(" [")
    small = [text for text in (interval and f"[{interval}", note) if text]
    return Cell(value, ", ".join(small), bool(best))


def in_order(cells: dict[str, Cell], names: Iterable[str]) -> list[Cell]:
    """The cells of these names; an empty one where there is none."""
    return [cells.get(name, Cell()) for name in names]


def method_name(method: str) -> str:
    """What a method is called in the tables."""
    return {"knn": "kNN", "mlp": "MLP", "probe": "attentive probe"}.get(method, method)
