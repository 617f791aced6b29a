"""The ledger: what passes, what fails, what was not compared; and the committed table of expected values."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.mock_validation import EXPECTED, checks
from skyloom.analysis.mock_validation.checks import FAIL, PASS, SKIPPED, Ledger
from skyloom.core.errors import BadInput
from tests.paths import ROOT

COMMITTED = ROOT / EXPECTED
ROWS = [
    ("A", "both", "a quantity", 1.0, 2.0, "paper"),
    ("A", "low_only", "another", 0.5, None, "paper"),
    ("B", "high_only", "third", None, 0.1, "paper"),
]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(written(tmp_path, ROWS))


def written(folder, rows):
    path = folder / "expected.csv"
    pandas.DataFrame(rows, columns=list(checks.EXPECTED_COLUMNS)).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("check", "value", "verdict"),
    [("both", 1.0, PASS), ("both", 2.0, PASS), ("both", 2.01, FAIL), ("both", 0.99, FAIL), ("both", np.nan, SKIPPED),
     ("low_only", 1e9, PASS), ("low_only", 0.4, FAIL), ("high_only", -5, PASS), ("high_only", 0.2, FAIL)],
)  # fmt: skip
def test_verdicts(ledger, check, value, verdict):
    ledger.add(check, value, 7)
    row = ledger.table().set_index("check").loc[check]
    assert row["verdict"] == verdict
    assert row["n"] == 7
    assert row["source"] == "paper"


def test_every_expectation_is_a_row(ledger, tmp_path):
    ledger.add("both", 1.5, 10)
    ledger.write(tmp_path / "out.csv")
    table = pandas.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == list(checks.COLUMNS)
    assert list(table["check"]) == ["both", "low_only", "high_only"]
    assert list(table["verdict"]) == [PASS, SKIPPED, SKIPPED]
    assert checks.tally(table) == {PASS: 1, FAIL: 0, SKIPPED: 2}


def test_only_what_is_expected_is_measured(ledger):
    with pytest.raises(KeyError, match="unheard_of"):
        ledger.add("unheard_of", 1.0, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([*ROWS, ROWS[0]], "'both' occurs twice"), ([(*ROWS[0][:5], None)], "'both' has no source")],
)
def test_bad_tables_are_refused(tmp_path, rows, message):
    with pytest.raises(BadInput, match=message):
        Ledger(written(tmp_path, rows))


def test_committed_table():
    """Every range is one, and every published source has a year."""
    table = Ledger(COMMITTED).expected
    both = table.dropna(subset=["low", "high"])
    assert (both["low"] < both["high"]).all()
    assert (table["low"].notna() | table["high"].notna()).all()
    literature = table[~table["section"].isin(["Real images"]) & ~table["source"].str.contains("by definition|wheels")]
    assert literature["source"].str.contains(r"(?:19|20)\d\d").all()
