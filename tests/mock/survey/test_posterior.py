"""Posterior-like properties: the truth is a fair draw of what is reported, within the bounds of the prior."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.cosmology import Planck18
from scipy.stats import kstest

from skyloom.mock.survey import posterior

N = 20_000


class Galaxies(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.redshift)


def galaxies(n: int = N, **changes) -> Galaxies:
    """Galaxies far from every bound."""
    rng = np.random.default_rng(3)
    truth = {
        "redshift": rng.uniform(0.01, 0.5, n),
        "log_mstar": rng.normal(10.3, 0.6, n),
        "z_mw": 10 ** rng.normal(-2.3, 0.2, n),
        "t_age_mw": rng.uniform(1.5, 2.5, n),
        "avg_sfr": 10 ** rng.normal(0, 0.8, n),
        "av": rng.uniform(0.9, 1.5, n),
        "av_birth": rng.uniform(1.5, 2.0, n),
        "dust_slope": rng.normal(-0.2, 0.2, n),
    }
    return Galaxies(**{**truth, **changes})


def truth_columns(population, rng) -> dict:
    """What a truth file would have."""
    n = len(population)
    mass = 10**population.log_mstar / 0.6
    columns = {"log_mstar": population.log_mstar, "sfh": np.stack([0.3 * mass, 0.7 * mass], axis=1)}
    columns |= {"fibre_fraction": np.full(n, 0.4)}
    return columns | posterior.properties(population, rng)


def test_pulls_of_the_truth_are_unit_normal():
    population = galaxies()
    seen = posterior.properties(population, np.random.default_rng(1))
    pulls = {
        "log_mstar": seen["measured_log_mstar"] - population.log_mstar,
        "log_z_mw": np.log10(seen["measured_z_mw"] / population.z_mw),
        "log_t_age_mw": np.log10(seen["measured_t_age_mw"] / population.t_age_mw),
        "log_avg_sfr": np.log10(seen["measured_avg_sfr"] / population.avg_sfr),
        "tau_ism": seen["measured_tau_ism"] - population.av / posterior.A_PER_TAU,
        "n_dust": seen["measured_n_dust"] - population.dust_slope,
    }
    for name, difference in pulls.items():
        assert kstest(difference / posterior.WIDTH[name], "norm").pvalue > 1e-3, name
    errors = np.corrcoef([pulls[name] for name in pulls])
    names = list(pulls)
    for (a, b), expected in posterior.CORRELATION.items():
        assert errors[names.index(a), names.index(b)] == pytest.approx(expected, abs=0.03)
    assert np.mean(seen["has_properties"]) == pytest.approx(11 / 12, abs=0.01)


def test_samples_are_calibrated_and_agree_with_the_reported_mean():
    population = galaxies(2000)
    truth = truth_columns(population, np.random.default_rng(2))
    best, samples = posterior.theta(truth, population.redshift, np.random.default_rng(5))
    assert best.shape == (2000, 13) and samples.shape == (2000, 100, 13)
    formed = posterior.THETA.index("log_mform")
    np.testing.assert_allclose(best[:, formed], truth["measured_log_mstar"] - np.log10(0.6))
    width = posterior.WIDTH["log_mstar"]
    error_of_mean = (samples[..., formed].mean(axis=1) - best[:, formed]) / (width / 10)
    assert error_of_mean.std() == pytest.approx(1, abs=0.06) and abs(error_of_mean.mean()) < 0.1
    # the rank of the truth among a galaxy's samples is uniform: the definition of calibrated
    for name, known in (
        ("log_mform", population.log_mstar - np.log10(0.6)),
        ("tau_ism", population.av / posterior.A_PER_TAU),
        ("f_fiber", truth["fibre_fraction"]),
    ):
        rank = (samples[..., posterior.THETA.index(name)] < known[:, None]).mean(axis=1)
        assert kstest(rank + np.random.default_rng(0).uniform(0, 0.01, 2000) - 0.005, "uniform").pvalue > 1e-3, name


def test_parameters_without_counterpart_are_nan_and_no_other():
    population = galaxies(5)
    best, samples = posterior.theta(
        truth_columns(population, np.random.default_rng(2)), population.redshift, np.random.default_rng(5)
    )
    absent = np.isnan(best).all(axis=0)
    names = [name for name, missing in zip(posterior.THETA, absent, strict=True) if missing]
    assert names == ["beta_1", "beta_2", "beta_3", "beta_4", "f_burst", "t_burst", "gamma_1", "gamma_2"]
    assert np.isfinite(best[:, ~absent]).all() and np.isfinite(samples[..., ~absent]).all()
    assert np.isnan(samples[..., absent]).all()


def test_nothing_leaves_the_prior():
    rng = np.random.default_rng(0)
    z = rng.uniform(0.01, 4, 3000)
    oldest = Planck18.age(z).value
    population = galaxies(
        3000,
        redshift=z,
        t_age_mw=oldest * rng.uniform(0.9, 0.999, 3000),
        z_mw=rng.choice([4.6e-5, 4.4e-2], 3000),
        av=np.zeros(3000),
        avg_sfr=np.where(rng.random(3000) < 0.5, 0.0, 1.0),
    )
    seen = posterior.properties(population, rng)
    assert (seen["measured_t_age_mw"] <= oldest * 1.001).all() and np.median(seen["measured_t_age_mw"] / oldest) > 0.7
    low, high = posterior.Z_MW_RANGE
    assert (seen["measured_z_mw"] >= low * 0.999).all() and (seen["measured_z_mw"] <= high * 1.001).all()
    assert (seen["measured_tau_ism"] >= 0).all() and np.std(seen["measured_tau_ism"]) > 0.03
    dead = population.avg_sfr == 0
    rate = np.log10(seen["measured_avg_sfr"]) - population.log_mstar
    assert np.median(rate[dead]) == pytest.approx(-14, abs=0.05) and (rate[~dead] > -13).all()
    assert all(np.isfinite(values).all() for values in seen.values())
