"""Magnitudes with noise: pulls, limits, and that they are finite."""

import numpy as np
import pytest

from skyloom.mock.simulated import noise
from tests.paths import SHARED

PUBLIC = SHARED / "spherex/Point_Source_Sensitivity_v28_base_cbe.txt"


@pytest.mark.parametrize("sigma, bands", [(noise.lsst_sigma, 6), (noise.spherex_sigma, 102)])
def test_measured_fluxes_scatter_by_their_errors(sigma, bands):
    rng = np.random.default_rng(1)
    flux = 10 ** rng.uniform(-2, 4, (3000, bands))
    magnitude, error = noise.observe(flux, sigma, rng)
    softening = sigma(np.zeros(bands))
    pull = (noise.flux_of(magnitude, softening) - flux) / sigma(flux)
    assert np.abs(pull.mean(axis=0)).max() < 0.09 and np.abs(pull.std(axis=0) - 1).max() < 0.07
    assert np.isfinite(magnitude).all() and (error > 0).all()
    bright = flux > 100 * softening
    residual = (magnitude - noise.ab_magnitude(flux)) / error
    assert residual[bright].std() == pytest.approx(1, abs=0.03)


def test_a_source_at_the_depth_has_a_fifth_of_its_flux_as_error():
    limit = noise.nanomaggy(noise.LSST_DEPTH)
    np.testing.assert_allclose(limit / noise.lsst_sigma(limit), 5, rtol=0.01)
    limit = noise.nanomaggy(noise.SPHEREX_DEPTH)
    np.testing.assert_allclose(limit / noise.spherex_sigma(limit), 5, rtol=0.01)


def test_asinh_magnitudes_are_ab_magnitudes_of_what_is_detected_and_finite_elsewhere():
    softening = np.array([0.01])
    flux = np.array([100.0, 1.0, 0.0, -0.05])
    magnitude = noise.asinh_magnitude(flux, softening)
    np.testing.assert_allclose(magnitude[:2], [17.5, 22.5], atol=1e-3)
    assert magnitude[2] == pytest.approx(22.5 - 2.5 * np.log10(0.01)) and (np.diff(magnitude) > 0).all()
    np.testing.assert_allclose(noise.flux_of(magnitude, softening), flux, atol=1e-12)


def test_without_noise_what_cannot_be_seen_is_at_the_faintest():
    assert noise.ab_magnitude(np.array([0.0, 1.0])).tolist() == [noise.FAINTEST, 22.5]


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public sensitivities are not here")
def test_spherex_depths_are_the_public_ones():
    """96 channels there, 102 here: compared at like places of each detector."""
    public = np.loadtxt(PUBLIC)[:, 1].reshape(6, 16)
    ours = noise.SPHEREX_DEPTH.reshape(6, 17)[:, :1]
    assert np.abs(public.mean(axis=1) - ours[:, 0]).max() < 0.06 and np.abs(public - ours).max() < 0.3
