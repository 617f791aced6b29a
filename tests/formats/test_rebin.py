"""From one set of pixels to another: light, information and lines survive; what was not measured stays empty."""

import numpy as np
import pytest

from skyloom.formats.rebin import in_order, pixel_edges, rebin, shares

GRID = 3600 + 0.8 * (np.arange(7782) - 0.5)
CENTRES = (GRID[1:] + GRID[:-1]) / 2
SDSS = 10 ** (3.56 + 1e-4 * np.arange(4200))


def gaussian(wavelength, centre, sigma, light=1.0):
    return light * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


@pytest.mark.parametrize("step", [0.3, 0.8, 1.37, 9.0])
def test_information_is_neither_made_nor_lost_whatever_the_pixels(step):
    rng = np.random.default_rng(1)
    wavelength = np.arange(4000, 9000, step)
    flux, ivar = rng.normal(3, 1, (2, len(wavelength))), rng.uniform(0.1, 4, (2, len(wavelength)))
    found, weight = rebin(wavelength, flux, ivar, GRID)
    np.testing.assert_allclose(weight.sum(1), ivar.sum(1), rtol=1e-9)
    np.testing.assert_allclose((weight * found).sum(1), (ivar * flux).sum(1), rtol=1e-9)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 5.0])
def test_a_line_keeps_its_place_and_light_from_sdss_pixels_to_ours(sigma):
    for centre in np.linspace(5000.05, 5003.77, 6):
        flux, _ = rebin(SDSS, gaussian(SDSS, centre, sigma)[None], np.ones((1, len(SDSS))), GRID)
        light = flux[0].sum() * 0.8
        assert light == pytest.approx(1, abs=1e-3)
        assert (flux[0] * CENTRES).sum() * 0.8 / light == pytest.approx(centre, abs=0.01)


def test_the_same_pixels_give_the_same_spectrum():
    flux, ivar = np.random.default_rng(2).uniform(1, 2, (2, 1, len(CENTRES)))
    found, weight = rebin(CENTRES, flux, ivar, GRID)
    np.testing.assert_allclose(found, flux, rtol=1e-6)
    np.testing.assert_allclose(weight, ivar, rtol=1e-6)


def test_noise_of_coarse_pixels_stays_as_large_as_it_was():
    """Means over many bins scatter as the inverse variances say."""
    rng = np.random.default_rng(3)
    wavelength = np.arange(4000, 8000, 3.1)
    flux = rng.normal(0, 2, (400, len(wavelength)))
    found, weight = rebin(wavelength, flux, np.full(flux.shape, 0.25), GRID)
    part = slice(1000, 4000)
    mean = (found * weight)[:, part].sum(1) / weight[:, part].sum(1)
    assert mean.std() * np.sqrt(weight[0, part].sum()) == pytest.approx(1, abs=0.1)


def test_what_is_outside_a_file_or_in_a_gap_is_empty():
    wavelength = np.concatenate([np.arange(4000, 5000, 0.8), np.arange(6000, 7000, 0.8)])
    found, weight = rebin(wavelength, np.full((1, len(wavelength)), 5.0), np.ones((1, len(wavelength))), GRID)
    empty = (CENTRES < 3999) | ((CENTRES > 5001) & (CENTRES < 5999)) | (CENTRES > 7001)
    assert not weight[:, empty].any() and not found[:, empty].any()
    assert (weight[:, ~empty] > 0).mean() > 0.995 and found[weight > 0] == pytest.approx(5)


def test_a_bad_pixel_gives_nothing_to_its_neighbours():
    ivar = np.ones((1, len(SDSS)))
    ivar[0, 2000] = 0
    flux = np.ones((1, len(SDSS)))
    flux[0, 2000] = 1e6
    assert rebin(SDSS, flux, ivar, GRID)[0].max() == pytest.approx(1)


def test_pixels_in_any_order_and_doubled_ones_are_as_good_as_rising_ones():
    rng = np.random.default_rng(4)
    wavelength = np.arange(4000, 4100, 0.8)
    flux, ivar = rng.normal(5, 1, (2, len(wavelength))), rng.uniform(1, 2, (2, len(wavelength)))
    backwards = in_order(wavelength[::-1], flux[:, ::-1], ivar[:, ::-1])
    for found, expected in zip(backwards, (wavelength, flux, ivar), strict=True):
        np.testing.assert_allclose(found, expected)
    arms = np.concatenate([wavelength[:80], wavelength[60:] + 1e-12])  # arms that overlap in 20 pixels
    twice = np.concatenate([np.arange(80), np.arange(60, len(wavelength))])
    pixels, mean, total = in_order(arms, flux[:, twice] + np.where(np.arange(len(twice)) < 80, 0, 1), ivar[:, twice])
    np.testing.assert_allclose(pixels, wavelength)
    np.testing.assert_allclose(total, np.where((wavelength >= 4048) & (np.arange(len(wavelength)) < 80), 2, 1) * ivar)
    np.testing.assert_allclose(mean[:, 60:80], flux[:, 60:80] + 0.5)


def test_pixels_end_half_way_to_their_neighbours():
    lower, upper = pixel_edges(np.array([1.0, 2, 3, 10, 11, 13]))
    np.testing.assert_allclose(lower, [0.5, 1.5, 2.5, 9.5, 10.5, 12.25])
    np.testing.assert_allclose(upper, [1.5, 2.5, 3.5, 10.5, 11.5, 13.75])


def test_shares_of_a_pixel_add_up_to_one_inside_and_to_none_outside():
    lower = np.arange(10.0)
    share, index = shares(lower, lower + 1, np.array([2.25, 2.75, 5.5, 6]))
    parts = np.zeros(10)
    np.add.at(parts, index, share)
    np.testing.assert_allclose(parts, [0, 0, 0.75, 1, 1, 1, 0, 0, 0, 0])


def test_pixels_that_are_the_bins_already_stay_as_they_are_and_a_bad_one_takes_nothing_from_its_neighbours():
    grid = 3600 + 0.8 * np.arange(7781)
    flux, ivar = np.random.default_rng(2).normal(5, 1, (2, 3, 7781))
    ivar = np.abs(ivar)
    ivar[1, [0, 5330, 7780]] = 0
    found = rebin(grid, flux, ivar, 3600 + 0.8 * (np.arange(7782) - 0.5))
    np.testing.assert_allclose(found[0], np.where(ivar > 0, flux, 0), rtol=1e-12)
    np.testing.assert_allclose(found[1], ivar, rtol=1e-9)
    assert not found[0][1, [0, 5330, 7780]].any()
