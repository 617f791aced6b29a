"""Images come out of every form of file as they were put in, and what is broken is said in one line."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.formats import galaxiesml, legacy
from skyloom.formats.image_files import parquet
from skyloom.formats.image_files.readers import image_size, images_in, read_catalog, read_rows
from tests.formats import images as made

RNG = np.random.default_rng(5)
N, ROWS = 7, [4, 0, 6, 2]
LEGACY = RNG.normal(0.1, 0.05, (N, 3, 152, 152)).astype("f4")
GRIZ = RNG.normal(0.1, 0.05, (N, 4, 20, 20)).astype("f4")
HSC = RNG.normal(0.1, 0.05, (N, 5, 24, 24)).astype("f4")
KEY = {"release": np.array([9010, 9011, 9010, 0, 9012, 8000, 9010]), "brickid": np.arange(N) + 5, "objid": np.arange(N)}
SKY = {"ra": 10 + np.arange(N) * 0.1, "dec": np.full(N, -3.0)}
GRIZ_BANDS, HSC_BANDS = ("des-g", "des-r", "des-i", "des-z"), ("HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y")


def stein(path):
    columns = {**SKY, **KEY, "flux": np.outer(np.arange(N) + 1, [1, 2, 3]), "ebv": np.full(N, 0.05)}
    legacy.write_cutouts(path, LEGACY, {**columns, "z_spec": np.where(np.arange(N) % 2, -99, 0.25)})
    return path


def hsc_file(path, dtype="f4", size=64):
    images = RNG.normal(5, 1, (N, 5, size, size)).astype("f4")
    ids = {"object_id": np.arange(N) + 7 * 10**16, "g_cmodel_mag": np.array([20, 21, 22, np.nan, 99, -9, 22.5])}
    galaxiesml.write_galaxiesml(path, images, {**SKY, **ids, "specz_redshift": np.arange(N) * 0.1})
    if dtype != "f4":
        with h5py.File(path, "a") as file:
            del file["image"]
            file["image"] = images.astype(dtype)
    return path, images / np.float32(galaxiesml.COUNTS_PER_NANOMAGGY)


FORMS = {
    "stein.h5": (stein, "image", LEGACY),
    "astroclip.h5": (lambda path: made.astroclip_hdf5(path, LEGACY, groups=3), "image", LEGACY),
    "astroclip.parquet": (lambda path: made.astroclip_parquet(path, LEGACY, group=3), "image", LEGACY),
    "multimodal.hdf5": (lambda p: made.multimodal_hdf5(p, GRIZ, GRIZ_BANDS, 0.262), "image", GRIZ[:, [0, 1, 3]]),
    "multimodal.parquet": (lambda p: made.multimodal_parquet(p, GRIZ, GRIZ_BANDS, 0.262), "image", GRIZ[:, [0, 1, 3]]),
    "hsc.hdf5": (lambda path: made.multimodal_hdf5(path, HSC, HSC_BANDS, 0.168), "hsc_image", HSC),
    "hsc.parquet": (lambda path: made.multimodal_parquet(path, HSC, "GRIZY", 0.168), "hsc_image", HSC),
    "structs.parquet": (
        lambda path: made.multimodal_parquet(path, HSC[:, ::-1], "YZIRG", 0.168, structs=True, pixels="array", group=2),
        "hsc_image",
        HSC,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_images_are_those_that_were_put_in_whatever_the_form(tmp_path, name):
    write, modality, images = FORMS[name]
    path = write(tmp_path / name)
    assert list(images_in(path)) == [modality] and image_size(path, modality) == images.shape[-1]
    found = read_rows(path, modality, ROWS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, images[ROWS], rtol=0 if modality == "image" else 1e-6)
    assert read_rows(path, modality, []).shape[0] == 0
    catalog = read_catalog(path, modality)
    assert {len(values) for values in catalog.values()} == {N}
    with pytest.raises(BadInput, match=rf"{name}: asked for rows 0..7, the file has 7 rows"):
        read_rows(path, modality, [0, N])
    other = "hsc_image" if modality == "image" else "image"
    with pytest.raises(BadInput, match=f"{name}: no images in bands .*; found {modality} "):
        read_rows(path, other, [0])


def test_astroclip_images_are_turned_back_as_their_export_turned_them(tmp_path):
    corner = np.zeros((1, 3, 152, 152), "f4")
    corner[0, 1, 3, 100] = 1  # band r, low y, high x
    path = made.astroclip_hdf5(tmp_path / "a.h5", corner, groups=1)
    with h5py.File(path) as file:
        assert file["0/images"][0, 100, 3, 1] == 1 and file["0/images"].shape == (1, 152, 152, 3)
    np.testing.assert_array_equal(read_rows(path, "image", [0]), corner)


@pytest.mark.parametrize(("dtype", "tolerance"), [("f2", 1e-3), ("f8", 1e-7)])
def test_images_of_other_precision_are_read(tmp_path, dtype, tolerance):
    path, images = hsc_file(tmp_path / "5x64x64_testing_with_morphology.hdf5", dtype)
    np.testing.assert_allclose(read_rows(path, "hsc_image", ROWS), images[ROWS], rtol=tolerance)
    path = made.astroclip_parquet(tmp_path / "train-0.parquet", LEGACY, column=made.fixed)
    np.testing.assert_allclose(read_rows(path, "image", ROWS), LEGACY[ROWS], atol=5e-4)


def test_catalogues_say_what_the_files_know(tmp_path):
    table = read_catalog(stein(tmp_path / "images_npix152_000000000_001000000.h5"), "image")
    np.testing.assert_array_equal(table["ra"], SKY["ra"])
    np.testing.assert_array_equal(table["flux_z"], 3 * (np.arange(N) + 1))
    assert np.isnan(table["redshift"][1::2]).all() and (table["redshift"][::2] == 0.25).all()
    # bits of DESI's TARGETID: 22 of objid, 20 of brickid, then release
    assert table["identifier"][1] == (9011 << 42) + (6 << 22) + 1 and table["identifier"][3] == -1
    assert set(table["split"]) == {""}
    path, _ = hsc_file(tmp_path / "5x64x64_validation_with_morphology.hdf5")
    table = read_catalog(path, "hsc_image")
    np.testing.assert_allclose(table["flux_g"][[0, 1, 6]], 10 ** (0.4 * (22.5 - np.array([20, 21, 22.5]))))
    assert np.isnan(table["flux_g"][3:6]).all() and np.isnan(table["flux_r"]).all()
    assert table["identifier"].tolist() == [7 * 10**16 + row for row in range(N)]
    assert set(table["split"]) == {"validation"}
    path = made.multimodal_hdf5(
        tmp_path / "m.hdf5", GRIZ, GRIZ_BANDS, 0.262, RA=SKY["ra"], FLUX_R=SKY["dec"], EBV=KEY["objid"]
    )
    table = read_catalog(path, "image")
    assert table["identifier"][3] == "0421p022-3" and (table["flux_r"] == -3).all() and np.isnan(table["dec"]).all()
    np.testing.assert_array_equal(table["ra"], SKY["ra"])
    path = made.astroclip_hdf5(tmp_path / "a.h5", LEGACY, groups=1)
    assert read_catalog(path, "image")["split"].tolist() == ["train"] * 5 + ["test"] * 2  # int(0.8 * 7)
    path = made.astroclip_parquet(tmp_path / "test-00000-of-00026.parquet", LEGACY)
    assert set(read_catalog(path, "image")["split"]) == {"test"}


def test_rows_of_one_large_row_group_are_decoded_once_and_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH", 8)
    images = RNG.normal(0, 1, (64, 5, 6, 6)).astype("f4")
    path = made.multimodal_parquet(tmp_path / "Npix=12.parquet", images, "grizy", 0.168)
    rows = images_in(path)["hsc_image"]._rows
    started, batches = [], rows.file.iter_batches
    rows.file = type("Watched", (), {"iter_batches": lambda self, *a, **k: started.append(a) or batches(*a, **k)})()
    found = [read_rows(path, "hsc_image", range(first, first + 12)) for first in range(0, 60, 12)]
    np.testing.assert_allclose(np.concatenate(found), images[:60], rtol=1e-5)
    assert len(started) == 1 and len(rows.held) == 8
    np.testing.assert_allclose(read_rows(path, "hsc_image", [3, 50, 1]), images[[3, 50, 1]], rtol=1e-5)


def test_a_null_image_is_nan_so_that_it_is_put_aside(tmp_path):
    small = LEGACY[..., :20, :20]
    path = made.astroclip_parquet(tmp_path / "a.parquet", small)
    table = pq.read_table(path)
    images = table["image"].to_pylist()
    images[2] = None
    table = table.set_column(0, "image", pa.array(images, table.schema.field("image").type))
    pq.write_table(table, path)
    found = read_rows(path, "image", [1, 2])
    assert np.isnan(found[1]).all() and np.array_equal(found[0], small[1])


def spectra_only(path):
    with h5py.File(path, "w") as file:
        file["flux"], file["targetid"] = np.ones((3, 50)), np.arange(3)
    return path


def test_files_without_images_have_none(tmp_path):
    assert images_in(spectra_only(tmp_path / "a.h5")) == {}
    assert images_in(made.astroclip_hdf5(tmp_path / "b.h5", [None] * 4, spectra=np.ones((4, 9)))) == {}
    pq.write_table(pa.table({"flux": [[1.0, 2.0]], "targetid": [1]}), tmp_path / "c.parquet")
    assert images_in(tmp_path / "c.parquet") == {}
    (tmp_path / "d.fits").write_bytes(b"anything")
    assert images_in(tmp_path / "d.fits") == {}
    # of another camera: pixels of half the size
    other = made.multimodal_parquet(tmp_path / "e.parquet", HSC, "GRIZY", 0.1)
    assert images_in(other) == {}
    with pytest.raises(
        BadInput, match=r"e.parquet: no images in bands g, r, i, z, y of 0.168 arcsec .* found no images"
    ):
        read_catalog(other, "hsc_image")


def damaged(path, name, values=None):
    """The file with a dataset taken out or replaced."""
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values
    return path


def ragged(path):
    images = [[[[0.0] * 3] * 4] * 4, [[[0.0] * 3] * 5] * 5]
    pq.write_table(pa.table({"image": images, "targetid": [1, 2], "redshift": [0.1, 0.2]}), path)
    return path


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def turned_bands(path):
    made.multimodal_hdf5(path, HSC, HSC_BANDS, 0.168)
    with h5py.File(path, "a") as file:
        file["image_band"][3] = file["image_band"][3][::-1]
    return path


@pytest.mark.parametrize(
    ("name", "write", "modality", "says"),
    [
        ("a.h5", lambda p: p, "image", "a.h5: No such file or directory, expected a file with images"),
        ("a.h5", lambda p: cut_short(stein(p)), "image", "a.h5: not a readable HDF5 file"),
        ("a.parquet", lambda p: cut_short(made.astroclip_parquet(p, LEGACY)), "image", "cannot be read as Parquet"),
        ("a.h5", lambda p: damaged(stein(p), "brickid"), "image", "a.h5: no dataset brickid, found"),
        (
            "a.h5",
            lambda p: damaged(stein(p), "images", LEGACY[:, :2]),
            "image",
            r"images has shape \(7, 2, 152, 152\), ex",
        ),
        (
            "a.h5",
            lambda p: damaged(hsc_file(p)[0], "image", np.ones((7, 5, 8, 9))),
            "hsc_image",
            r"shape \(7, 5, 8, 9\)",
        ),
        ("a.h5", lambda p: damaged(hsc_file(p)[0], "image", np.ones((7, 5, 8, 8), "u1")), "hsc_image", "holds uint8"),
        (
            "a.h5",
            lambda p: damaged(made.astroclip_hdf5(p, LEGACY), "1/images", LEGACY),
            "image",
            r"dataset 1/images has shape \(7, 3, 152, 152\), expected \(N, S, S, 3\)",
        ),
        (
            "a.h5",
            lambda p: damaged(made.astroclip_hdf5(p, LEGACY), "1/images"),
            "image",
            "a.h5: no dataset 1/images, found",
        ),
        (
            "a.h5",
            lambda p: damaged(made.astroclip_hdf5(p, LEGACY), "0/redshifts", np.ones(2)),
            "image",
            r"0/redshifts has shape \(2,\), expected \(4,\) \(a row an image\)",
        ),
        ("a.h5", turned_bands, "hsc_image", "a.h5: the bands of dataset image_band differ from row to row"),
        ("a.parquet", ragged, "image", "a.parquet: images of column image differ in shape; expected one for all"),
        (
            "a.parquet",
            lambda p: made.astroclip_parquet(p, LEGACY[:, :2]),
            "image",
            r"a.parquet: column image has shape \(2, 152, 152, 2\), expected \(N, S, S, 3\)",
        ),
    ],
)
def test_a_broken_file_is_one_line_that_says_what_is_wrong(tmp_path, name, write, modality, says):
    path = write(tmp_path / name)
    with pytest.raises(BadInput, match=says) as error:
        read_catalog(path, modality)
        read_rows(path, modality, [0, 1])
    assert "\n" not in str(error.value)
