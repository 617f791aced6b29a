"""Star-formation histories against numerical integrals and the statistics they are made with."""

import numpy as np
import pytest

from skyloom.mock.universe.population import histories

EDGES = np.concatenate([[0.0], 10 ** np.arange(6.0, 10.16, 0.1)])


@pytest.mark.parametrize("x", [-4.0, 0.0, 0.5, 8.0])
def test_the_delayed_exponential_in_closed_form(x):
    time = np.linspace(0, 1, 20001)
    rate = time * np.exp(-x * time)
    total = np.trapezoid(rate, time)
    numeric = np.array([np.trapezoid(rate[: i + 1], time[: i + 1]) for i in (2000, 9000, 16000)]) / total
    np.testing.assert_allclose(histories.formed_by(time[[2000, 9000, 16000]], x), numeric, rtol=2e-3)
    assert histories.rate_for(np.array(rate[-1] / total)) == pytest.approx(x, abs=0.02)


def test_a_quenched_history_against_its_integral():
    age, x, quench, decay = 9e9, 3.0, 4e9, 5e8
    mass = histories.smooth(EDGES, *(np.array([v]) for v in (age, x, quench, decay)))[0]
    lookback = np.linspace(0, age, 400001)
    time = 1 - lookback / age
    rate = time * np.exp(-x * time)
    at_quench = (1 - quench / age) * np.exp(-x * (1 - quench / age))
    rate = np.where(lookback < quench, at_quench * np.exp((lookback - quench) / decay), rate)
    cumulative = np.append(0, np.cumsum(0.5 * (rate[1:] + rate[:-1])))
    numeric = np.diff(np.interp(EDGES, lookback, cumulative)) / cumulative[-1]
    np.testing.assert_allclose(mass, numeric, atol=2e-5)


def test_bursts_keep_the_mass():
    smooth = histories.smooth(EDGES, *(np.array([v]) for v in (9e9, 3.0, 0.0, 1e8)))
    burst = histories.add_burst(smooth, EDGES, np.array([0.2]), np.array([1e8]), np.array([5e7]))
    recent = (EDGES[:-1] >= 4.9e7) & (EDGES[1:] <= 1.01e8)
    assert burst.sum() == pytest.approx(1) and (burst - 0.8 * smooth)[0, recent].sum() == pytest.approx(0.2, rel=0.03)


def test_fluctuations_have_the_rms_and_the_memory_asked_for():
    edges = np.linspace(0, 1e10, 1001)  # bins of 10 Myr, short beside the memory
    flat = np.full((800, 1000), 1e-3)
    mass = histories.fluctuate(flat, edges, 0.2, 1e8, np.random.default_rng(0))
    np.testing.assert_allclose(mass.sum(axis=1), 1)
    walk = np.log10(mass / flat)
    walk -= walk.mean()
    assert walk.std() == pytest.approx(0.2, rel=0.06)
    lag = np.mean(walk[:, :-10] * walk[:, 10:]) / walk.var()  # one memory later
    assert lag == pytest.approx(np.exp(-1), abs=0.05)
    coarse = histories.fluctuate(np.full((4000, 4), 0.25), np.linspace(0, 1e10, 5), 0.2, 1e8, np.random.default_rng(1))
    # the mean of a damped random walk over T has variance 2 tau / T; the total of the four bins takes a quarter of it
    assert np.log10(coarse).std() == pytest.approx(0.2 * np.sqrt(2 / 25 * 3 / 4), rel=0.1)


def test_recent_rate_of_a_constant_history_is_that_constant():
    mass = 7.0 * np.diff(EDGES)[None]
    for window in (1e7, 1e9, 1.23e9):
        np.testing.assert_allclose(histories.recent_rate(mass, EDGES, window), 7.0)
    np.testing.assert_allclose(histories.mean_age(mass, 0.5 * (EDGES[1:] + EDGES[:-1])), EDGES[-1] / 2)
