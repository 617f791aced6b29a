"""Images: crops, the published arcsinh RGB against a plain transcription and closed forms, and what is left out."""

import csv

import h5py
import numpy as np
import pytest
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.tokens.crops import centre_crop
from skyloom.tokens.images import arcsinh_rgb, tokenize_images
from skyloom.tokens.store import Shards


def tokenize(survey, shard=0, **options):
    out, quarantine = survey.folder / f"{shard}.h5", survey.folder / f"{shard}.csv"
    tokenize_images(survey.galaxies, survey.cutouts, shard, out, quarantine, **options)
    with open(quarantine, newline="") as file:
        return Shards([out]), list(csv.DictReader(file))


def test_a_shard_holds_raw_and_rgb_crops_of_its_galaxies(survey):
    shards, broken = tokenize(survey, shard=1)
    np.testing.assert_array_equal(shards.targetid, 2000 + np.arange(6))
    assert shards.shapes == {"flux": (3, 96, 96), "rgb": (3, 96, 96)} and broken == []
    assert (shards.attrs["modality"], shards.attrs["crop"]) == ("image", 96)
    batch = shards.read(np.arange(6))
    np.testing.assert_array_equal(batch["flux"], survey.images[1][:, :, 28:124, 28:124])
    np.testing.assert_allclose(batch["rgb"], published_rgb(batch["flux"]), atol=2e-6)


def test_galaxies_without_an_image_are_counted_and_not_quarantined(survey, caplog):
    survey.catalogue([5, 6, 7], ["", "", ""], [-1] * 3, ["cutouts-0.h5", "", "cutouts-0.h5"], [4, -1, 1], [0, 0, 0])
    with caplog.at_level("INFO"):
        shards, broken = tokenize(survey, crop=64)
    np.testing.assert_array_equal(shards.targetid, [7, 5])
    np.testing.assert_array_equal(shards.read(np.array([1]))["flux"][0], survey.images[0][4, :, 44:108, 44:108])
    assert broken == [] and "1 of 3 galaxies have no image" in caplog.text


def test_broken_images_are_quarantined_with_the_reason(survey):
    images = survey.images[0]
    images[0] = np.nan
    images[1] = 0
    images[2, 2] = 0
    images[3, 1, :80] = np.nan  # 52 of the 96 rows of the crop
    images[4, 1, 40:50] = np.inf
    survey.rewrite()
    shards, broken = tokenize(survey)
    assert [(row["targetid"], row["row"], row["reason"]) for row in broken] == [
        ("1000", "0", "band g is NaN everywhere"),
        ("1001", "1", "band g is zero everywhere"),
        ("1002", "2", "band z is zero everywhere"),
        ("1003", "3", "fewer than 0.5 of the pixels of band r are finite"),
    ]
    np.testing.assert_array_equal(shards.targetid, [1004, 1005])
    flux = shards.read(np.array([0]))["flux"][0]
    assert not flux[1, 12:22].any() and np.isfinite(flux).all()
    assert len(tokenize(survey, minimum_good=0.4)[0]) == 3


def test_a_crop_larger_than_the_cutouts_and_wrong_settings_are_refused(survey):
    with pytest.raises(BadConfig, match="crop: 153 pixels is more than the 152 x 152 of the cutouts"):
        tokenize(survey, crop=153)
    with pytest.raises(BadConfig, match="crop: 0 is not a positive"):
        tokenize(survey, crop=0)
    with pytest.raises(BadConfig, match="minimum_good: -1 is not"):
        tokenize(survey, minimum_good=-1)
    assert not (survey.folder / "0.h5").exists()


@pytest.mark.parametrize("shape", [(6, 152, 152, 3), (6, 3, 152), (6, 4, 152, 152)])
def test_images_of_a_wrong_shape_are_refused_by_name(survey, shape):
    with h5py.File(survey.cutouts[0], "a") as file:
        del file["images"]
        file["images"] = np.ones(shape, "f4")
    with pytest.raises(BadInput, match="cutouts-0.h5.*images.*shape") as error:
        tokenize(survey)
    assert "\n" not in str(error.value)
    assert not (survey.folder / "0.h5").exists() and not (survey.folder / "0.csv").exists()


@pytest.mark.parametrize(("side", "size"), [(152, 96), (152, 144), (151, 95), (3, 1), (4, 4)])
def test_the_crop_is_centred(side, size):
    image = np.add.outer(np.arange(side) * 1000, np.arange(side))
    crop = centre_crop(image, size)
    assert crop.shape == (size, size)
    # the mean index is the centre of the image on both axes
    assert crop.mean() == (side - 1) / 2 * 1001


@pytest.mark.parametrize(("side", "size", "first"), [(152, 95, 28), (151, 96, 27)])
def test_a_crop_that_cannot_be_centred_lies_half_a_pixel_towards_the_origin(side, size, first):
    image = torch.arange(side).expand(2, side, side)
    assert centre_crop(image, size)[0, 0, 0] == first
    assert (side - 1) / 2 - (first + (size - 1) / 2) == 0.5


def published_rgb(flux):
    """The viewer's recipe (dr2_rgb: m = 0.03, Q = 20, g 6.0, r 3.4, z 2.2), one image and one band at a time."""
    out = []
    for g, r, z in np.asarray(flux, "f8"):
        bands = {"g": 6.0 * g + 0.03, "r": 3.4 * r + 0.03, "z": 2.2 * z + 0.03}
        intensity = sum(np.maximum(0, band) for band in bands.values()) / 3
        safe = np.where(intensity == 0, 1e-6, intensity)
        factor = np.arcsinh(20 * intensity) / np.sqrt(20) / safe
        out.append([np.clip(bands[name] * factor, 0, 1) for name in "zrg"])
    return np.array(out)


def test_rgb_is_as_published():
    rng = np.random.default_rng(0)
    flux = rng.normal(0, 10 ** rng.uniform(-4, 2, (4, 3, 40, 40))).astype("f4")
    rgb = arcsinh_rgb(flux)
    expected = published_rgb(flux)
    np.testing.assert_allclose(rgb, expected, atol=2e-6)
    assert (expected > 0.9).any() and ((expected > 0.01) & (expected < 0.9)).any()  # the test sees all regimes


def test_rgb_of_empty_sky_is_a_known_grey():
    rgb = arcsinh_rgb(np.zeros((3, 2, 2)))
    assert rgb == pytest.approx(np.arcsinh(20 * 0.03) / np.sqrt(20))


def test_rgb_of_faint_light_is_linear_and_of_bright_light_white():
    faint = np.full((3, 1, 1), 1e-7)
    red, green, blue = (arcsinh_rgb(faint, offset=0.0) / (1e-7 * 20**0.5)).flatten().tolist()
    assert (red, green, blue) == pytest.approx((2.2, 3.4, 6.0), rel=1e-6)
    assert (arcsinh_rgb(np.full((3, 1, 1), 1e6)) == 1).all()


def test_rgb_is_zero_and_finite_where_no_band_has_light():
    rgb = arcsinh_rgb(np.full((3, 2, 2), -5.0))
    assert (rgb == 0).all()


def test_red_is_z_and_blue_is_g():
    flux = np.zeros((3, 1, 1))
    flux[0] = 1
    red, _, blue = arcsinh_rgb(flux).flatten().tolist()
    assert blue > 10 * red
