"""The spectrographs against desispec, closed forms, and a real exposure."""

import numpy as np
import pytest
from desispec.resolution import Resolution

from skyloom.core.errors import BadInput
from skyloom.formats.desi import ARMS, NDIAG, STEP, arm_wavelength, read_coadd
from skyloom.mock.instruments.spectrograph import instrument, residuals
from skyloom.mock.survey import measure
from skyloom.mock.universe.light.wavelengths import OBSERVED

REAL = "coadd-sv3-dark-26065.fits"


@pytest.fixture(scope="module")
def sky(sky_path):
    return instrument.load_sky(sky_path)


@pytest.fixture(scope="module")
def spectra():
    """Twelve smooth spectra with a narrow line in each arm, 1e-17 erg/s/cm2/Angstrom."""
    level = np.geomspace(0.2, 50, 12)[:, None]
    flux = level * (OBSERVED / 6000) ** np.linspace(-1, 1, 12)[:, None]
    flux[:, np.searchsorted(OBSERVED, [4500.0, 6700.0, 9000.0])] *= 5
    return flux.astype("f4")


@pytest.fixture(scope="module")
def observed(spectra, sky):
    many = np.repeat(spectra, 6, axis=0)
    return instrument.observe(many, np.full(len(many), 0.3), 200.0, sky, np.random.default_rng(4))


@pytest.mark.parametrize("arm", ARMS)
def test_noise_is_what_ivar_says(observed, arm):
    good = observed.mask[arm] == 0
    pull = ((observed.flux[arm] - observed.truth[arm]) * np.sqrt(observed.ivar[arm]))[good]
    assert abs(pull.mean()) < 0.01 and pull.std() == pytest.approx(1, abs=0.01)
    # also where little light arrives and where much does
    for rows in (slice(0, 12), slice(60, 72)):
        part = ((observed.flux[arm] - observed.truth[arm]) * np.sqrt(observed.ivar[arm]))[rows][good[rows]]
        assert abs(part.mean()) < 0.02 and part.std() == pytest.approx(1, abs=0.02)


def test_inverse_variance_does_not_hold_the_noiseless_spectrum(sky):
    """1 / ivar, less that of blank sky, is the object's photons as seen: no better known than the flux itself."""
    galaxies = np.full((40, len(OBSERVED)), 8.0, "f4")
    galaxies[:, ::2] *= np.random.default_rng(2).uniform(0.5, 1.5, (40, 1)).astype("f4")
    bright, blank = (
        instrument.observe(flux, np.full(40, 0.3), 200.0, sky, np.random.default_rng(seed))
        for seed, flux in ((5, galaxies), (6, np.zeros_like(galaxies)))
    )
    good = (bright.mask["r"] == 0) & (bright.ivar["r"] > 0)
    empty = np.nanmedian(1 / np.where(blank.ivar["r"] > 0, blank.ivar["r"], np.nan)[:, :1000], axis=0)
    photons = (1 / np.where(good, bright.ivar["r"], np.nan))[:, :1000] - empty
    error = photons / np.nanmedian(photons, axis=0) - bright.truth["r"][:, :1000] / np.median(
        bright.truth["r"][:, :1000], axis=0
    )
    assert np.nanstd(error) > 0.1


@pytest.mark.parametrize("arm", ARMS)
def test_defects_are_masked_and_without_weight(observed, arm):
    bad = observed.mask[arm] != 0
    assert 1e-5 < bad.mean() < 0.02
    assert (observed.ivar[arm][bad] == 0).all() and (observed.ivar[arm][~bad] > 0).all()
    hits = (observed.mask[arm] & instrument.BADPIX) != 0
    usual = 1 / np.sqrt(np.median(observed.ivar[arm], axis=1, keepdims=True))
    excess = (observed.flux[arm] - observed.truth[arm]) / usual
    assert np.median(excess[hits]) > 5


@pytest.mark.parametrize("arm", ARMS)
def test_line_spread_is_the_resolution_matrix_that_desispec_applies(spectra, arm):
    start, npix = ARMS[arm]
    first = round((start - OBSERVED[0]) / STEP)
    matrix = Resolution(instrument.resolution(arm).astype(float))
    expected = matrix.dot(spectra[3, first : first + npix].astype(float))
    edge = NDIAG // 2
    ours = instrument.line_spread(spectra, arm)[3]
    np.testing.assert_allclose(ours[edge:-edge], expected[edge:-edge], rtol=1e-5)


