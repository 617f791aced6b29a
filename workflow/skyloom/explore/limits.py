"""Which galaxies count: ranges of columns of galaxies.parquet, and of differences of two (colours)."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from skyloom.core.errors import BadConfig

Limit = tuple[float | None, float | None] | Collection[str]
"""A range, ends included, either may be None; or the texts that pass."""
_NAME = re.compile(r"([A-Za-z_]\w*)(?:-([A-Za-z_]\w*))?")


def parse_limits(words: Sequence[str]) -> dict[str, Limit]:
    """What a command line says: ``z=0.1:0.3``, ``mag_g-mag_r=:0.8``, ``zwarn=0``, ``spectype=GALAXY,QSO``."""
    found: dict[str, Limit] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name or not text.strip():
            raise BadConfig(f"{word}: expected COLUMN=FROM:TO, COLUMN-COLUMN=FROM:TO or COLUMN=TEXT,TEXT")
        ends = text.split(":")
        try:
            if len(ends) == 2:
                found[name] = tuple(_number(end) if end.strip() else None for end in ends)
            elif len(ends) == 1:
                found[name] = (_number(text), _number(text))
            else:
                raise BadConfig(f"{word}: a range has two ends, as z=0.1:0.3")
        except ValueError as error:
            if len(ends) != 1:
                raise BadConfig(f"{word}: {error}, expected numbers") from error
            found[name] = {part.strip() for part in text.split(",")}
    return found


def _number(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError("nan is no limit")
    return value


def passing(limits: Mapping[str, Limit], column: Callable[[str], np.ndarray]) -> np.ndarray | None:
    """Which galaxies pass all limits, (N,) bool; None without a limit. What is not known (NaN) does not pass.

    Parameters
    ----------
    column : name -> (N,) values; raises BadConfig for a name that is none

    Raises
    ------
    BadConfig : no such column, text where a range is asked for, or numbers where texts are.
    """
    mask = None
    for name, limit in limits.items():
        kept = _passes(name, limit, column)
        mask = kept if mask is None else mask & kept
    return mask


def _passes(name: str, limit: Limit, column: Callable[[str], np.ndarray]) -> np.ndarray:
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise BadConfig(f"limits: {name!r} is not a column, nor a difference of two as mag_g-mag_r")
    values = column(parts[1])
    texts = values.dtype.kind not in "biuf"
    if isinstance(limit, tuple):
        if texts:
            raise BadConfig(f"limits: column {name} holds text, expected the texts that pass, as {name}=GALAXY")
        values = values.astype("f8") if parts[2] is None else values - _numbers(parts[2], column)
        low, high = limit
        return (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
    if not texts:
        raise BadConfig(f"limits: column {name} holds numbers, expected a range as {name}=0.1:0.3")
    return np.isin(values.astype(str), list(limit))


def _numbers(name: str, column: Callable[[str], np.ndarray]) -> np.ndarray:
    values = column(name)
    if values.dtype.kind not in "biuf":
        raise BadConfig(f"limits: column {name} holds text, a difference is of numbers")
    return values.astype("f8")
