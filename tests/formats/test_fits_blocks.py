"""Tables too large for memory: read a block of rows at a time, the same rows as astropy's."""

import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.formats.fits_files import open_fits, read_table, table_blocks

ROWS = 1000
RNG = np.random.default_rng(2)
KINDS = {"NUMBER": "integers", "NAME": "text"}


@pytest.fixture
def path(tmp_path):
    """A table with every kind of column that DESI's have, unsigned numbers and a vector too, between two others."""
    columns = [
        fits.Column("NUMBER", "K", array=RNG.integers(-(2**60), 2**60, ROWS)),
        fits.Column("BITS", "J", array=RNG.integers(0, 2**32, ROWS).astype("u4"), bzero=2**31),
        fits.Column("NAME", "6A", array=[f"n{n}" for n in range(ROWS)]),
        fits.Column("GOOD", "L", array=RNG.random(ROWS) > 0.5),
        fits.Column("FLUX", "E", array=RNG.normal(size=ROWS), unit="nanomaggy"),
        fits.Column("PAIR", "2D", array=RNG.normal(size=(ROWS, 2))),
    ]
    before, after = (fits.BinTableHDU(Table({"x": np.arange(n)}), name=f"T{n}") for n in (7, 9))
    table = fits.BinTableHDU.from_columns(columns, name="ROWS")
    fits.HDUList([fits.PrimaryHDU(), before, table, after]).writeto(tmp_path / "table.fits")
    return tmp_path / "table.fits"


@pytest.mark.parametrize("rows", [1, 300, 1000, 5000])
def test_blocks_are_the_table(path, rows):
    with open_fits(path) as hdus:
        whole, width = read_table(path, hdus, "ROWS", KINDS), hdus["ROWS"].header["NAXIS1"]
    blocks = list(table_blocks(path, "ROWS", KINDS, size=rows * width + width - 1))
    assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1) and len(blocks) == -(-ROWS // rows)
    for name in whole.colnames:
        found = np.concatenate([block[name] for block in blocks])
        np.testing.assert_array_equal(found, whole[name])
        assert blocks[0][name].dtype.kind == whole[name].dtype.kind and blocks[0][name].unit == whole[name].unit
    some = list(table_blocks(path, "ROWS", KINDS, columns=["FLUX"], size=width * 999))
    assert some[1].colnames == ["FLUX"] and len(some[1]) == 1


def test_no_more_than_a_block_is_in_memory(tmp_path):
    wide = Table({f"X{n}": np.zeros(60_000) for n in range(50)} | {"NUMBER": np.arange(60_000), "NAME": ["a"] * 60_000})
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(wide, name="ROWS")]).writeto(tmp_path / "wide.fits")
    size = (tmp_path / "wide.fits").stat().st_size
    tracemalloc.start()
    total = sum(len(block) for block in table_blocks(tmp_path / "wide.fits", "ROWS", KINDS, ["NUMBER"], size // 40))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 60_000 and peak < size / 4


def test_an_empty_table_is_one_empty_block(tmp_path):
    empty = Table({"NUMBER": np.empty(0, int), "NAME": np.empty(0, "U3")})
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(empty, name="ROWS")]).writeto(tmp_path / "empty.fits")
    (block,) = table_blocks(tmp_path / "empty.fits", "ROWS", KINDS)
    assert len(block) == 0 and block.colnames == ["NUMBER", "NAME"]


def test_what_is_wrong_is_said_before_the_first_block(path):
    with pytest.raises(BadInput, match="HDU ROWS has no column MISSING"):
        next(table_blocks(path, "ROWS", {"MISSING": "numbers"}))
    with pytest.raises(BadInput, match="HDU ROWS column NAME is .*, expected integers"):
        next(table_blocks(path, "ROWS", {"NAME": "integers"}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="truncated|not a readable FITS file"):
        next(table_blocks(path, "ROWS", KINDS))