@pytest.mark.parametrize("arm", ARMS)
def test_line_spread_has_its_width_and_keeps_the_flux(arm):
    wavelength = arm_wavelength(arm)
    centre = len(wavelength) // 2
    line = np.zeros((1, len(OBSERVED)), "f4")
    line[0, np.argmin(np.abs(OBSERVED - wavelength[centre]))] = 1.0
    spread = instrument.line_spread(line, arm)[0]
    assert spread.sum() == pytest.approx(1, rel=1e-5) and spread.argmax() == centre
    variance = (spread * (wavelength - wavelength[centre]) ** 2).sum()
    # a Gaussian over pixels has the variance of a pixel on top
    assert variance == pytest.approx(instrument.LINE_SPREAD[arm] ** 2 + STEP**2 / 12, rel=0.01)


def test_fluxes_are_calibrated_on_stars(spectra, sky):
    """A star's light, the share PSF_TO_FIBRE of which is in the fibre, comes out with all its flux."""
    share = np.full(len(spectra), instrument.PSF_TO_FIBRE)
    ratio = instrument.observe(spectra, share, 100.0, sky, np.random.default_rng(0)).truth["r"]
    ratio /= instrument.line_spread(spectra, "r")
    # but for a calibration that errs by a per cent or two, and slowly with wavelength
    assert ratio.mean() == pytest.approx(1, abs=0.01) and 0.5 < ratio.std() / residuals.CALIBRATION < 1.5
    assert np.abs(np.diff(ratio, axis=1)).max() < 2e-4


def test_longer_exposures_gain_as_the_square_root_where_photons_rule(sky):
    bright = np.full((1, len(OBSERVED)), 300.0, "f4")
    short, long = (
        instrument.observe(bright, np.ones(1), time, sky, np.random.default_rng(1)).ivar["r"]
        for time in (500.0, 2000.0)
    )
    assert np.median(long[long > 0]) / np.median(short[short > 0]) == pytest.approx(4, rel=0.02)


def test_sky_keeps_the_airglow_lines(sky, sky_path):
    wavelength, lines = np.loadtxt(sky_path).T
    for arm, brightness in sky.items():
        inside = (wavelength > ARMS[arm][0]) & (wavelength < arm_wavelength(arm)[-1])
        expected = lines[inside].sum() * 0.1
        assert ((brightness - instrument.dark_continuum(arm)).sum() * STEP) == pytest.approx(expected, rel=0.02)
    # [OI] 5578.9 in vacuum is the brightest line of the b arm
    assert arm_wavelength("b")[np.argmax(sky["b"])] == pytest.approx(5578.9, abs=STEP)


def test_a_sky_file_that_is_none_gets_one_line(tmp_path):
    path = tmp_path / "spec-sky.dat"
    path.write_text("no numbers\n")
    with pytest.raises(BadInput, match="spec-sky.dat: expected two columns"):
        instrument.load_sky(path)
    path.write_text("4000 1\n4000.1 1\n")
    with pytest.raises(BadInput, match="runs 4000..4000 Angstrom, expected 3600..9824"):
        instrument.load_sky(path)


def correlation(pulls, chosen, lag):
    """Correlation of pulls (N, n) of chosen pixels (n,) with those `lag` pixels away."""
    both = chosen[lag:] & chosen[:-lag]
    return (pulls[:, lag:] * pulls[:, :-lag])[:, both].mean() / np.square(pulls[:, chosen]).mean()


def test_sky_residuals_show_on_bright_airglow_and_nowhere_else(sky):
    faint = np.full((150, len(OBSERVED)), 0.1, "f4")
    dark = instrument.observe(faint, np.ones(150), instrument.EXPOSURES["dark"], sky, np.random.default_rng(3))
    pulls = np.where(dark.mask["z"] == 0, (dark.flux["z"] - dark.truth["z"]) * np.sqrt(dark.ivar["z"]), 0)
    brightness = sky["z"] / instrument.dark_continuum("z")
    bright, plain = brightness > 10, brightness < 1.1
    assert np.square(pulls[:, bright]).mean() == pytest.approx(1, abs=0.03)
    assert 0.04 < correlation(pulls, bright, 1) < 0.25 and abs(correlation(pulls, plain, 1)) < 0.01
    # a shift of the lines has opposite signs on their flanks
    assert correlation(pulls, bright, 3) < -0.03


