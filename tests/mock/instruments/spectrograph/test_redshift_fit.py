"""Redshift fits: known answers, the linear algebra against numpy, the mock's own spectra, released spectra."""

import numpy as np
import pytest
from astropy.table import Table

from skyloom.formats.desi import ARMS, WAVELENGTH, Coadd, arm_wavelength, combine_arms, read_coadd, read_redrock
from skyloom.mock.instruments.spectrograph import instrument, redshift_fit
from skyloom.mock.instruments.spectrograph.redshift_fit import NODATA, SMALL_DELTA_CHI2, Fitter, Scan, prior, rebinning
from skyloom.mock.layout import TARGETS
from skyloom.mock.universe import spectra
from skyloom.mock.universe.light import ssp
from skyloom.mock.universe.light.active import NUCLEUS_FIELDS, continuum
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.programs import fibre_share
from tests.paths import SHARED

EDR = SHARED / "desi_edr_npz"
needs_edr = pytest.mark.skipif(not EDR.is_dir(), reason="no spectra of the early release beside the project")
RIGHT = 0.0033  # |dz| / (1+z): 1000 km/s


@pytest.fixture(scope="module")
def whole_grid(grid_path):
    return ssp.load_grid(grid_path)


@pytest.fixture(scope="module")
def fitter(whole_grid):
    return Fitter.of(whole_grid)


def observed(target, count, config, whole_grid, sky_path, seed=5):
    """Redshifts, flux and ivar (count, 7781) of targets seen through a fibre under the program's exposure."""
    rng = np.random.default_rng(seed)
    galaxies = draw(count, rng, config, whole_grid, target)
    host, nucleus = spectra.components(galaxies, Templates.of(whole_grid), np.full(count, 0.03))
    caught = host * fibre_share(galaxies)[:, None] + nucleus * instrument.PSF_TO_FIBRE
    exposure = next(instrument.EXPOSURES[program] for program, kinds in TARGETS.items() if target in kinds)
    seen = instrument.observe(caught, np.ones(count), exposure, instrument.load_sky(sky_path), rng)
    wavelength = {arm: arm_wavelength(arm) for arm in ARMS}
    coadd = Coadd(Table({"TARGETID": np.arange(count)}), wavelength, seen.flux, seen.ivar, seen.mask)
    return galaxies.redshift, *combine_arms(coadd)


def right(table, z):
    return np.abs(table["Z"] - z) / (1 + z) < RIGHT


def template_sum(fitter, z, coefficients):
    """A spectrum (7781,) made of the fitter's galaxy templates."""
    templates = fitter.scans[0].templates
    basis = [np.interp(WAVELENGTH / (1 + z), templates.wavelength, row) for row in templates.basis]
    return (np.asarray(coefficients) @ np.array(basis)).astype("f4")


def test_rebinning_keeps_the_sum_and_shares_pixels_on_edges():
    start = np.log(WAVELENGTH[0] - 0.4)
    matrix = rebinning(start, 2.5e-4)
    assert np.allclose(np.asarray(matrix.sum(axis=0)), 1, atol=1e-6)
    # every bin but the last is as wide as it should be
    widths = matrix @ np.full(len(WAVELENGTH), 0.8)
    edges = np.exp(start + 2.5e-4 * np.arange(len(widths) + 1))
    assert np.allclose(widths[:-2], np.diff(edges)[:-2], rtol=1e-3)


def test_the_scan_is_the_least_squares_fit_at_every_redshift(fitter):
    scan = fitter.scans[0]
    rng = np.random.default_rng(3)
    ivar = rng.uniform(0.5, 2, len(WAVELENGTH)).astype("f4")
    flux = template_sum(fitter, 0.21, [3, 1, 0, 0, 0, 2, 1, 0, 0]) + rng.standard_normal(len(WAVELENGTH)).astype("f4")
    chi2 = scan.chi2(ivar, ivar * flux)
    templates, step = scan.templates, scan.templates.step
    weight, weighted = scan.rebin @ ivar, scan.rebin @ (ivar * flux)
    for place in (100, 780, 2500):
        start = np.log(WAVELENGTH[0] - 0.4) - scan.log_shift[place]
        basis = templates.binned(start, step, len(weight)).astype(float)
        normal = (basis * weight) @ basis.T + np.diag(prior(templates, ivar, ivar * flux))
        plain = -(basis @ weighted) @ np.linalg.solve(normal, basis @ weighted)
        assert chi2[place] == pytest.approx(plain, rel=2e-4)
    assert scan.log_shift[np.argmin(chi2)] == pytest.approx(np.log(1.21), abs=1.5 * step)


