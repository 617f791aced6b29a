"""The learning curve: on planted images of which the truth is known."""

import numpy as np
import pytest

from skyloom.analysis.common import tables
from skyloom.analysis.mock_validation import gallery, learning_curve
from skyloom.analysis.mock_validation.gallery import Gallery


def planted(n, seed):
    """Photometry says nothing of the redshift, the width of an image says all, the brighter the nearer."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.05, 0.4, n)
    y, x = np.mgrid[: gallery.SIZE, : gallery.SIZE] - (gallery.SIZE - 1) / 2
    width = 1.5 + 20 * z
    images = np.exp(-0.5 * (x**2 + y**2) / width[:, None, None] ** 2) / (2 * np.pi * width[:, None, None] ** 2) * 60
    images = np.repeat(images[:, None], 3, axis=1) + 0.003 * rng.standard_normal((n, 3, gallery.SIZE, gallery.SIZE))
    flux = 60 * np.exp(0.1 * rng.standard_normal((n, 3)))
    return Gallery(images.astype(np.float16), flux, np.zeros(n), z, np.stack([width, width], axis=1))


def test_a_network_learns_what_images_say(monkeypatch):
    monkeypatch.setattr(learning_curve, "STEPS", (40, 300, 0.5))
    monkeypatch.setitem(learning_curve.TRAINING, "warmup", 5)
    monkeypatch.setitem(learning_curve.TRAINING, "validate_every", 10)
    train, test, held = planted(300, 0), planted(60, 1), planted(40, 2)
    said = learning_curve.predictions(train, held, test, 1)
    scores = {name: learning_curve.difficulty.r2(test.redshift, values) for name, values in said.items()}
    assert scores["image network"] > 0.6 > 0.3 > scores["photometry"]
    assert scores["photometry and true structure"] > 0.9
    one, again = (learning_curve.said(learning_curve.taught(train, held, 1, steps=2), test[:8]) for _ in range(2))
    np.testing.assert_array_equal(one, again)


def test_dust_of_the_milky_way_is_taken_off_images_as_off_photometry():
    some = planted(4, 2)
    some.ebv[:] = 0.1, 0.3, 0.0, 0.2
    seen = learning_curve.dereddened(some, np.arange(4)).numpy()
    magnitudes = -2.5 * np.log10(np.abs(seen).sum((2, 3)) / np.abs(some.images.astype("f4")).sum((2, 3)))
    expected = learning_curve.difficulty.features(np.ones((4, 3)), some.ebv)  # of a flux of 1: 22.5 less extinction
    np.testing.assert_allclose(magnitudes[:, 1], expected[:, 2] - 22.5, atol=1e-4)
    np.testing.assert_allclose(magnitudes[:, 0] - magnitudes[:, 1], expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(magnitudes[:, 1] - magnitudes[:, 2], expected[:, 1], atol=1e-4)


def test_rows_are_tidy_and_the_gain_is_the_difference():
    z = np.linspace(0, 1, 50)
    said = {"image network": z, "photometry": z * 0 + z.mean(), "photometry and true structure": z}
    rows = learning_curve._rows("mock", 2000, said, z, np.random.default_rng(0))
    assert all(list(row) == tables.COLUMNS for row in rows)
    value = {row["model"]: row["value"] for row in rows}
    assert value == pytest.approx({"image network": 1, "photometry": 0, "photometry and true structure": 1, "gain": 1})


def test_none_asked_for_is_an_empty_table():
    table = learning_curve.measure([], "mock", 1, {}, "nowhere")
    assert list(table.columns) == tables.COLUMNS and not len(table)


def test_fewer_galaxies_of_the_gallery_are_the_first(grid_path, monkeypatch):
    monkeypatch.setitem(gallery.TARGETS, "targets_per_tile", {"bgs": 40})
    few, more = (gallery.make(count, 1, {"population": "parametric"}, grid_path, first=3) for count in (10, 20))
    np.testing.assert_array_equal(few.images, more[:10].images)
    assert few.images.shape == (10, 3, gallery.SIZE, gallery.SIZE) and np.isfinite(few.shape).all()
