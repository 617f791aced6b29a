"""HSC images: whole, in nanomaggy, in five bands; what is left out; the stretched form that networks see."""

import csv

import numpy as np
import pytest
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import galaxiesml
from skyloom.nn.images import HSC_SOFTENING, arcsinh_flux
from skyloom.tokens.images import hsc_rgb, tokenize_hsc_images
from skyloom.tokens.store import Shards


def tokenize(survey, shard=0, **options):
    out, quarantine = survey.folder / f"{shard}.h5", survey.folder / f"{shard}.csv"
    tokenize_hsc_images(survey.galaxies, survey.hsc_files, shard, out, quarantine, **options)
    with open(quarantine, newline="") as file:
        return Shards([out]), list(csv.DictReader(file))


def test_a_shard_holds_the_images_of_its_galaxies_in_nanomaggy(survey):
    shards, broken = tokenize(survey, shard=1)
    np.testing.assert_array_equal(shards.targetid, 2000 + np.arange(6))
    assert shards.shapes == {"flux": (5, 64, 64)} and broken == []
    assert (shards.attrs["modality"], shards.attrs["size"], shards.attrs["pixel_arcsec"]) == ("hsc_image", 64, 0.168)
    np.testing.assert_allclose(shards.read(np.arange(6))["flux"], survey.hsc_images[1], rtol=1e-6)


def test_a_star_of_magnitude_20_sums_to_10_nanomaggy(survey):
    counts = np.zeros((6, 5, 64, 64), "f4")
    counts[:, :, 32, 32] = 10 ** (0.4 * (27 - 20))
    columns = {name: np.zeros(6) for name in galaxiesml.REQUIRED}
    galaxiesml.write_galaxiesml(survey.hsc_files[0], counts, columns)
    flux = tokenize(survey)[0].read(np.arange(6))["flux"]
    np.testing.assert_allclose(flux.sum(axis=(2, 3)), 10.0, rtol=1e-6)


def test_galaxies_without_an_hsc_image_are_counted_and_not_quarantined(survey, caplog):
    survey.catalogue([5, 6, 7], [""] * 3, [-1] * 3, ["cutouts-0.h5", "", "cutouts-0.h5"], [4, -1, 1], [0, 0, 0])
    with caplog.at_level("INFO"):
        shards, broken = tokenize(survey)
    np.testing.assert_array_equal(shards.targetid, [7, 5])
    assert broken == [] and "1 of 3 galaxies have no hsc" in caplog.text
    survey.catalogue([5], [""], [-1], [""], [-1], [0])
    assert tokenize(survey)[0].shapes == {"flux": (5, 64, 64)}  # a shard without galaxies still says what it holds


def test_broken_images_are_quarantined_with_the_reason(survey):
    images = survey.hsc_images[0]
    images[0, 4] = np.nan
    images[1, 0] = 0
    images[2, 1, :40] = np.nan
    images[3, 2, 10:20] = np.inf
    survey.rewrite()
    shards, broken = tokenize(survey)
    assert [(row["targetid"], row["file"], row["reason"]) for row in broken] == [
        ("1000", "hsc-0.h5", "band y is NaN everywhere"),
        ("1001", "hsc-0.h5", "band g is zero everywhere"),
        ("1002", "hsc-0.h5", "fewer than 0.5 of the pixels of band r are finite"),
    ]
    np.testing.assert_array_equal(shards.targetid, [1003, 1004, 1005])
    flux = shards.read(np.array([0]))["flux"][0]
    assert not flux[2, 10:20].any() and np.isfinite(flux).all()


def test_images_of_two_sizes_and_wrong_settings_are_refused(survey):
    columns = {name: np.zeros(6) for name in galaxiesml.REQUIRED}
    galaxiesml.write_galaxiesml(survey.hsc_files[1], np.ones((6, 5, 127, 127), "f4"), columns)
    with pytest.raises(BadInput, match=r"hsc-1\.h5: images of 127 pixels, expected 64 as in .*hsc-0\.h5"):
        tokenize(survey, shard=1)
    with pytest.raises(BadConfig, match="minimum_good: 2 is not"):
        tokenize(survey, minimum_good=2)
    assert not (survey.folder / "1.h5").exists()


def test_the_stretch_is_linear_in_the_noise_and_logarithmic_in_the_light():
    softening = torch.tensor(HSC_SOFTENING, dtype=torch.float64).view(5, 1, 1)
    for factor, expected in ((1e-3, 1e-3), (-1e-3, -1e-3), (1e5, np.log(2e5))):
        stretched = arcsinh_flux(factor * softening.expand(5, 2, 2))
        np.testing.assert_allclose(stretched, expected, rtol=1e-6)


def test_the_colour_image_is_red_for_i_and_the_same_surface_brightness_looks_as_in_legacy_pixels():
    flux = np.zeros((2, 5, 1, 1), "f4")
    flux[0, 2] = flux[1, 0] = 0.05
    rgb = hsc_rgb(flux)
    assert rgb[0].argmax() == 0 and rgb[1].argmax() == 2
    assert rgb.min() >= 0 and rgb.max() <= 1
    others = np.concatenate([flux[:, :3], np.full((2, 2, 1, 1), 9.0, "f4")], axis=1)
    assert np.array_equal(hsc_rgb(others), rgb)  # z, y: not shown