@pytest.mark.parametrize("z", [0.0153, 0.2, 0.5707, 1.2345])
def test_noise_alone_decides_how_far_a_redshift_is_off(fitter, z):
    clean = template_sum(fitter, z, [4, 1, 0, 0, 0, 3, 1, 0, 0])
    rng = np.random.default_rng(8)
    noisy = clean + 0.5 * rng.standard_normal((24, len(WAVELENGTH))).astype("f4")
    table = fitter.fit(noisy, np.full(noisy.shape, 4.0, "f4"))
    pull = (table["Z"] - z) / table["ZERR"]
    assert (table["ZWARN"] == 0).all() and (table["SPECTYPE"] == b"GALAXY").all()
    assert 0.6 < np.std(pull) < 1.5 and abs(np.mean(pull)) < 0.7
    assert np.median(table["CHI2"]) == pytest.approx(len(WAVELENGTH), rel=0.02)
    assert (table["NPIXELS"] == len(WAVELENGTH)).all() and (table["NCOEFF"] == 9).all()


@pytest.mark.parametrize(("target", "config", "least"), [
    ("bgs", {"magnitude_limit": 19.5}, 0.97),
    ("bgs", {"magnitude_limit": 20.175}, 0.97),
    ("lrg", {}, 0.95),
    ("elg", {}, 0.85),  # at z > 1.63 their last line is out of sight
    ("qso", {}, 0.8),
])  # fmt: skip
def test_redshifts_of_the_mock_are_right(fitter, whole_grid, sky_path, target, config, least):
    z, flux, ivar = observed(target, 150, config, whole_grid, sky_path)
    table = fitter.fit(flux, ivar)
    good = right(table, z)
    trusted = np.asarray(table["ZWARN"] == 0)
    assert good.mean() >= least
    assert good[trusted].mean() > (0.9 if target == "qso" else 0.98)
    # what is wrong knows it: failures have smaller DELTACHI2 than nearly all successes
    if (~good).any():
        assert np.median(table["DELTACHI2"][~good]) < np.percentile(table["DELTACHI2"][good], 20)
    speed = np.abs(table["Z"] - z)[good] / table["ZERR"][good]
    assert np.median(speed) < 1.5  # .67 if the error were all


def test_a_quasar_is_one(fitter):
    nucleus = dict.fromkeys(NUCLEUS_FIELDS, np.array([0.0]))
    nucleus |= {"l_agn": np.array([1e12]), "agn_type": np.array([2]), "agn_slope": np.array([-1.5])}
    nucleus |= {"agn_width": np.array([4500.0]), "agn_hardness": np.array([1.0])}
    rest = np.arange(1000.0, 7000.0)
    light = np.interp(WAVELENGTH / 2.6, rest, continuum(rest, nucleus)[0])
    rng = np.random.default_rng(4)
    flux = (light / light.mean() + 0.2 * rng.standard_normal(len(WAVELENGTH))).astype("f4")
    row = fitter.fit(flux[None], np.full((1, len(WAVELENGTH)), 25.0))[0]
    assert row["SPECTYPE"] == "QSO" and row["ZWARN"] == 0
    assert row["Z"] == pytest.approx(1.6, abs=2.6 * RIGHT)


def test_a_star_is_one(fitter):
    star = next(scan.templates for scan in fitter.scans if scan.templates.subtype == "A")
    # bluer than any galaxy with such Balmer lines
    light = np.interp(WAVELENGTH, star.wavelength, star.basis[0] - 2 * star.basis[1])
    rng = np.random.default_rng(4)
    flux = (light / light.mean() + 0.02 * rng.standard_normal(len(WAVELENGTH))).astype("f4")
    row = fitter.fit(flux[None], np.full((1, len(WAVELENGTH)), 2500.0))[0]
    assert row["SPECTYPE"] == "STAR" and row["SUBTYPE"] == "A"
    assert abs(row["Z"]) < 0.0005


