"""A results table, ours or a published one, as the checks read it: all columns there, and how values are rounded."""

import os
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import pandas

from skyloom.analysis.common import bygroup
from skyloom.core.errors import BadInput

SOURCE = ["source", "survey", "model", "modality", "method", "more"]
"""Who says a number: the file, and what the table says of the model."""
KEY = [*SOURCE, "property", "split", "group", "metric"]
"""What a number is. `more` is what else a table says in columns of its own, in one text."""
NUMBERS = ["value", "ci_low", "ci_high", "n"]
ABOUT = ["unit", "confidence", "note", "kind", "trained", "reference"]
"""Columns about a number that do not make it another one."""
NEEDED = ["metric", "value"]
TOLD = ("table", "survey", "model", "modality", "method", "property", "split", "group", "ci_low", "ci_high", "n")
"""Columns that a table may have besides, with a meaning for the checks."""
SHOWN = 8
"""Columns of a table without NEEDED that are named."""
WHOLE = ("", bygroup.ALL)
"""Groups that are all galaxies."""
DIGITS = 6
"""Significant digits of tables of ours."""
BETWEEN = " - "
"""What stands between the two terms of a difference."""


def read(paths: Iterable[str | os.PathLike]) -> pandas.DataFrame:
    """Rows of one or more tables with `table`, KEY, NUMBERS, `unit`, `note`, and half a unit of the last digit of the
    values (`step`) and of the intervals (`ci_step`). A file whose rows name no table is one.

    Raises
    ------
    BadInput : a file that is no csv, has none of NEEDED, or holds text where a number was expected.
    """
    frames = [_read(path) for path in paths]
    return pandas.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _read(path: str | os.PathLike) -> pandas.DataFrame:
    try:
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        raise BadInput(f"{path}: not a readable csv table: {str(error).strip().splitlines()[0]}") from error
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        has = ", ".join([*map(str, frame.columns[:SHOWN]), *(["..."] if frame.shape[1] > SHOWN else [])])
        told = f"{path}: not a table with a number a row: no column {' and no column '.join(missing)}, it has {has}"
        raise BadInput(f"{told}; an audit reads metric and value, and what of {', '.join(TOLD)} there is")
    stem = source_of(path)
    own = [name for name in frame if name not in {"table", *KEY, *NUMBERS, *ABOUT}]
    frame["more"] = _joined(frame, [*own, *(["source"] if "source" in frame else [])])
    frame["source"] = stem
    for name in ("table", *KEY, "unit", "note"):
        frame[name] = frame[name].str.strip() if name in frame else ""
    frame["table"] = frame["table"].where(frame["table"] != "", stem)
    texts = {name: frame[name].str.strip() if name in frame else pandas.Series("", frame.index) for name in NUMBERS}
    frame = frame.assign(**{name: _numbers(path, name, text) for name, text in texts.items()})
    alike = [frame[name] for name in ("table", "metric", "modality")]
    frame["step"] = _steps(frame["value"], texts["value"], alike)
    ends = [_steps(frame[name], texts[name], alike) for name in ("ci_low", "ci_high")]
    frame["ci_step"] = np.fmax(*ends)
    return frame[["table", *KEY, *NUMBERS, "unit", "note", "step", "ci_step"]]


def source_of(path: str | os.PathLike) -> str:
    """What a file is called in findings."""
    return Path(path).stem


def _joined(frame: pandas.DataFrame, names: Sequence[str]) -> pandas.Series:
    told = pandas.Series("", frame.index)
    for name in names:
        told += (name + " " + frame[name] + ", ").where(frame[name] != "", "")
    return told.str.removesuffix(", ")


def _numbers(path, name: str, text: pandas.Series) -> pandas.Series:
    numbers = pandas.to_numeric(text.where(text != "", None), errors="coerce").astype(float)
    wrong = text[numbers.isna() & ~text.str.lower().isin(["", "nan"])]
    if len(wrong):
        raise BadInput(f"{path}: {name} of line {wrong.index[0] + 2} is {wrong.iloc[0]!r}; expected a number")
    return numbers


def _steps(values: pandas.Series, text: pandas.Series, alike: list[pandas.Series]) -> pandas.Series:
    """Half a unit of the last digit. A zero at the end may be rounding (0.09 written 0.090), so that the digits of like
    values (same table, metric and modality) count; tables of ours have DIGITS significant ones."""
    digits = text.map(decimals).groupby(alike).transform("max")
    return np.maximum(0.5 * 10.0**-digits, 0.5 * 10.0 ** (1 - DIGITS) * values.abs().fillna(0))


def decimals(text: str) -> int:
    """Digits after the point of a number as text, without zeros at its end."""
    try:
        exponent = Decimal(text).normalize().as_tuple().exponent
    except InvalidOperation:
        return 0
    return max(0, -exponent) if isinstance(exponent, int) else 0


def known(numbers: pandas.Series) -> pandas.Series:
    """Which numbers of galaxies are stated: `tables.row` writes 0 where there is none."""
    return numbers.fillna(0) > 0


def partitions(n: Sequence[float], whole: float) -> list[slice]:
    """Runs of neighbouring groups whose galaxies add up to `whole`: a table may hold several partitions, one after the
    other (by density, then by brightness)."""
    found, start = [], 0
    while start < len(n):
        sums = np.cumsum(n[start:])
        ends = np.flatnonzero(np.isclose(sums, whole, rtol=0, atol=0.5))
        if len(ends):
            found.append(slice(start, start + int(ends[0]) + 1))
        start += int(ends[0]) + 1 if len(ends) else 1
    return found
