"""Noise estimated from the flux: as large as what was put in, whatever else is in a spectrum."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from skyloom.formats.noise import constant, estimate_ivar
from skyloom.formats.spectrum_files.readers import read
from tests.paths import SHARED

PIXELS = 6000


def spectra(count=24, sigma=0.7, seed=1):
    """Smooth continua with white noise."""
    rng = np.random.default_rng(seed)
    place = np.arange(PIXELS)
    continuum = 5 + rng.uniform(0, 3, (count, 1)) * np.sin(place / rng.uniform(300, 900, (count, 1)))
    return continuum, rng.normal(0, sigma, (count, PIXELS))


def ivar(flux, good=None):
    return estimate_ivar(flux, np.ones(flux.shape, bool) if good is None else good)


def test_white_noise_comes_out_within_five_per_cent():
    continuum, noise = spectra()
    found = ivar(continuum + noise)
    assert np.median(found) ** -0.5 == pytest.approx(0.7, rel=0.05)
    assert (np.median(found, axis=1) ** -0.5 == pytest.approx(0.7, rel=0.15)) and (found > 0).all()


def test_noise_that_changes_along_the_spectrum_is_followed():
    continuum, noise = spectra()
    scale = np.where(np.arange(PIXELS) < PIXELS // 2, 1, 4)
    found = ivar(continuum + noise * scale)
    for part, sigma in ((slice(200, 2800), 0.7), (slice(3200, 5800), 2.8)):
        assert np.median(found[:, part]) ** -0.5 == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("width", [2, 3, 5, 10, 15])
def test_of_smoothed_noise_the_inverse_variance_is_that_of_means_over_many_pixels(width):
    continuum, noise = spectra()
    smoothed = uniform_filter1d(noise, width, axis=1)
    many = smoothed.reshape(len(noise), -1, 500).mean(axis=2)  # what a mean over 500 pixels really scatters
    found = ivar(continuum + smoothed)
    assert np.median(found) == pytest.approx(1 / (500 * many.var()), rel=0.35)  # many.var itself is known to 8 %
    assert np.median(found) == pytest.approx(0.7**-2, rel=0.2)


def test_gaussian_smoothing_is_seen_as_well():
    continuum, noise = spectra()
    assert np.median(ivar(continuum + gaussian_filter1d(noise, 4, axis=1))) == pytest.approx(0.7**-2, rel=0.2)


def test_emission_lines_are_no_noise():
    continuum, noise = spectra()
    place, rng = np.arange(PIXELS), np.random.default_rng(3)
    lines = sum(60 * np.exp(-0.5 * ((place - centre) / 3) ** 2) for centre in rng.uniform(0, PIXELS, 12))
    with_lines, without = ivar(continuum + noise + lines), ivar(continuum + noise)
    assert np.median(with_lines) == pytest.approx(np.median(without), rel=0.05)
    assert (with_lines / without).min() > 0.5


def test_gaps_and_padding_count_for_nothing_and_disturb_nobody():
    continuum, noise = spectra()
    flux, good = continuum + noise, np.ones(noise.shape, bool)
    flux[:, 1000:2000] = np.nan
    flux[:, 3000:3200] = 0
    good[:, 4000:4500] = False
    flux[:, 4000:4500] = 1e5
    found = ivar(flux, good)
    for empty in (slice(1000, 2000), slice(3000, 3200), slice(4000, 4500)):
        assert not found[:, empty].any()
    assert np.median(found[found > 0]) ** -0.5 == pytest.approx(0.7, rel=0.05)
    assert (found[:, 900:990] > 0).all() and found.max() < 10 * 0.7**-2


@pytest.mark.parametrize("flux", [np.zeros((2, 500)), np.full((2, 500), np.nan), np.full((2, 5), 1.0)])
def test_without_noise_there_is_no_inverse_variance(flux):
    found = ivar(flux)
    assert found.shape == flux.shape and not found.any()


def test_a_few_pixels_are_enough_to_be_sane():
    flux = np.random.default_rng(5).normal(2, 0.3, (200, 60))
    assert np.median(ivar(flux)) ** -0.5 == pytest.approx(0.3, rel=0.15)


def test_constant_stretches_are_found_whole():
    flux = np.arange(40.0)[None].copy()
    flux[0, 5:16], flux[0, 20:29], flux[0, 30:] = 3, 4, 7
    np.testing.assert_array_equal(np.flatnonzero(constant(flux)[0]), [*range(5, 16), *range(30, 40)])


@pytest.mark.parametrize("width", [1, 10])
def test_of_real_desi_spectra_the_noise_is_that_of_the_pipeline_smoothed_or_not(width):
    paths = sorted([*SHARED.glob("desi_edr_npz/*.npz"), *SHARED.glob("desi_fastspecfit/coadd*.fits")])
    if not paths:
        pytest.skip(f"no DESI spectra in {SHARED}")
    ratios = []
    for path in paths:
        (block,) = read(path)
        good = (block.ivar > 0) & block.good
        found = ivar(uniform_filter1d(np.where(good, block.flux, 0), width, axis=1), good)
        ratios.append(np.sqrt(np.median(block.ivar[good] / found[good])))
    assert len(ratios) == 5 and 0.95 < np.median(ratios) < 1.2 and max(ratios) < 1.45
