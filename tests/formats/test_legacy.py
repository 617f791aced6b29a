"""Cutout files in the layout of Stein et al.: back as written, row by row; what is wrong is said in one line."""

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from skyloom.core.errors import BadInput
from skyloom.formats import legacy
from skyloom.formats.fits_files import MEND


def make_columns(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "ra": rng.uniform(0, 360, n),
        "dec": rng.uniform(-20, 80, n),
        "flux": rng.exponential(5, (n, 3)),
        "psfsize": np.full((n, 3), 1.2),
        "ebv": np.full(n, 0.03),
        "release": np.full(n, 9010),
        "brickid": 300000 + np.arange(n),
        "objid": np.arange(n),
    }


def make_images(n: int) -> np.ndarray:
    return np.random.default_rng(4).normal(0, 0.01, (n, 3, 152, 152)).astype("f4")


@pytest.fixture
def path(tmp_path) -> Path:
    legacy.write_cutouts(tmp_path / "images_npix152_27247.h5", make_images(8), make_columns(8))
    return tmp_path / "images_npix152_27247.h5"


def test_reads_back_what_it_wrote(path):
    catalog, columns = legacy.read_cutout_catalog(path), make_columns(8)
    assert set(catalog.colnames) == set(columns)
    for name, values in columns.items():
        np.testing.assert_allclose(catalog[name], values, rtol=1e-7)
    assert catalog["ra"].dtype == np.float64 and catalog["brickid"].dtype == np.int32
    images = legacy.read_cutouts(path, range(8))
    np.testing.assert_array_equal(images, make_images(8))
    assert images.dtype == np.float32


def test_reads_rows_in_the_order_asked_for(path):
    rows = [6, 1, 2, 2, 7]
    np.testing.assert_array_equal(legacy.read_cutouts(path, rows), make_images(8)[rows])
    assert legacy.read_cutouts(path, []).shape == (0, 3, 152, 152)


def test_a_few_rows_take_little_memory(tmp_path):
    legacy.write_cutouts(tmp_path / "images.h5", make_images(60), make_columns(60))
    tracemalloc.start()
    legacy.read_cutouts(tmp_path / "images.h5", [0, 30, 59])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 3 * 152 * 152 * 4


def test_the_file_is_plain_hdf5_with_the_published_names(path):
    with h5py.File(path) as file:
        assert set(file) == {"images", *make_columns(1)}
        assert file["images"].shape == (8, 3, 152, 152) and file["images"].dtype == "f4"
        assert file["flux"].shape == (8, 3)


def test_same_cutouts_same_bytes(path, tmp_path):
    legacy.write_cutouts(tmp_path / "again.h5", make_images(8), make_columns(8))
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_unused_columns_of_a_real_file_do_no_harm(path):
    with h5py.File(path, "a") as file:
        file["source_type"] = np.array([b"REX"] * 8)
    assert "source_type" not in legacy.read_cutout_catalog(path).colnames


@pytest.mark.parametrize(
    ("images", "changed", "line"),
    [
        (np.zeros((2, 3, 152, 151)), {}, "images have shape"),
        (np.zeros((2, 3, 152, 152)), {"flux": np.zeros((2, 4))}, "flux has shape"),
        (np.zeros((2, 3, 152, 152)), {"ra": np.zeros(3)}, "ra has shape"),
    ],
)
def test_refuses_to_write_what_does_not_fit(tmp_path, images, changed, line):
    with pytest.raises(ValueError, match=line):
        legacy.write_cutouts(tmp_path / "images.h5", images, {**make_columns(2), **changed})
    assert not list(tmp_path.iterdir())


def bad_line(path: Path) -> str:
    """Both readers refuse the images of this file with the same line."""
    messages = set()
    for read in (legacy.read_cutout_catalog, lambda path: legacy.read_cutouts(path, [0])):
        with pytest.raises(BadInput) as caught:
            read(path)
        messages.add(str(caught.value))
    (message,) = messages
    assert "\n" not in message and str(path) in message
    return message


def replace(path: Path, name: str, values: np.ndarray | None) -> None:
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values


@pytest.mark.parametrize(
    "shape", [(8, 3, 100, 100), (8, 152, 152, 3), (8, 1, 152, 152), (3, 152, 152), (8, 3, 152, 152, 1)]
)
def test_images_of_the_wrong_shape(path, shape):
    replace(path, "images", np.zeros(shape, "f4"))
    assert f"dataset images has shape {shape}, expected (N, 3, 152, 152)" in bad_line(path)


def test_images_that_are_no_numbers_or_not_there(path):
    replace(path, "images", np.array([b"x"] * 8))
    assert "dataset images holds |S1, expected numbers" in bad_line(path)
    replace(path, "images", None)
    assert "no dataset images, found brickid, dec" in bad_line(path)


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("brickid", None, "no dataset brickid"),
        ("flux", np.zeros((8, 4)), "dataset flux has shape (8, 4), expected (8, 3)"),
        ("ra", np.zeros(7), "dataset ra has shape (7,), expected (8,)"),
        ("dec", np.array([b"+12:00"] * 8), "dataset dec holds |S6, expected numbers"),
    ],
)
def test_catalogue_column_missing_or_wrong(path, name, values, line):
    replace(path, name, values)
    with pytest.raises(BadInput, match=r"images_npix152_27247\.h5: ") as caught:
        legacy.read_cutout_catalog(path)
    assert line in str(caught.value)


def test_truncated_absent_or_not_hdf5(path):
    whole = path.read_bytes()
    for length in (0, 50, 3000, len(whole) // 2, len(whole) - 1000):
        path.write_bytes(whole[:length])
        line = bad_line(path)
        assert "not a readable HDF5 file" in line and line.endswith("; " + MEND)
    path.unlink()
    assert "no such file" in bad_line(path)


def test_rows_that_are_not_there(path):
    with pytest.raises(BadInput, match=r"asked for rows 0\.\.8, the file has 8 rows"):
        legacy.read_cutouts(path, [0, 8])


def test_a_targetid_tells_its_source():
    """Bits as desitarget.targets.encode_targetid sets them: objid 22, brickid 20, release 16, mock 1, sky 1, Gaia 4."""
    source = (9011 << 42) | (654321 << 22) | 1234
    targets = [source, source | 1 << 58, source | 1 << 59, 1 << 60 | 5, (654321 << 22) | 1234, 7, -source]
    assert legacy.source_of_target(targets).tolist() == [source, -1, -1, -1, -1, -1, -1]
    assert legacy.source_number([9011], [654321], [1234]).tolist() == [source]
    assert [source >> 42, source >> 22 & 0xFFFFF, source & 0x3FFFFF] == [9011, 654321, 1234]
