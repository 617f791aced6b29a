"""Scores against scikit-learn and closed forms; intervals against how often they cover the truth."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from skyloom.analysis.common import statistics


def sample(n=200, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return truth, truth + rng.normal(scale=noise, size=n)


def test_r2_is_scikit_learns():
    truth, prediction = sample()
    assert statistics.r2(truth, prediction) == pytest.approx(r2_score(truth, prediction))


def test_r2_of_the_mean_is_zero_and_of_a_constant_truth_undefined():
    truth, _ = sample()
    assert statistics.r2(truth, np.full_like(truth, truth.mean())) == pytest.approx(0)
    assert np.isnan(statistics.r2(np.ones(5), np.arange(5.0)))


def test_redshift_statistics_have_their_definitions():
    truth = np.array([0.0, 1.0, 0.5, 3.0, 0.25])
    dz = np.array([0.01, -0.02, 0.2, 0.03, 0.0])
    prediction = truth + dz * (1 + truth)
    assert statistics.bias(truth, prediction) == pytest.approx(0.01)
    assert statistics.sigma_nmad(truth, prediction) == pytest.approx(1.4826 * 0.02)
    assert statistics.outlier_rate(truth, prediction) == pytest.approx(0.2)
    assert statistics.outlier_rate(truth, prediction, 0.025) == pytest.approx(0.4)


def test_sigma_nmad_of_a_gaussian_is_its_standard_deviation():
    error = np.random.default_rng(0).normal(scale=0.03, size=200_000)
    assert statistics.sigma_nmad(np.zeros(len(error)), error) == pytest.approx(0.03, rel=0.01)


def test_fast_bootstrap_of_r2_is_the_plain_one(monkeypatch):
    truth, prediction = sample(n=50)
    truth = truth + 1000  # cancellation would show
    plain = statistics.bootstrap(statistics.r2, truth, prediction + 1000, count=64, seed=3)
    assert of_one(truth, prediction + 1000, count=64, seed=3) == pytest.approx(plain, abs=1e-9)
    monkeypatch.setattr(statistics, "BLOCK", 500)  # ten resamples at a time
    assert len(of_one(truth, prediction + 1000, count=64, seed=3)) == 64


def of_one(truth, prediction, count=1000, seed=0) -> np.ndarray:
    """Bootstrap values (count,) of R2 of one prediction."""
    return statistics.bootstrap_r2_of_many(truth, prediction[None], count=count, seed=seed)[0, 0]


def test_intervals_cover_the_truth_as_often_as_they_say():
    expected = 1 - 0.5**2  # var(y) = 1, var(error) = 0.25
    covered = 0
    for seed in range(200):
        truth, prediction = sample(n=300, seed=seed)
        low, high = statistics.interval(of_one(truth, prediction, count=300, seed=seed))
        covered += low < expected < high
    assert 0.90 <= covered / 200 <= 0.99


def test_differences_are_paired():
    truth, prediction = sample(n=400)
    close = prediction + np.random.default_rng(1).normal(scale=0.02, size=400)
    first, same, other = statistics.bootstrap_r2_of_many(truth, np.stack([prediction, prediction, close]))[:, 0]
    assert (first == same).all()
    low, high = statistics.interval(first - other)
    low_1, high_1 = statistics.interval(first)
    assert low < statistics.r2(truth, prediction) - statistics.r2(truth, close) < high
    assert high - low < (high_1 - low_1) / 3  # two models that err alike differ by less than either is known


def test_the_seed_decides_the_resamples():
    truth, prediction = sample()
    first = of_one(truth, prediction, count=20, seed=1)
    assert np.array_equal(first, of_one(truth, prediction, count=20, seed=1))
    assert not np.array_equal(first, of_one(truth, prediction, count=20, seed=2))
