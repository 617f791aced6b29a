"""Star-formation histories and energy distributions: what they sum to and where their bins are."""

import numpy as np
import pytest

from skyloom.mock.simulated import histories, sed
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.active import nucleus_of


def test_the_history_sums_to_the_mass_formed(galaxies, grid):
    rate = histories.star_formation(galaxies.sfh, grid.age_edges, galaxies.redshift)
    floor = rate <= histories.FLOOR
    width = 13.8e9 / 117  # yr
    formed = np.where(floor, 0, 10**rate).sum(axis=1) * width
    missing = galaxies.sfh.sum(axis=1) - formed
    past = histories.EDGES[:-1] < cosmology.age(galaxies.redshift)[:, None]
    at_most = (floor & past).sum(axis=1) * 10**histories.FLOOR * width
    assert rate.shape == (len(galaxies), 117)
    assert (np.abs(missing) < 1e-9 * formed + at_most).all()
    assert np.median(missing / formed) < 1e-4


def test_nothing_forms_in_the_future_and_the_present_is_the_population_s(galaxies, grid):
    rate = histories.star_formation(galaxies.sfh, grid.age_edges, galaxies.redshift)
    now = cosmology.age(galaxies.redshift)
    assert (rate[histories.EDGES[:-1] > now[:, None]] == histories.FLOOR).all()
    # the last Gyr, by whole bins, against the label; the bin that 1 Gyr ago lies in counts by its share
    width = histories.EDGES[1]
    share = np.clip((histories.EDGES[1:] - (now[:, None] - 1)) / width, 0, 1)
    recent = (share * np.where(rate > histories.FLOOR, 10**rate, 0)).sum(axis=1) * width
    forming = galaxies.avg_sfr > 0.1
    assert np.median(np.abs(recent / galaxies.avg_sfr - 1)[forming]) < 0.1


def test_a_constant_history_is_constant(grid):
    """1 Msun/yr since the Big Bang, seen at z = 0.5."""
    age = cosmology.age(0.5)
    mass = np.clip(np.minimum(grid.age_edges[1:], age * 1e9) - grid.age_edges[:-1], 0, None)
    rate = histories.star_formation(mass[None], grid.age_edges, np.array([0.5]))[0]
    whole = (histories.EDGES[1:] < age) & (histories.EDGES[:-1] > 3.5)  # the oldest age bin it fills only partly
    np.testing.assert_allclose(rate[whole], 0, atol=0.02)


def test_the_energy_distribution_holds_all_light_of_the_spectrum(fast, grid, galaxies):
    p = galaxies
    light, lines = fast.light(
        p.sfh, p.log_z, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth, nucleus_of(galaxies)
    )
    jansky = 10 ** sed.energy_distribution(grid, light, lines).astype(float)
    # Jy at 10 pc -> Lsun in each bin: 4 pi d^2 F_nu (nu_1 - nu_2)
    frequency = 2.99792458e18 / sed.EDGES
    energy = jansky * 1e-23 * 4 * np.pi * (3.0857e19) ** 2 * -np.diff(frequency) / 3.828e33
    edges = grid.wide.edges
    inside = edges[1:] <= sed.EDGES[-1]
    expected = (light * np.diff(edges))[:, inside].sum(axis=1)
    expected += lines[:, (grid.line_wavelength > 912) & (grid.line_wavelength < 5e4)].sum(axis=1)
    np.testing.assert_allclose(energy.sum(axis=1), expected, rtol=2e-3)


def test_bins_of_the_energy_distribution_are_those_of_the_spectrum(fast, grid, galaxies):
    """Without lines, log10 F_nu between bins of the wide grid to 1 %, and a line in the one bin it belongs to."""
    light, lines = fast.light(
        *(getattr(galaxies, name) for name in ("sfh", "log_z", "log_z_gas", "log_u", "av", "dust_slope", "av_birth"))
    )
    spectrum = 10 ** sed.energy_distribution(grid, light, 0 * lines)
    middle = np.sqrt(sed.EDGES[1:] * sed.EDGES[:-1])
    wavelength = grid.wide.wavelength
    # L_lambda (Lsun/Angstrom) -> Jy at 10 pc
    density = light * wavelength**2 / 2.99792458e18 * 3.828e33 / (4 * np.pi * (3.0857e19) ** 2) / 1e-23
    expected = np.array([np.interp(middle, wavelength, row) for row in density])
    smooth = (middle > 6700) & (middle < 20000)
    assert np.median(np.abs(spectrum / expected - 1)[:, smooth]) < 0.005
    assert np.abs(spectrum / expected - 1)[:, smooth].max() < 0.05
    one = np.zeros_like(lines)
    one[:, np.argmin(np.abs(grid.line_wavelength - 6564.6))] = 1e9
    changed = np.flatnonzero((10 ** sed.energy_distribution(grid, light, one) > 1.0001 * spectrum).any(axis=0))
    assert len(changed) == 1 and sed.EDGES[changed[0]] < 6564.6 < sed.EDGES[changed[0] + 1]


def test_jansky_at_ten_parsec_is_absolute_magnitude(grid):
    """log10 Jy = 3.56 - 0.4 M_AB: a flat spectrum of the Sun's luminosity at 5500 Angstrom, M_V = 4.80 (AB)."""
    # the Sun: 10^(-.4 (4.80 + 48.6)) erg/s/cm2/Hz at 10 pc
    density = 10 ** (-0.4 * (4.80 + 48.6))
    per_angstrom = density * 2.99792458e18 / 5500**2 * 4 * np.pi * (3.0857e19) ** 2 / 3.828e33
    light = np.full((1, len(grid.wide.edges) - 1), 1e6 * per_angstrom, "f4")
    value = sed.energy_distribution(grid, light, np.zeros((1, len(grid.line_wavelength))))
    here = np.searchsorted(sed.EDGES, 5500) - 1
    assert value[0, here] == pytest.approx(3.56 - 0.4 * (4.80 - 15), abs=0.005)
