"""Noise of images and spectra, the BPT classes and published curves, against closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from skyloom.analysis.mock_validation import lines, pictures, published, scaling, spectroscopy
from skyloom.analysis.mock_validation.observations import full_width


def test_mass_function_of_a_known_density():
    mass = np.random.default_rng(0).uniform(9.5, 11.75, 9000)
    _, density, count = scaling.mass_function(mass, volume=1e6)
    assert count.sum() == 9000
    assert density == pytest.approx(9000 / 2.25 / 1e6, rel=0.15)


def test_pixel_noise_and_correlation():
    """White noise of known scatter, with a galaxy in the middle; smoothed noise is correlated."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((3, 2, 152, 152)) * np.array([0.2, 0.5])[:, None, None]
    y, x = np.mgrid[:152, :152] - 76
    images = noise + 30 * np.exp(-np.hypot(x, y) / 8)
    assert np.median(pictures.pixel_noise(images), axis=0) == pytest.approx([0.2, 0.5], rel=0.04)
    assert np.abs(np.median(pictures.correlation(images))) < 0.06
    # a running mean of weights 1/4, 3/4 has correlation (1/4)(3/4) / (1/16 + 9/16) = .3 at lag 1, 0 beyond
    smoothed = 0.75 * noise[..., 1:] + 0.25 * noise[..., :-1]
    assert np.median(pictures.correlation(smoothed)) == pytest.approx(0.3, abs=0.05)


def test_noise_of_smoothed_spectra():
    """Gaussian smoothing of s pixels leaves 1 / sqrt(2 s sqrt(pi)) of white noise; a slope does not matter."""
    rng = np.random.default_rng(4)
    flux = np.linspace(2, 5, 7781) + gaussian_filter1d(rng.standard_normal((20, 7781)), 3.0, axis=1)
    assert np.median(spectroscopy.noise_of(flux)) == pytest.approx(1 / np.sqrt(2 * 3 * np.sqrt(np.pi)), rel=0.03)


def test_smoothing_bridges_masked_pixels():
    """A masked cosmic ray leaves no trace in a smoothed flat spectrum, an unmasked line keeps its flux."""
    flux, ivar = np.full((1, 7781), 2.0), np.ones((1, 7781))
    flux[0, 3000:3004], ivar[0, 3000:3004] = 0.0, 0.0
    flux[0, 5000] += 10
    found = spectroscopy.smoothed(flux, ivar)[0]
    assert found[2900:3100] == pytest.approx(2.0)
    assert (found - 2).sum() == pytest.approx(10)


def test_full_width():
    y, x = np.mgrid[:43, :43] - 21
    for sigma in (1.3, 2.5):
        assert full_width(np.exp(-0.5 * (x**2 + y**2) / sigma**2)) == pytest.approx(2.3548 * sigma, rel=0.02)


def test_classes_of_the_plane():
    """A metal-poor HII region, a metal-rich one, a composite, a Seyfert, a LINER."""
    x, y = np.array([-1.3, -0.5, -0.2, 0.0, 0.2]), np.array([0.5, -0.6, -0.1, 0.9, 0.4])
    assert list(lines.classes(x, y)) == ["forming", "forming", "composite", "active", "active"]


def test_published_curves():
    """Values that the papers state: knees, zero points, ridge lines."""
    assert published.oxygen_curti(10.02) == pytest.approx(8.793 - 0.28 / 1.2 * np.log10(2))
    assert published.main_sequence(10.0) == pytest.approx(-0.04)
    assert 10 ** published.size_late(np.log10(5e10)) == pytest.approx(7.24, abs=0.01)
    assert published.kauffmann_line(np.array([-1.0]))[0] == pytest.approx(1.3 - 0.61 / 1.05)
    mass = np.linspace(9.5, 11, 7)
    difference = np.log10(published.mass_function_driver(mass) / published.mass_function_baldry(mass))
    assert np.abs(difference).max() < 0.2
    low, middle, high = published.stellar_metallicity(mass)
    assert (low < middle).all()
    assert (middle < high).all()


def test_same_distribution():
    rng = np.random.default_rng(5)
    real = rng.standard_normal(25)
    assert spectroscopy.same_distribution(real, rng.standard_normal((25, 8))) > 0.05
    assert spectroscopy.same_distribution(real, 1.5 + rng.standard_normal((25, 8))) < 1e-4
    assert np.isnan(spectroscopy.same_distribution(real[:5], rng.standard_normal((5, 8))))
