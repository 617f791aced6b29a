"""Noiseless spectra against speclite, closed forms, and published line wavelengths."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import Planck18
from speclite.filters import load_filters

from skyloom.mock.universe import spectra
from skyloom.mock.universe.light import active, cosmology, dust, igm, ssp
from skyloom.mock.universe.light.photometry import FastPhotometry, flux_scale, photometry
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.light.wavelengths import OBSERVED, PIXEL
from skyloom.mock.universe.population.draw import draw

# vacuum, Angstrom: NIST atomic spectra database
LINES = {
    "[OII]": 3729.875,
    "H-beta": 4862.683,
    "[OIII]": 5008.240,
    "H-alpha": 6564.614,
    "[SII]": 6718.295,
}


@pytest.fixture(scope="module")
def galaxies(grid):
    return draw(48, np.random.default_rng(5), {}, grid, "bgs")


@pytest.fixture(scope="module")
def noiseless(galaxies, grid):
    return spectra.spectra(galaxies, Templates.of(grid), np.linspace(0, 0.1, len(galaxies)))


def test_photometry_agrees_with_speclite(noiseless):
    table = load_filters("decam2014-g", "decam2014-r", "decam2014-z").get_ab_magnitudes(
        noiseless.astype(float) * 1e-17 * units.erg / units.s / units.cm**2 / units.Angstrom, OBSERVED * units.Angstrom
    )
    expected = np.stack([table[name] for name in table.colnames], axis=1)
    np.testing.assert_allclose(22.5 - 2.5 * np.log10(photometry(noiseless)), expected, atol=0.001)


def test_fast_photometry_selects_by_the_magnitude_that_the_spectrum_has(galaxies, grid):
    plain = spectra.spectra(galaxies, Templates.of(grid), np.zeros(len(galaxies)))
    magnitudes = 22.5 - 2.5 * np.log10(photometry(plain))
    p = galaxies
    fast = FastPhotometry.of(grid).magnitudes(
        p.sfh, p.log_z, p.log_z_gas, p.log_u, p.redshift, p.av, p.dust_slope, p.av_birth, active.nucleus_of(p)
    )
    assert np.sqrt(np.mean((fast - magnitudes) ** 2)) < 0.005
    np.testing.assert_allclose(fast[:, 1], p.mag_r, atol=1e-6)


def test_emission_lines_are_within_a_pixel_of_their_vacuum_wavelength(galaxies, grid):
    forming = galaxies[~galaxies.quenched & (galaxies.agn_type == 0)]
    with_lines = Templates.of(grid)
    without = replace(with_lines, grid=replace(grid, lines=np.zeros_like(grid.lines)))
    ebv = np.zeros(len(forming))
    narrow = replace(forming, sigma_gas=np.full(len(forming), 40.0))
    lines = spectra.spectra(narrow, with_lines, ebv) - spectra.spectra(narrow, without, ebv)
    for rest in LINES.values():
        for spectrum, z in zip(lines, forming.redshift, strict=True):
            expected = rest * (1 + z)
            near = np.flatnonzero(np.abs(OBSERVED - expected) < 6 * PIXEL)
            if expected < OBSERVED[-1] - 20:
                assert abs(OBSERVED[near[np.argmax(spectrum[near])]] - expected) <= PIXEL


def test_no_line_flux_is_lost():
    flux = np.zeros((2, len(OBSERVED)), "f4")
    line_flux = np.array([[3.0, 5.0], [0.0, 2.0]])
    spectra.add_lines(flux, line_flux, np.array([5008.24, 6564.61]), np.array([0.1, 0.3]), np.array([50.0, 150.0]))
    np.testing.assert_allclose(flux.sum(axis=1) * PIXEL, line_flux.sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose((flux[1] * OBSERVED).sum() / flux[1].sum(), 6564.61 * 1.3, rtol=1e-6)


def test_wide_lines_keep_their_flux_too():
    flux = np.zeros((3, len(OBSERVED)), "f4")
    sigma = np.array([40.0, 250.0, 450.0])
    spectra.add_lines(flux, np.full((3, 1), 7.0), np.array([5008.24]), np.full(3, 0.9), sigma)
    np.testing.assert_allclose(flux.sum(axis=1) * PIXEL, 7.0, rtol=1e-4)
    mean = 5008.24 * 1.9
    variance = (flux * (OBSERVED - mean) ** 2).sum(axis=1) / flux.sum(axis=1)
    # a Gaussian over pixels has the variance of a pixel on top
    expected = (mean * sigma / spectra.C_KM_S) ** 2 + PIXEL**2 / 12
    np.testing.assert_allclose(variance, expected, rtol=0.01)


def test_velocity_dispersion_widens_a_line_by_its_variance():
    pixel = np.arange(401) - 200
    line = np.exp(-0.5 * (pixel / 4.0) ** 2).astype("f4")
    sigma = np.array([30.0, 120.0, 250.0])
    wide = spectra.broaden(np.tile(line, (3, 1)), sigma, 50.0)
    variance = (wide * pixel**2).sum(axis=1) / wide.sum(axis=1)
    expected = 16 + np.maximum(sigma**2 - spectra.MILES_SIGMA**2, 0) / 50.0**2
    np.testing.assert_allclose(variance, expected, rtol=0.01)
    np.testing.assert_allclose(wide.sum(axis=1), line.sum(), rtol=1e-5)


def test_redshift_keeps_the_energy(grid):
    """A flat rest-frame continuum of 1 Lsun/Angstrom arrives as L / (4 pi d^2 (1+z)), whatever the wavelength."""
    z = np.array([0.05, 0.3, 0.55])
    flat = np.ones((3, len(grid.wavelength)), "f4")
    seen = spectra.redshift(flat, grid.wavelength, z) * (flux_scale(z) / (1 + z))[:, None]
    distance = Planck18.luminosity_distance(z).to_value(units.cm)
    expected = 3.828e33 / (4 * np.pi * distance**2 * (1 + z)) / 1e-17
    np.testing.assert_allclose(seen, np.repeat(expected[:, None], len(OBSERVED), axis=1), rtol=1e-4)


def test_tabulated_cosmology_is_astropys():
    z = np.array([0.003, 0.02, 0.25, 0.6, 3.0])
    np.testing.assert_allclose(
        cosmology.luminosity_distance(z), Planck18.luminosity_distance(z).to_value("Mpc"), rtol=1e-4
    )
    np.testing.assert_allclose(cosmology.age(z), Planck18.age(z).to_value("Gyr"), rtol=1e-4)
    np.testing.assert_allclose(
        1 / cosmology.kpc_per_arcsec(z), Planck18.arcsec_per_kpc_proper(z).to_value("arcsec/kpc"), rtol=1e-4
    )


def test_dust_curves_have_their_defining_values():
    assert dust.calzetti(np.array(5500.0)) == pytest.approx(1.0, abs=0.01)
    # E(B-V) is A_B - A_V, with R_V = 4.05
    assert dust.calzetti(np.array(4400.0)) - dust.calzetti(np.array(5500.0)) == pytest.approx(1 / 4.05, abs=0.02)
    assert dust.milky_way(np.array(5494.5)) == pytest.approx(3.1, abs=0.01)
    # A/E(B-V) in DECam g, r, z of the Legacy Surveys (Schlafly & Finkbeiner 2011), a curve 14 % lower by calibration
    ratio = dust.milky_way(np.array([4770.0, 6420.0, 9140.0])) / [3.214, 2.165, 1.211]
    np.testing.assert_allclose(ratio / ratio[1], 1, atol=0.12)


def test_milky_way_dust_reddens(galaxies, grid):
    templates = Templates.of(grid)
    clear, dusty = (photometry(spectra.spectra(galaxies, templates, np.full(48, e))) for e in (0.0, 0.1))
    loss = 2.5 * np.log10(clear / dusty) / 0.1
    # what catalogues take off again: A/E(B-V) in DECam g, r, z of the Legacy Surveys (Schlafly & Finkbeiner 2011)
    np.testing.assert_allclose(np.median(loss, axis=0), [3.214, 2.165, 1.211], rtol=0.07)
    assert (np.diff(loss, axis=1) < 0).all()


@pytest.fixture(scope="module")
def quasar_grid(grid_path):
    return ssp.load_grid(grid_path, spectra.rest_range("qso"))


@pytest.fixture(scope="module")
def quasars(quasar_grid):
    return draw(60, np.random.default_rng(8), {}, quasar_grid, "qso")


@pytest.fixture(scope="module")
def parts(quasars, quasar_grid):
    return spectra.components(quasars, Templates.of(quasar_grid), np.zeros(len(quasars)))


def test_a_spectrum_is_its_host_and_its_nucleus(quasars, quasar_grid, parts):
    total = spectra.spectra(quasars, Templates.of(quasar_grid), np.zeros(len(quasars)))
    np.testing.assert_allclose(total, parts[0] + parts[1], rtol=1e-5)
    assert np.isfinite(total).all() and (total >= 0).all() and quasars.redshift.max() > 2.5


def test_a_nucleus_arrives_with_its_luminosity(quasars, parts):
    """lambda L_lambda at 3000 Angstrom, dust apart, against L_bol / 5.15 by luminosity distance."""
    rows = np.flatnonzero((quasars.redshift > 0.4) & (quasars.redshift < 2.0) & (quasars.agn_ebv == 0))
    at = 3000 * (1 + quasars.redshift[rows])
    flux = np.array([np.interp(w, OBSERVED, parts[1][i]) for w, i in zip(at, rows, strict=True)])
    distance = Planck18.luminosity_distance(quasars.redshift[rows]).to_value(units.cm)
    luminosity = flux * 1e-17 * at * 4 * np.pi * distance**2 / cosmology.LSUN_IN_ERG_S
    # Balmer continuum and Fe II add about a quarter
    ratio = luminosity * 5.15 / quasars.l_agn[rows]
    assert np.median(ratio) == pytest.approx(1.2, abs=0.15)


def test_hosts_are_dark_beyond_the_lyman_limit_and_absorbed_before_it(quasars, quasar_grid):
    far = quasars[np.argsort(quasars.redshift)[-4:]]
    z = 3.9
    far = replace(far, redshift=np.full(4, z), agn_type=np.zeros(4, "i1"))
    host, nucleus = spectra.components(far, Templates.of(quasar_grid), np.zeros(4))
    assert (host[:, OBSERVED < 912 * (1 + z)] == 0).all() and (nucleus == 0).all()
    near = replace(far, igm_seed=far.igm_seed + 1)
    forest = (OBSERVED > 1050 * (1 + z)) & (OBSERVED < 1200 * (1 + z))
    red = OBSERVED > 1300 * (1 + z)
    other = spectra.components(near, Templates.of(quasar_grid), np.zeros(4))[0]
    assert not np.allclose(host[:, forest], other[:, forest], rtol=0.1)
    # beyond there are but the wings of damped systems
    np.testing.assert_allclose(host[:, red], other[:, red], rtol=0.05)
    through = igm.transmission(OBSERVED, far.redshift, far.igm_seed)
    assert (host[:, forest][through[:, forest] < 1e-3] < 3e-3 * host[:, red].max()).all()


def test_narrow_lines_of_nuclei_are_where_hydrogen_is(galaxies, grid):
    """A Seyfert's [O III] and [Ne V] at their vacuum wavelengths, with the flux that the luminosity demands."""
    n = len(galaxies)
    seyferts = replace(
        galaxies,
        l_agn=np.full(n, 1e11),
        agn_type=np.ones(n, "i1"),
        agn_hardness=np.ones(n),
        agn_lines=np.zeros(n),
        redshift=np.full(n, 0.3),
        sigma_v=np.full(n, 150.0),
    )
    nucleus = spectra.components(seyferts, Templates.of(grid), np.zeros(n))[1]
    for rest in (5008.24, 3426.85):
        near = np.abs(OBSERVED - rest * 1.3) < 15
        centre = (nucleus[:, near] * OBSERVED[near]).sum(axis=1) / nucleus[:, near].sum(axis=1)
        np.testing.assert_allclose(centre, rest * 1.3, atol=0.2)
    near = np.abs(OBSERVED - 5008.24 * 1.3) < 25
    expected = 1e11 / 3500 * flux_scale(np.array([0.3]))[0]
    np.testing.assert_allclose(nucleus[:, near].sum(axis=1) * PIXEL, expected, rtol=0.005)


def test_templates_reach_both_ends_of_every_target():
    for target, (low, high) in spectra.Z_RANGES.items():
        start, stop = spectra.rest_range(target)
        assert start * (1 + high) < OBSERVED[0] and stop * (1 + low) > OBSERVED[-1], target
