"""Each operator on values that decide it, and the flow table against counts by hand."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from skyloom.catalog.cuts import DESI_GALAXIES, apply_cuts
from skyloom.core.errors import BadConfig, BadInput

TABLE = Table(
    {
        "Z": [0.1, 0.2, 0.3, np.nan],
        "ZWARN": np.array([0, 4, 0, 0], np.int64),
        "SPECTYPE": ["GALAXY", "STAR  ", "QSO", "GALAXY"],
        "OBJTYPE": np.array([b"TGT", b"TGT", b"SKY", b"TGT"]),
        "PRIMARY": [True, False, True, True],
        "N": MaskedColumn([1, 2, 3, 4], mask=[False, False, False, True]),
    }
)


@pytest.mark.parametrize(
    ("column", "operator", "value", "passed"),
    [
        ("Z", "at_least", 0.2, [0, 1, 1, 0]),
        ("Z", "at_most", 0.2, [1, 1, 0, 0]),
        ("Z", "above", 0.2, [0, 0, 1, 0]),
        ("Z", "below", 0.2, [1, 0, 0, 0]),
        ("Z", "finite", True, [1, 1, 1, 0]),
        ("ZWARN", "equals", 0, [1, 0, 1, 1]),
        ("ZWARN", "in", [4, 5], [0, 1, 0, 0]),
        ("SPECTYPE", "equals", "STAR", [0, 1, 0, 0]),
        ("SPECTYPE", "in", ["GALAXY", "QSO"], [1, 0, 1, 1]),
        ("OBJTYPE", "equals", "TGT", [1, 1, 0, 1]),
        ("PRIMARY", "equals", True, [1, 0, 1, 1]),
        ("N", "at_least", 2, [0, 1, 1, 0]),
    ],
)
def test_operator(column, operator, value, passed):
    mask, _ = apply_cuts(TABLE, [{"name": "x", "column": column, operator: value}])
    np.testing.assert_array_equal(mask, np.array(passed, bool))
    if column != "N":  # pandas has no masked integers
        again, _ = apply_cuts(TABLE.to_pandas(), [{"name": "x", "column": column, operator: value}])
        np.testing.assert_array_equal(mask, again)


def test_flow_counts_what_each_cut_lost_of_what_was_left():
    cuts = [
        {"name": "galaxy", "column": "SPECTYPE", "in": ["GALAXY", "STAR"]},
        {"name": "redshift", "column": "Z", "finite": True},
        {"name": "redshift_ok", "column": "ZWARN", "equals": 0},
    ]
    mask, flow = apply_cuts(TABLE, cuts, survey="test")
    np.testing.assert_array_equal(mask, [True, False, False, False])
    assert flow.values.tolist() == [
        ["test", "quality", "galaxy", 3, 1],
        ["test", "quality", "redshift", 2, 1],
        ["test", "quality", "redshift_ok", 1, 1],
    ]


def test_no_cuts_keep_everything():
    mask, flow = apply_cuts(TABLE, [])
    assert mask.tolist() == [True] * 4
    assert len(flow) == 0


def test_default_cuts_are_those_of_good_desi_galaxies():
    columns = {"ZWARN": 0, "COADD_FIBERSTATUS": 0, "OBJTYPE": "TGT", "SPECTYPE": "GALAXY", "ZCAT_PRIMARY": True}
    bad = {"ZWARN": 4, "COADD_FIBERSTATUS": 512, "OBJTYPE": "SKY", "SPECTYPE": "STAR", "ZCAT_PRIMARY": False}
    rows = [columns] + [{**columns, name: value} for name, value in bad.items()]
    mask, flow = apply_cuts(Table(rows=rows), DESI_GALAXIES)
    np.testing.assert_array_equal(mask, [True] + [False] * 5)
    assert flow["lost"].tolist() == [1] * 5


def test_wrong_input_is_named():
    with pytest.raises(BadInput, match="zall.fits: no column QUALITY, which the cut 'good' needs"):
        apply_cuts(TABLE, [{"name": "good", "column": "QUALITY", "above": 1}], source="zall.fits")
    with pytest.raises(BadInput, match="zall.fits: column SPECTYPE holds text; the cut 'good' asks for above 1"):
        apply_cuts(TABLE, [{"name": "good", "column": "SPECTYPE", "above": 1}], source="zall.fits")
    with pytest.raises(BadInput, match="column Z holds numbers .*asks for equals 'a'"):
        apply_cuts(TABLE, [{"name": "good", "column": "Z", "equals": "a"}])


def test_the_cut_that_leaves_nothing_is_named():
    cuts = [{"name": "near", "column": "Z", "below": 0.15}, {"name": "far", "column": "Z", "above": 0.25}]
    with pytest.raises(BadInput, match=r"mock: no galaxy left: 'far' \(Z above 0.25\) lost the last 1 of 4$"):
        apply_cuts(TABLE, cuts, survey="mock")


@pytest.mark.parametrize(
    "cut",
    [
        {"name": "x", "column": "Z"},
        {"column": "Z", "above": 1},
        {"name": "x", "above": 1},
        {"name": "x", "column": "Z", "greater": 1},
        {"name": "x", "column": "Z", "above": 1, "below": 2},
    ],
)
def test_malformed_cut_is_refused(cut):
    with pytest.raises(BadConfig, match="expected a name, a column and one of equals, at_least"):
        apply_cuts(TABLE, [cut])
