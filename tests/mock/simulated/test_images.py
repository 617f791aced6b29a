"""Pictures of simulated galaxies: the light they hold, how their numbers lie, and that nothing else changes."""

import numpy as np
import pytest

from skyloom.mock.instruments.images.profiles import moffat_noise_area
from skyloom.mock.simulated import images
from skyloom.mock.simulated.generate import make_part
from tests.mock.simulated.conftest import CONFIG, read_part


def test_numbers_lie_tile_by_tile_and_can_be_put_back():
    pixels = np.arange(2 * 3 * 24 * 24, dtype="f4").reshape(2, 3, 24, 24)
    numbers = images.tiled(pixels)
    assert numbers.shape == (2, images.SIZE)
    first = numbers[0, : 3 * 64].reshape(3, 8, 8)
    np.testing.assert_array_equal(first, pixels[0, :, :8, :8])
    np.testing.assert_array_equal(images.untiled(numbers), pixels)


def test_a_part_with_pictures_is_the_same_besides(part_path, grid_path, spherex_paths, tmp_path):
    make_part(3, 1, CONFIG | {"images": True}, grid_path, spherex_paths, tmp_path / "seen.h5")
    plain, seen = read_part(part_path).columns, read_part(tmp_path / "seen.h5").columns
    assert set(seen) - set(plain) == {"lsst_image"}
    for name, values in plain.items():
        np.testing.assert_array_equal(values, seen[name])
    pictures = images.untiled(seen["lsst_image"])
    assert pictures.shape == (300, 3, 24, 24) and np.isfinite(pictures).all()
    # small, isolated ones hold the light of their magnitudes, but for the wings; a pixel's noise is 1 in these units
    depth, fwhm = np.array(images.LSST.depth), np.array(images.LSST.fwhm)
    area = moffat_noise_area(fwhm, images.LSST.moffat_beta) / images.LSST.pixel_scale**2
    noise = 10 ** (0.4 * (22.5 - depth)) / 5 / np.sqrt(area)
    flux = (np.sinh(pictures) * noise[:, None, None]).sum((2, 3))
    true = 10 ** (0.4 * (22.5 - plain["lsst"][:, 1:4]))
    bright = (plain["lsst"][:, 3] < 23.5) & (plain["lsst"][:, 3] > 21.5)
    ratio = np.median((flux / true)[bright], axis=0)
    assert (ratio > 0.9).all() and (ratio < 1.2).all()
    # the sky: pixels in the corners of faint ones scatter by the noise
    corner = pictures[plain["lsst"][:, 3] > 24.5][:, :, :4, :4]
    assert 1.4826 * np.median(np.abs(corner - np.median(corner))) == pytest.approx(0.9, abs=0.15)
