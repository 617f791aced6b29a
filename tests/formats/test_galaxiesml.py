"""GalaxiesML files: names as published, units by a star of known magnitude, and what is wrong said in one line."""

import h5py
import numpy as np
import pytest

from skyloom.core.errors import BadInput
from skyloom.formats import galaxiesml

# The keys of 5x127x127_training_with_morphology.hdf5, as astrodatalab's own README of the notebooks that made it lists
# them: those of a band once, for g.
PUBLISHED = """coord dec image object_id ra skymap_id specz_dec specz_flag_homogeneous specz_mag_i specz_name specz_ra
specz_redshift specz_redshift_err x_coord x_coord_x x_coord_y y_coord y_coord_x y_coord_y"""
PUBLISHED_OF_A_BAND = """g_central_image_pop_10px_rad g_central_image_pop_15px_rad g_central_image_pop_5px_rad
g_cmodel_mag g_cmodel_magsigma g_ellipticity g_half_light_radius g_isophotal_area g_major_axis g_minor_axis
g_peak_surface_brightness g_petro_rad g_pos_angle g_sersic_index"""


def columns(n: int, first: int = 0) -> dict:
    number = first + np.arange(n)
    return {
        "object_id": 74643924559360902 + number,  # needs all of 64 bits
        "ra": 150 + 0.01 * number,
        "dec": 2 - 0.01 * number,
        "specz_redshift": 0.1 + 0.001 * number,
        "specz_name": np.array([f"mock-{i}" for i in number]).astype("S40"),
        "i_cmodel_mag": 18 + 0.1 * number,
    }


def pictures(n: int, size: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 5, size, size)).astype("f4")


@pytest.fixture
def path(tmp_path):
    with galaxiesml.writer(tmp_path / "hsc.hdf5") as file:
        for first in (0, 4, 8):
            file.append(pictures(4, seed=first), columns(4, first))
    return tmp_path / "hsc.hdf5"


def test_keys_are_the_published_ones(path):
    names = set(PUBLISHED.split())
    names |= {f"{band}{name[1:]}" for band in "grizy" for name in PUBLISHED_OF_A_BAND.split()}
    with h5py.File(path) as file:
        assert set(file) == names and len(names) == 89
        assert file["image"].shape == (12, 5, 64, 64) and file["image"].dtype == "f4"
        assert all(len(file[name]) == 12 for name in file)


def test_blocks_come_back_in_any_order_of_rows(path):
    whole = np.concatenate([pictures(4, seed=first) for first in (0, 4, 8)])
    rows = [11, 3, 3, 0, 7]
    np.testing.assert_array_equal(galaxiesml.read_images(path, rows), whole[rows])
    table = galaxiesml.read_catalog(path)
    for name, values in columns(12).items():
        np.testing.assert_array_equal(table[name], values.astype(str) if values.dtype.kind == "S" else values)
    assert np.isnan(table["g_cmodel_mag"]).all() and not table["specz_flag_homogeneous"].any()
    assert str(table["g_petro_rad"].unit) == "pix" and str(table["i_cmodel_mag"].unit) == "mag"
    assert galaxiesml.read_catalog(path, ["ra"]).colnames == ["object_id", "ra", "dec"]
    assert galaxiesml.image_size(path) == 64


def test_in_one_go_or_in_blocks_the_values_are_the_same_and_so_are_the_bytes_of_the_same_blocks(path, tmp_path):
    whole = np.concatenate([pictures(4, seed=first) for first in (0, 4, 8)])
    galaxiesml.write_galaxiesml(tmp_path / "whole.hdf5", whole, columns(12))
    np.testing.assert_array_equal(galaxiesml.read_images(tmp_path / "whole.hdf5", range(12)), whole)
    galaxiesml.write_galaxiesml(tmp_path / "again.hdf5", whole, columns(12))
    assert (tmp_path / "again.hdf5").read_bytes() == (tmp_path / "whole.hdf5").read_bytes()


def test_a_star_of_the_zero_points_magnitude_is_one_count():
    magnitude = np.array([27.0, 22.0])
    nanomaggy = 10 ** (0.4 * (22.5 - magnitude))
    np.testing.assert_allclose(nanomaggy * galaxiesml.COUNTS_PER_NANOMAGGY, [1.0, 100.0], rtol=1e-12)


def test_the_larger_cutouts_and_no_images_at_all(tmp_path):
    galaxiesml.write_galaxiesml(tmp_path / "large.hdf5", pictures(2, 127), columns(2))
    assert galaxiesml.image_size(tmp_path / "large.hdf5") == 127
    galaxiesml.write_galaxiesml(tmp_path / "none.hdf5", pictures(0), columns(0))
    assert len(galaxiesml.read_catalog(tmp_path / "none.hdf5")) == 0


def test_refuses_to_write_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="64, 127.*not of 80"), galaxiesml.writer(tmp_path / "a.hdf5", size=80):
        pass
    for images, given, line in [
        (pictures(2, 60), columns(2), "images have shape"),
        (pictures(2), {"ra": np.zeros(2)}, "need the columns dec, object_id"),
        (pictures(2), columns(2) | {"g_mag": np.zeros(2)}, "no columns g_mag"),
        (pictures(2), columns(2) | {"g_petro_rad": np.zeros(3)}, "g_petro_rad has shape"),
    ]:
        with pytest.raises(ValueError, match=line), galaxiesml.writer(tmp_path / "a.hdf5") as file:
            file.append(images, given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("image", None, "no dataset image"),
        ("image", np.zeros((12, 3, 64, 64), "f4"), "dataset image has shape"),
        ("dec", None, "no dataset dec"),
        ("dec", np.zeros(11), "dataset dec has shape \\(11,\\), expected \\(12,\\)"),
        ("ra", np.array([b"x"] * 12), "dataset ra holds"),
    ],
)
def test_a_dataset_missing_or_of_the_wrong_kind(path, name, values, line):
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values
    with pytest.raises(BadInput, match=line) as error:
        galaxiesml.read_catalog(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_damaged_files_and_rows_that_are_not_there(path):
    with pytest.raises(BadInput, match=r"rows 3\.\.12, the file has 12 rows"):
        galaxiesml.read_images(path, [3, 12])
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(BadInput, match="not a readable HDF5 file"):
        galaxiesml.read_catalog(path)