def test_bad_input_is_told_from_noise(fitter):
    rng = np.random.default_rng(2)
    flux = rng.standard_normal((4, len(WAVELENGTH))).astype("f4")
    ivar = np.ones_like(flux)
    ivar[1] = 0
    flux[2] = np.nan
    flux[3, 100:200], ivar[3, 300:400] = np.nan, np.inf
    table = fitter.fit(flux, ivar)
    assert list(table["ZWARN"] & NODATA) == [0, NODATA, NODATA, 0]
    assert list(table["NPIXELS"]) == [7781, 0, 0, 7581]
    for name in ("Z", "ZERR", "CHI2", "DELTACHI2", "COEFF"):
        assert np.isfinite(table[name]).all(), name
    assert all(table["ZWARN"][[0, 3]] & SMALL_DELTA_CHI2)
    assert len(fitter.fit(flux[:0], ivar[:0])) == 0


def test_a_row_does_not_depend_on_its_company_nor_on_the_day(fitter, whole_grid, sky_path):
    _, flux, ivar = observed("bgs", 12, {}, whole_grid, sky_path)
    together = fitter.fit(flux, ivar)
    alone = Fitter.of(whole_grid).fit(flux[7:8], ivar[7:8])
    for name in together.colnames:
        assert np.array_equal(together[name][7], alone[name][0]), name


def test_templates_end_where_the_grid_does(grid):
    """A grid that was loaded for low redshifts fits no further than it reaches."""
    galaxies = redshift_fit.template_sets(grid)[0]
    assert galaxies.z_range[1] == pytest.approx(WAVELENGTH[0] / grid.wavelength[0] - 1)
    assert Scan(galaxies).log_shift[-1] <= np.log1p(galaxies.z_range[1])


def test_a_released_galaxy_has_the_redshift_of_redrock(fitter, real_spectra):
    redrock = read_redrock(real_spectra["redrock-4-80613-thru20210324.fits"])
    row = fitter.fit(*combine_arms(read_coadd(real_spectra["coadd-4-80613-thru20210324.fits"])))[0]
    assert row["SPECTYPE"] == "GALAXY" and row["ZWARN"] == 0
    assert row["Z"] == pytest.approx(redrock["Z"][0], abs=1e-4)
    assert row["ZERR"] == pytest.approx(redrock["ZERR"][0], rel=0.5)


def test_a_released_single_line_is_fitted_as_well_as_by_redrock(fitter, real_spectra):
    """One line at 5042 Angstrom: redrock says z = .007, others are as good; neither can know."""
    redrock = read_redrock(real_spectra["redrock-special-dark-27247.fits"])
    row = fitter.fit(*combine_arms(read_coadd(real_spectra["coadd-special-dark-27247.fits"])))[0]
    assert row["CHI2"] < redrock["CHI2"][0] + 30


@needs_edr
@pytest.mark.parametrize(("name", "kind"), [("heldout_z020", "GALAXY"), ("heldout_z287", "QSO")])
def test_released_spectra_have_the_redshifts_of_the_survey(fitter, name, kind):
    with np.load(EDR / f"{name}.npz") as data:
        row = fitter.fit(data["flux"][None], np.where(data["mask"], 0, data["ivar"])[None])[0]
        z = float(data["z_true"])
    assert row["SPECTYPE"] == kind and row["ZWARN"] == 0
    assert abs(row["Z"] - z) / (1 + z) < RIGHT


@needs_edr
def test_a_released_spectrum_that_nobody_trusts_is_not_trusted(fitter):
    with np.load(EDR / "heldout_lowconf_z157.npz") as data:
        row = fitter.fit(data["flux"][None], np.where(data["mask"], 0, data["ivar"])[None])[0]
    assert row["ZWARN"] & SMALL_DELTA_CHI2