def test_sky_residuals_are_a_per_cent_of_bright_lines(sky):
    left, variance = residuals.sky_residual(4000, sky["z"], "z", np.random.default_rng(5))
    bright = sky["z"] > 10 * instrument.dark_continuum("z")
    share = left[:, bright].std(axis=0) / sky["z"][bright]
    assert 0.003 < np.median(share) < 0.015
    np.testing.assert_allclose(left.var(axis=0)[bright], variance[bright], rtol=0.15)
    continuum = left[:, ~bright].mean(axis=1) / sky["z"][~bright].mean()
    assert 0.001 < continuum.std() < 0.01


@pytest.mark.parametrize("arm", ARMS)
def test_sensitivity_is_that_of_a_real_exposure(sky, arm, real_spectra):
    """A faint target of sv3-dark-26065: one exposure, TSNR2_LRG 103.1 or 1252 effective seconds."""
    real = read_coadd(real_spectra[REAL], rows=[2])
    faint = np.full((4, len(OBSERVED)), 0.1, "f4")
    mock = instrument.observe(faint, np.ones(4), 1252.0, sky, np.random.default_rng(2))
    wavelength = arm_wavelength(arm)
    for start in np.arange(wavelength[0] + 100, wavelength[-1] - 300, 200):
        part = (wavelength >= start) & (wavelength < start + 200)
        expected, ours = np.median(real.ivar[arm][0][part]), np.median(mock.ivar[arm][:, part])
        assert 0.65 < ours / expected < 1.5, f"{start} Angstrom"


def test_noise_rises_in_the_molecular_bands_as_in_a_real_exposure(sky, real_spectra):
    """Depth of the dips of ivar at 6870, 7600 and 9350 Angstrom in sv3-dark-26065, against what is around them."""
    real = read_coadd(real_spectra[REAL], rows=[2, 4])
    mock = instrument.observe(np.full((2, len(OBSERVED)), 0.3, "f4"), np.ones(2), 1200.0, sky, np.random.default_rng(2))
    for arm, band, around in (
        ("r", (6866, 6878), (6820, 6860)),
        ("z", (7598, 7614), (7665, 7690)),
        ("z", (9305, 9340), (9200, 9280)),
    ):
        wavelength = arm_wavelength(arm)
        inside, outside = ((wavelength > a) & (wavelength < b) for a, b in (band, around))
        depths = [
            np.median(ivar[:, inside], axis=1).mean() / np.median(ivar[:, outside], axis=1).mean()
            for ivar in (real.ivar[arm], mock.ivar[arm])
        ]
        assert depths[1] < 0.85 and depths[1] / depths[0] == pytest.approx(1, abs=0.45), band


def test_cosmic_rays_are_as_many_as_in_a_real_exposure(sky, real_spectra):
    real = read_coadd(real_spectra[REAL], rows=[2])
    mock = instrument.observe(np.ones((200, len(OBSERVED)), "f4"), np.ones(200), 1009.0, sky, np.random.default_rng(6))
    for arm in ("r", "z"):
        seen, ours = (((mask & instrument.BADPIX) != 0).mean() for mask in (real.mask[arm], mock.mask[arm]))
        assert 0.4 < ours / seen < 2.5, arm


def test_catalogue_fluxes_scatter_by_their_ivar_and_the_model_error():
    flux, depth = np.full((20000, 3), 10.0), np.array([[1000.0, 600.0, 100.0]]) * np.ones((20000, 1))
    seen, ivar = measure.photometry(flux, np.full(20000, 0.8), depth, np.random.default_rng(5))
    np.testing.assert_allclose(ivar, depth / 2)
    expected = np.sqrt(1 / ivar[0] + (measure.MODEL_ERROR * 10) ** 2)
    np.testing.assert_allclose((seen - flux).std(axis=0), expected, rtol=0.03)
