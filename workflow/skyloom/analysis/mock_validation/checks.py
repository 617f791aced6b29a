"""The ledger of checks: each measured value beside its expected range (resources/mock_validation.csv)."""

import math
import os
from collections.abc import Iterable

import numpy as np
import pandas

from skyloom.analysis.common.tables import write_csv
from skyloom.core.errors import BadInput

EXPECTED_COLUMNS = ("section", "check", "quantity", "low", "high", "source")
COLUMNS = ("section", "check", "quantity", "mock", "expected_low", "expected_high", "verdict", "n", "source")
PASS, FAIL, SKIPPED = "pass", "fail", "not compared"


class Ledger:
    """Values of checks as they are measured; the expected range of each is looked up by its name, never given here.

    Parameters
    ----------
    path : csv with EXPECTED_COLUMNS; an empty `low` or `high` is no bound
    """

    def __init__(self, path: str | os.PathLike):
        try:
            table = pandas.read_csv(path)
        except (OSError, pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
            raise BadInput(f"{path}: not a readable csv table: {str(error).strip()}") from error
        for column in EXPECTED_COLUMNS:
            if column not in table.columns:
                raise BadInput(f"{path}: no column {column!r}; expected {', '.join(EXPECTED_COLUMNS)}")
        if not table["check"].is_unique:
            raise BadInput(f"{path}: the check {table['check'][table['check'].duplicated()].iloc[0]!r} occurs twice")
        if unsourced := list(table["check"][table["source"].isna()]):
            raise BadInput(f"{path}: the check {unsourced[0]!r} has no source")
        self.expected = table.set_index("check", drop=False)
        self._measured: dict[str, tuple[float, int]] = {}

    def add(self, check: str, value: float, n: int) -> None:
        """Record a value measured on `n` objects, NaN if it could not be. KeyError for a name not in the table."""
        if check not in self.expected.index:
            raise KeyError(f"{check} is not in the table of expected values")
        self._measured[check] = (float(value), int(n))

    def bounds(self, check: str) -> tuple[float, float]:
        """Expected (low, high), infinite where there is no bound."""
        row = self.expected.loc[check]
        return (
            -math.inf if math.isnan(row["low"]) else float(row["low"]),
            math.inf if math.isnan(row["high"]) else float(row["high"]),
        )

    def table(self) -> pandas.DataFrame:
        """One row a check of the table of expected values, in its order, with COLUMNS."""
        rows = []
        for check, row in self.expected.iterrows():
            value, n = self._measured.get(check, (math.nan, 0))
            measured = dict(zip(COLUMNS[:3], row[["section", "check", "quantity"]], strict=True))
            measured |= {"mock": value, "expected_low": row["low"], "expected_high": row["high"]}
            rows.append(measured | {"verdict": verdict(value, *self.bounds(check)), "n": n, "source": row["source"]})
        return pandas.DataFrame(rows, columns=list(COLUMNS))

    def write(self, path: str | os.PathLike) -> None:
        """The table as csv."""
        write_csv(path, self.table())


def verdict(value: float, low: float, high: float) -> str:
    """PASS if `low` <= `value` <= `high`, FAIL if not, SKIPPED if there is no value."""
    if not np.isfinite(value):
        return SKIPPED
    return PASS if low <= value <= high else FAIL


def tally(table: pandas.DataFrame, checks: Iterable[str] | None = None) -> dict[str, int]:
    """How many of the rows (of `checks`, or all) passed, failed and were not compared."""
    rows = table if checks is None else table[table["check"].isin(list(checks))]
    return {name: int((rows["verdict"] == name).sum()) for name in (PASS, FAIL, SKIPPED)}
