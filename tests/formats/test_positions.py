"""A user's list of positions, in the forms that astronomers keep one in."""

import numpy as np
import pytest
from astropy.table import Column, MaskedColumn, Table

from skyloom.core.errors import BadInput
from skyloom.formats import positions

RA, DEC, Z = [10.5, 359.25, 20.0], [-1.5, 40.0, 80.0], [0.1, np.nan, 0.3]


@pytest.mark.parametrize("ending", ["fits", "fits.gz", "parquet", "csv", "ecsv", "vot", "xml"])
def test_every_form_gives_the_same_rows(tmp_path, ending):
    path = tmp_path / f"mine.{ending}"
    form = positions.FORMS[f".{ending}"]
    Table({"ID": ["a 1", "b", "ü" if "fits" not in ending else "c"], "RA": RA, "Dec": DEC, "z": Z}).write(
        path, format=form
    )
    table = positions.read(path, "ra", "dec", "id", "Z")
    np.testing.assert_allclose(table["ra"], RA)
    np.testing.assert_allclose(table["dec"], DEC)
    np.testing.assert_allclose(table["z_spec"], Z)
    assert list(table["identifier"])[:2] == ["a 1", "b"]


def test_without_names_and_redshifts_rows_are_numbered_and_masked_values_are_nan(tmp_path):
    path = tmp_path / "mine.csv"
    table = Table({"ra": MaskedColumn(RA, mask=[0, 1, 0]), "dec": DEC, "number": Column([7, 8, 9])})
    table.write(path, format="ascii.csv")
    found = positions.read(path, "ra", "dec", None, None)
    assert list(found["identifier"]) == ["0", "1", "2"] and np.isnan(found["z_spec"]).all()
    assert np.isnan(found["ra"]).tolist() == [False, True, False]
    assert list(positions.read(path, "ra", "dec", "number", None)["identifier"]) == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("mine.csv", "ra,decl\n1,2\n", "no column dec, found ra, decl"),
        ("mine.csv", "ra,dec\n12h30m,2\n", "column ra holds <U6, expected numbers"),
        ("mine.csv", "ra,dec\n", "no rows"),
        ("mine.fits", "ra,dec\n", "cannot be read as a table"),
        ("mine.txt", "1 2\n", "positions are read from files that end in .fits"),
        ("none.csv", None, "no such file"),
    ],
)
def test_what_is_no_list_of_positions_is_one_line(tmp_path, name, text, line):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=line) as raised:
        positions.read(tmp_path / name, "ra", "dec", None, None)
    assert "\n" not in str(raised.value)
