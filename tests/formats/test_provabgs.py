"""The property file: astropy opens it, and what is wrong with one is said in one line."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.formats import provabgs
from skyloom.formats.fits_files import MEND


def make_table(n: int) -> Table:
    rng = np.random.default_rng(5)
    table = Table({"TARGETID": 39627000000000000 + np.arange(n), "HPIX_64": np.full(n, 27247)})
    for name in ("RA", "DEC", "Z_HP", "ZERR", "MAG_G", "MAG_R", "MAG_Z", "FIBMAG_R", "PROVABGS_LOGMSTAR_BF"):
        table[name] = rng.uniform(0, 20, n)
    for name in provabgs.DERIVED:
        table[name] = rng.uniform(0, 1, n)
    table["PROVABGS_THETA_BF"] = rng.uniform(0, 1, (n, 13))
    return table


@pytest.fixture
def path(tmp_path) -> Path:
    provabgs.write_properties(tmp_path / "provabgs.hdf5", make_table(7))
    return tmp_path / "provabgs.hdf5"


@pytest.mark.parametrize("read", [provabgs.read_properties, Table.read], ids=["skyloom", "astropy"])
def test_reads_back_what_it_wrote(path, read):
    found, table = read(path), make_table(7)
    assert found.colnames == table.colnames
    for name in table.colnames:
        np.testing.assert_array_equal(found[name], table[name])


def test_units_are_known(path):
    found = provabgs.read_properties(path)
    assert str(found["TAGE_MW"].unit) == "Gyr" and str(found["AVG_SFR"].unit) == "solMass / yr"
    assert str(found["PROVABGS_LOGMSTAR_BF"].unit) == "dex(solMass)"
    assert found["Z_MW"].unit is None


def test_what_astropy_writes_is_read(tmp_path):
    make_table(4).write(tmp_path / "archive.hdf5", path="anything", serialize_meta=True)
    assert len(provabgs.read_properties(tmp_path / "archive.hdf5")) == 4


def test_same_table_same_bytes(path, tmp_path):
    provabgs.write_properties(tmp_path / "again.hdf5", make_table(7))
    assert (tmp_path / "again.hdf5").read_bytes() == path.read_bytes()


def bad_line(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        provabgs.read_properties(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_truncated_absent_or_without_a_table(path):
    whole = path.read_bytes()
    for length in (0, 100, len(whole) - 500):
        path.write_bytes(whole[:length])
        line = bad_line(path)
        assert "not a readable HDF5 file" in line and line.endswith(MEND)
    damaged = bytearray(whole)
    for place in range(len(whole) // 3, len(whole), 7):  # the compressed rows
        damaged[place] ^= 255
    path.write_bytes(damaged)
    assert bad_line(path).endswith(MEND)
    path.unlink()
    assert "no such file" in bad_line(path)
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(3)
    assert "no table in it, found numbers" in bad_line(path)


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("TARGETID", None, "has no column TARGETID"),
        ("MAG_R", None, "has no column MAG_R"),
        ("TARGETID", np.arange(7.0), "column TARGETID is float64, expected integers"),
        ("Z_HP", np.array([b"0.1"] * 7), "column Z_HP is |S3, expected numbers"),
    ],
)
def test_column_missing_or_of_the_wrong_type(path, name, values, line):
    table = make_table(7)
    table.remove_column(name)
    if values is not None:
        table[name] = values
    with h5py.File(path, "w") as file:
        file["__astropy_table__"] = table.as_array()
    assert line in bad_line(path)


def test_refuses_to_write_a_table_without_its_columns(tmp_path):
    table = make_table(2)
    table.remove_column("MAG_G")
    with pytest.raises(ValueError, match="needs the columns MAG_G"):
        provabgs.write_properties(tmp_path / "provabgs.hdf5", table)
    table.remove_column("TAGE_MW")
    with pytest.raises(ValueError, match="needs the columns TAGE_MW"):
        provabgs.write_companion(tmp_path / "derived.hdf5", table)
    assert not list(tmp_path.iterdir())


def test_any_table_with_the_derived_columns_is_a_companion(path, tmp_path):
    found = provabgs.read_companion(path)
    assert found.colnames == ["TARGETID", "Z_MW", "TAGE_MW", "AVG_SFR"]
    provabgs.write_companion(tmp_path / "derived.hdf5", found)
    np.testing.assert_array_equal(provabgs.read_companion(tmp_path / "derived.hdf5")["Z_MW"], make_table(7)["Z_MW"])


def test_parts_and_chosen_columns(tmp_path):
    table = make_table(9)
    with provabgs.table_writer(tmp_path / "provabgs.hdf5") as file:
        for part in (slice(0, 4), slice(4, 4), slice(4, 9)):
            file.append(table[part])
    np.testing.assert_array_equal(Table.read(tmp_path / "provabgs.hdf5").as_array(), table.as_array())
    some = provabgs.read_properties(tmp_path / "provabgs.hdf5", ["TARGETID", "TAGE_MW"])
    assert some.colnames == ["TARGETID", "TAGE_MW"] and str(some["TAGE_MW"].unit) == "Gyr"
    np.testing.assert_array_equal(some["TAGE_MW"], table["TAGE_MW"])
    with pytest.raises(BadInput, match="has no column LOGMSTAR, found TARGETID"):
        provabgs.read_properties(tmp_path / "provabgs.hdf5", ["LOGMSTAR"])
