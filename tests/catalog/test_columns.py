"""Tables with few different texts: kept as numbers, read as text by everyone."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from skyloom.catalog import columns

NAMES = ["coadd-b.fits", "coadd-a.fits", "never.fits"]
NUMBER = np.array([1, 0, -1, 1, 1, 0, 0])
TEXTS = ["coadd-a.fits", "coadd-b.fits", "", "coadd-a.fits", "coadd-a.fits", "coadd-b.fits", "coadd-b.fits"]
COLUMNS = {name: columns.GALAXIES[name] for name in ("targetid", "spectrum_file")}


def write(path, file):
    columns.write_table(path, {"targetid": np.arange(len(file)), "spectrum_file": file}, COLUMNS)
    return path


def test_numbered_names_are_read_as_text_by_every_reader(tmp_path):
    path = write(tmp_path / "t.parquet", columns.numbered(NUMBER, NAMES))
    assert pq.read_schema(path).field("spectrum_file").type == pa.string()
    assert pd.read_parquet(path)["spectrum_file"].tolist() == TEXTS
    assert duckdb.sql(f"SELECT spectrum_file FROM '{path}' ORDER BY targetid").fetchall() == [(x,) for x in TEXTS]
    assert Table.read(path)["spectrum_file"].tolist() == TEXTS
    codes = pq.read_table(path, read_dictionary=["spectrum_file"])["spectrum_file"]
    assert pa.types.is_dictionary(codes.type) and codes.to_pylist() == TEXTS


def test_numbered_and_written_out_names_give_the_same_bytes(tmp_path, monkeypatch):
    for rows in (2**17, 3):
        monkeypatch.setattr(columns, "_ROWS", rows)
        one = write(tmp_path / "one.parquet", columns.numbered(NUMBER, NAMES)).read_bytes()
        assert one == write(tmp_path / "two.parquet", np.array(TEXTS)).read_bytes()
        assert pq.read_metadata(tmp_path / "one.parquet").num_row_groups == -(-len(TEXTS) // rows)
        assert pd.read_parquet(tmp_path / "one.parquet")["spectrum_file"].tolist() == TEXTS


@pytest.mark.parametrize("number", [np.zeros(0, int), np.full(3, -1)])
def test_a_column_without_names_and_one_without_rows_are_written(tmp_path, number):
    path = write(tmp_path / "t.parquet", columns.numbered(number, []))
    assert Table.read(path)["spectrum_file"].tolist() == [""] * len(number)
    assert pq.read_metadata(path).num_rows == len(number)


def test_a_galaxy_costs_its_number_and_not_its_name():
    column = columns.numbered(np.arange(100_000) % 40, [f"coadd-sv3-bright-{i:090d}.fits" for i in range(40)])
    assert column.nbytes < 5 * 100_000
