"""Spectral indices against closed forms."""

import numpy as np
import pytest

from skyloom.analysis.mock_validation import indices
from skyloom.analysis.mock_validation.indices import INDICES, VACUUM
from skyloom.formats.desi import WAVELENGTH


def everything(flux, z, good=None):
    return indices.measure(WAVELENGTH, np.atleast_2d(flux), np.atleast_1d(z), good)


@pytest.mark.parametrize("z", [0.0, 0.083, 0.31])
def test_flat_spectrum_has_no_lines(z):
    """f_lambda = const: D4000n is the ratio of mean squared wavelengths of the bands, every equivalent width is 0."""
    found = everything(np.full(7781, 3.0), z)
    low, high = indices.BREAK

    def mean_square(band):
        return (band[1] ** 3 - band[0] ** 3) / 3 / (band[1] - band[0])

    assert found["d4000"][0] == pytest.approx(mean_square(high) / mean_square(low), rel=1e-4)
    for name in INDICES:
        covered = VACUUM * INDICES[name].blue[0] * (1 + z) > WAVELENGTH[0]
        assert found[name][0] == pytest.approx(0, abs=1e-9) if covered else np.isnan(found[name][0])


@pytest.mark.parametrize(("name", "rest", "sign"), [("ew_oii", 3728.5, 1), ("ew_oiii", 5008.24, 1),
                                                   ("ew_halpha", 6564.6, 1), ("hdelta_a", 4102.9, -1)])  # fmt: skip
@pytest.mark.parametrize("z", [0.12, 0.4])
def test_width_of_a_gaussian(name, rest, sign, z):
    """A Gaussian of 12 Angstrom rest-frame equivalent width on a sloped continuum measures 12."""
    wavelength, width = WAVELENGTH / (1 + z), 2.0
    line = np.exp(-0.5 * ((wavelength - rest) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    continuum = 2 + 1e-3 * (wavelength - 5000)
    assert everything(continuum * (1 + sign * 12 * line), z)[name][0] == pytest.approx(12, rel=0.01)


def test_break_and_colour_of_a_step():
    """A step of factor 1.7 in f_nu at 3975 Angstrom is D4000n; f_nu ~ lambda^2 gives the colour of its bands."""
    z = 0.2
    rest = WAVELENGTH / (1 + z) / VACUUM
    f_nu = np.where(rest > 3975, 1.7, 1.0)
    assert everything(f_nu / WAVELENGTH**2, z)["d4000"][0] == pytest.approx(1.7, rel=1e-6)
    expected = -2.5 * np.log10(np.mean(np.linspace(4150, 4250, 999) ** 2) / np.mean(np.linspace(5400, 5500, 999) ** 2))
    assert everything(np.ones(7781), z)["colour"][0] == pytest.approx(expected, abs=1e-3)


def test_bad_pixels_do_not_count():
    """Cosmic rays in masked pixels change nothing; a band that is mostly masked gives NaN."""
    rng = np.random.default_rng(0)
    flux, z = np.full(7781, 2.0), 0.15
    good = rng.random(7781) > 0.1
    spoiled = np.where(good, flux, 1e4)
    found, clean = everything(spoiled, z, good[None]), everything(flux, z)
    assert found["ew_halpha"][0] == pytest.approx(clean["ew_halpha"][0], abs=1e-9)
    masked = good & ((WAVELENGTH < 6540 * 1.15) | (WAVELENGTH > 6590 * 1.15))
    assert np.isnan(everything(flux, z, masked[None])["ew_halpha"][0])
    assert np.isnan(everything(flux, 0.6)["ew_halpha"][0])  # redshifted out of the spectrograph


def test_the_same_at_any_redshift():
    """The same galaxy farther away has the same indices."""
    rest = np.linspace(2500, 9000, 20000)
    light = 1 + 0.5 * np.tanh((rest - 4000) / 30) + 3 * np.exp(-0.5 * ((rest - 5008.24) / 2.5) ** 2)
    found = [everything(np.interp(WAVELENGTH / (1 + z), rest, light), z) for z in (0.05, 0.25)]
    for name in ("d4000", "colour", "hdelta_a", "ew_oiii"):
        assert found[0][name][0] == pytest.approx(found[1][name][0], rel=0.01, abs=0.02)
