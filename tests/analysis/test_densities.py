"""Posteriors of one property: quantiles, scores and PIT against closed forms and scoringrules."""

import numpy as np
import pytest
import scoringrules
from scipy import stats

from skyloom.analysis.common import conformal
from skyloom.analysis.common.densities import LEVELS, Grids, Mixtures, tabulate

ONE = np.ones((1, 1))


def mixtures(n=400, k=5, seed=0):
    """Mixtures with components from narrow to broad, far apart and on top of each other, and a draw from each."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 0.7), n)
    means, sigmas = rng.normal(3, 2, (n, k)), 10 ** rng.uniform(-2, 0.5, (n, k))
    chosen = (rng.random((n, 1)) > weights.cumsum(axis=1)).sum(axis=1).clip(max=k - 1)
    return Mixtures(weights, means, sigmas), rng.normal(means[range(n), chosen], sigmas[range(n), chosen])


def test_quantiles_of_one_gaussian_are_those_of_scipy():
    table = tabulate(Mixtures(ONE, 2 * ONE, 0.3 * ONE), np.array([2.3]))
    assert table.quantiles[0] == pytest.approx(stats.norm(2, 0.3).ppf(LEVELS), abs=0.3 * 0.005)
    assert table.pit[0] == pytest.approx(stats.norm.cdf(1)) and table.interval(0.9)[0] < table.interval(0.5)[0] < 2
    assert table.log_density[0] == pytest.approx(stats.norm(2, 0.3).logpdf(2.3))


def test_quantiles_invert_the_distribution_function_of_any_mixture():
    family, _ = mixtures()
    quantiles = family.quantiles(LEVELS)
    found = np.stack([family.cdf(column) for column in quantiles.T], axis=1)
    assert np.abs(found - LEVELS).max() < 1e-3
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_scores_of_mixtures_are_those_of_scoringrules():
    family, truth = mixtures()
    table = tabulate(family, truth)
    exact = scoringrules.crps_mixnorm(truth, family.means, family.sigmas, family.weights, backend="numpy")
    assert table.crps(truth).mean() == pytest.approx(exact.mean(), rel=2e-3)
    assert table.crps(truth) == pytest.approx(exact, rel=0.05, abs=2e-3)
    logs = scoringrules.logs_mixnorm(truth, family.means, family.sigmas, family.weights, backend="numpy")
    assert table.log_density == pytest.approx(-logs, rel=1e-6)


def test_crps_of_a_gaussian_is_its_closed_form():
    truth = np.linspace(-3, 3, 61)
    family = Mixtures(np.ones((61, 1)), np.zeros((61, 1)), np.ones((61, 1)))
    z, phi, cdf = truth, stats.norm.pdf(truth), stats.norm.cdf(truth)
    assert tabulate(family, truth).crps(truth) == pytest.approx(z * (2 * cdf - 1) + 2 * phi - np.pi**-0.5, abs=2e-3)


def test_two_peaks_are_kept():
    two = Mixtures(np.array([[0.5, 0.5]]), np.array([[0.1, 0.9]]), np.array([[0.01, 0.01]]))
    table = tabulate(two, np.array([0.5]))
    low, high = table.at([0.495, 0.505])[0]
    assert low < 0.15 and high > 0.85  # nothing of it lies between the peaks
    assert table.log_density[0] < -100 and table.pit[0] == pytest.approx(0.5)


def test_pit_of_draws_are_uniform_and_those_of_wrong_densities_are_not():
    family, truth = mixtures(n=1500, k=1)
    assert conformal.uniformity(tabulate(family, truth).pit) > 0.01
    for wrong in (0.7, 1.4):
        narrow = Mixtures(family.weights, family.means, family.sigmas * wrong)
        assert conformal.uniformity(tabulate(narrow, truth).pit) < 1e-3
    shifted = Mixtures(family.weights, family.means + 0.3 * family.sigmas, family.sigmas)
    assert conformal.uniformity(tabulate(shifted, truth).pit) < 1e-3


def test_a_density_on_a_grid_is_the_mixture_it_was_made_of():
    rng = np.random.default_rng(1)
    grid = np.expm1(np.linspace(0, 1.5, 3000))  # steps in ln(1+z), so unequal ones
    centre, width = rng.uniform(1.2, 2, (50, 1)), rng.uniform(0.02, 0.2, (50, 1))
    mixture, truth = Mixtures(np.ones((50, 1)), centre, width), rng.normal(centre, width)[:, 0]
    family = Grids(grid, 17 * stats.norm.pdf(grid, centre, width))
    one, other = tabulate(family, truth), tabulate(mixture, truth)
    assert one.pit == pytest.approx(other.pit, abs=2e-3)
    assert one.log_density == pytest.approx(other.log_density, abs=0.05)
    assert one.quantiles == pytest.approx(other.quantiles, abs=0.01)
    assert one.crps(truth) == pytest.approx(mixture.crps(truth), abs=1e-3)


def test_cells_of_a_grid_part_midway_and_hold_their_share():
    family = Grids(np.array([0.0, 1.0, 3.0]), np.array([[1.0, 2.0, 0.5]]))  # cells of 1, 1.5 and 2
    whole = 1 + 3 + 1
    for value, below in ((-0.5, 0), (0.5, 1), (1.25, 2.5), (2.0, 4), (4.0, 5)):
        assert family.cdf(np.array([value]))[0] == pytest.approx(below / whole, abs=1e-5)
    assert family.log_density(np.array([1.0]))[0] == pytest.approx(np.log(2 / whole), abs=1e-5)
    assert family.quantiles(np.array([0.2, 0.5]))[0] == pytest.approx([0.5, 1.25], abs=1e-4)


def test_a_truth_that_a_grid_excludes_has_a_finite_score_inside_and_none_beyond():
    family = Grids(np.arange(10.0), np.eye(10)[[3, 3]])
    inside, beyond = tabulate(family, np.array([8.0, 20.0])).log_density
    assert -20 < inside < -10 and beyond == -np.inf


def test_what_has_no_truth_has_no_score():
    family, truth = mixtures(n=5)
    truth[2] = np.nan
    table = tabulate(family, truth)
    assert np.isnan([table.pit[2], table.log_density[2], table.crps(truth)[2]]).all()
    assert np.isfinite(table.quantiles).all() and np.isfinite(table.pit[[0, 1, 3, 4]]).all()


def test_no_galaxies_are_no_error():
    empty = np.zeros((0, 3))
    assert tabulate(Mixtures(empty, empty, empty), np.zeros(0)).quantiles.shape == (0, len(LEVELS))
    assert tabulate(Grids(np.arange(3.0), empty), np.zeros(0)).quantiles.shape == (0, len(LEVELS))
