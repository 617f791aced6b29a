"""Tables of labels: the same from every form; what is unknown; what cannot be."""

import numpy as np
import pandas
import pytest
from astropy.table import MaskedColumn, Table

from skyloom.core.errors import BadInput
from skyloom.formats import label_tables

ROWS = Table(
    {
        "TARGETID": np.array([2**62 + 1, 7, 5, 7], "i8"),
        "z": MaskedColumn([0.1, 0.2, 0.3, 0.2], mask=[True, False, False, False]),
        "kind": np.array(["E", "S", "", "S"]),
        "count": np.array([1, 2, 3, 2]),
        "bar": np.array([True, False, True, False]),
    }
)


@pytest.mark.parametrize("ending", ["fits", "parquet", "csv", "ecsv", "vot"])
def test_every_form_tells_the_same(tmp_path, ending):
    path = tmp_path / f"mine.{ending}"
    if ending == "vot":
        ROWS.write(path, format="votable")
    elif ending == "parquet":
        ROWS.to_pandas().to_parquet(path)
    else:
        ROWS.write(path)
    assert label_tables.column_names(path) == ["TARGETID", "z", "kind", "count", "bar"]
    targetid, columns = label_tables.read(path, ["z", "kind", "count", "bar"])
    assert targetid.tolist() == [5, 7, 2**62 + 1]
    np.testing.assert_array_equal(columns["z"], [0.3, 0.2, np.nan])
    assert columns["kind"].tolist() == ["", "S", "E"]
    assert label_tables.text(columns["count"]).tolist() == ["3", "2", "1"]
    assert columns["bar"].tolist() == ["true", "false", "true"]


def test_what_is_known_in_one_row_of_a_galaxy_counts_and_two_values_do_not(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("targetid,kind,z\n1,,0.5\n1,E,\n2,S,0.25\n")
    targetid, columns = label_tables.read(path, ["kind", "z"])
    assert (
        targetid.tolist() == [1, 2] and columns["kind"].tolist() == ["E", "S"] and columns["z"].tolist() == [0.5, 0.25]
    )
    path.write_text("targetid,kind\n1,E\n1,S\n")
    with pytest.raises(BadInput, match="targetid 1 has kind E and S; expected one value"):
        label_tables.read(path, ["kind"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.txt", "targetid,z", "labels are read from files that end in .fits"),
        ("x.csv", "id,z\n1,2\n", "no column targetid, which says what galaxy a row is about; it has id, z"),
        ("x.csv", "targetid,y\n1,2\n", "no column z, which this model learns from; it has targetid, y"),
        ("x.csv", "targetid,z\n1.5,2\n", "column targetid is float64, expected a whole number in every row"),
        ("x.csv", "targetid,z\n1,2\n,3\n", "column targetid is int64, expected a whole number in every row"),
        ("x.parquet", "no", "cannot be read as Parquet"),
        ("x.fits", "no", "x.fits"),
    ],
)
def test_what_is_no_table_of_labels_is_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=words) as caught:
        label_tables.read(tmp_path / name, ["z"])
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_vectors_are_no_labels(tmp_path):
    pandas.DataFrame({"targetid": [1, 2], "z": [[1.0, 2.0], [3.0]]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(BadInput, match="column z holds lists, expected one number or text a row"):
        label_tables.read(tmp_path / "x.parquet", ["z"])
    with pytest.raises(BadInput, match="no such file"):
        label_tables.read(tmp_path / "y.parquet", ["z"])
