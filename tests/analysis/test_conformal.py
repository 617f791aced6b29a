"""The conformal step: what it promises, in closed form and by simulation; tests of calibration keep their level."""

import numpy as np
import pytest
from scipy import stats

from skyloom.analysis.common import conformal, statistics
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import LEVELS, Mixtures, tabulate


def overconfident(rng, *shape):
    """PIT of standard normal truths under a Gaussian of half their width, off by a fifth."""
    return stats.norm.cdf(rng.normal(size=shape), 0.2, 0.5)


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("n", [39, 50, 200])
def test_coverage_is_what_is_promised_for_any_density(level, n):
    rng, ends = np.random.default_rng(n), np.array([(1 - level) / 2, (1 + level) / 2])
    calibration, new = overconfident(rng, 4000, n), overconfident(rng, 4000, 50)
    inside = []
    for sample, pit in zip(calibration, new, strict=True):
        low, high = Recalibration.of(sample).probabilities(ends)
        inside.append(((low <= pit) & (pit <= high)).mean())
    # the mean of 4000 draws of the calibration galaxies is known to four standard errors
    error = 4 * np.std(inside) / 4000**0.5
    assert level - error <= np.mean(inside) <= level + 2 / (n + 1) + error
    raw = ((ends[0] <= new) & (new <= ends[1])).mean()
    assert raw < level - 0.1  # uncorrected, it is nowhere near


@pytest.mark.parametrize("n", [39, 594])
def test_coverage_varies_as_the_beta_binomial(n):
    rng, ends = np.random.default_rng(0), np.array([0.05, 0.95])
    count = []
    for sample in rng.random((4000, n)):
        low, high = Recalibration.of(sample).probabilities(ends)
        pit = rng.random(200)
        count.append(((low <= pit) & (pit <= high)).sum())
    expected = conformal.by_chance(0.9, 200, n)
    assert np.mean(count) == pytest.approx(expected.mean(), abs=4 * expected.std() / 4000**0.5)
    assert np.std(count) == pytest.approx(expected.std(), rel=0.06)
    assert conformal.by_chance(0.9, 200, 0).std() == pytest.approx((200 * 0.9 * 0.1) ** 0.5)


def test_the_step_repairs_densities_that_are_too_narrow():
    rng = np.random.default_rng(3)
    truth, own = rng.normal(size=6000), np.ones((6000, 1))
    family = Mixtures(own, 0.2 * own, 0.5 * own)
    step = Recalibration.of(family.cdf(rng.normal(size=6000)))
    before, after = tabulate(family, truth), tabulate(family, truth, step)
    for level in (0.5, 0.68, 0.9, 0.95):
        low, high = after.interval(level)
        assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(level, abs=0.025)
        assert high[0] == pytest.approx(stats.norm.ppf((1 + level) / 2), abs=0.12)
    assert conformal.uniformity(before.pit) < 1e-10 < 0.01 < conformal.uniformity(after.pit, step.n)
    assert after.crps(truth).mean() < before.crps(truth).mean() - 0.01
    assert step.shift == pytest.approx(stats.ks_1samp(step.pits, stats.uniform.cdf).statistic)


def test_a_level_that_takes_more_galaxies_than_there_are_becomes_the_whole():
    step = Recalibration.of(np.linspace(0.3, 0.7, 9))
    assert step.probabilities([0.05, 0.95]).tolist() == [0, 1]  # needs 19
    assert step.probabilities([0.1, 0.9]) == pytest.approx([0.3, 0.7])  # the first and the last of nine
    assert conformal.by_chance(0.9, 100, 9).mean() == 100


def test_without_calibration_galaxies_nothing_moves():
    step = Recalibration.of(np.array([np.nan, np.nan]))
    assert step.n == 0 and np.isnan(step.shift)
    assert (step.probabilities(LEVELS) == LEVELS).all() and step.pit(np.array([0.2]))[0] == 0.2
    assert np.isnan(conformal.uniformity(np.linspace(0, 1, 50), 0))


def test_whole_ranks_stay_whole():
    pits = np.arange(1, 20) / 20
    assert Recalibration.of(pits).probabilities([0.05, 0.15, 0.35, 0.65, 0.95]) == pytest.approx(
        [0.05, 0.15, 0.35, 0.65, 0.95]
    )


def test_the_test_of_the_pit_keeps_its_level_before_and_after_the_step():
    rng = np.random.default_rng(5)
    n, m, draws = 150, 200, 600
    raw, after, naive = [], [], []
    for _ in range(draws):
        step, pit = Recalibration.of(overconfident(rng, m)), overconfident(rng, n)
        corrected = step.pit(pit)
        raw.append(conformal.uniformity(rng.random(n)))
        after.append(conformal.uniformity(corrected, m))
        naive.append(conformal.uniformity(corrected))
    margin = 4 * (0.05 * 0.95 / draws) ** 0.5
    assert np.mean(np.array(raw) < 0.05) == pytest.approx(0.05, abs=margin)
    assert np.mean(np.array(after) < 0.05) == pytest.approx(0.05, abs=margin)
    assert np.mean(np.array(naive) < 0.05) > 0.15  # one sample's test forgets the noise of the other


def test_p_values_are_those_of_scipy():
    rng = np.random.default_rng(6)
    pit = rng.random(500) ** 1.1
    assert conformal.uniformity(pit) == pytest.approx(stats.kstest(pit, "uniform").pvalue, abs=0.01)
    assert np.isnan(conformal.uniformity(pit[:1]))


def test_the_interval_of_a_share_is_its_bootstrap():
    inside = (np.arange(300) % 10 > 0).astype(float)
    drawn = statistics.bootstrap(lambda x: x.mean(axis=-1), inside, count=20_000, seed=1)
    assert conformal.share_interval(inside.mean(), 300) == pytest.approx(statistics.interval(drawn), abs=2 / 300)


def test_samples_that_differ_are_told_apart():
    rng = np.random.default_rng(7)
    one, other = rng.random(400), rng.random(300)
    assert conformal.alike(one, np.append(other, np.nan)) > 0.01 > conformal.alike(one, other**1.5)
    assert conformal.alike(one, np.zeros(0)) == 1
