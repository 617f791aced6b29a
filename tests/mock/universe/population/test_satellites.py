"""Satellites of haloes: their numbers and places against integrals and simulations' profiles."""

import numpy as np
import pytest
from scipy.integrate import quad

from skyloom.mock.universe.population import halos, satellites


def drawn(log_mhalo, log_mstar, z, lightest, n=3000, seed=0, **more):
    fields = (np.full(n, value, float) for value in (log_mhalo, log_mstar, z, lightest))
    return satellites.draw(*fields, np.random.default_rng(seed), **more)


def test_the_number_is_that_of_the_swallowed_haloes_times_what_survives():
    """Giocoli et al. 2008 integrated by scipy, at a mass where stars hardly scatter over the limit: all of them."""
    found = drawn(13.0, 13.0, 0.1, 5.0)
    ratio = 10 ** (found.log_mhalo - 13.0)
    expected, _ = quad(lambda x: 0.21 * x**-1.8 * np.exp(-6.283 * x**3), 1e-2, 1)
    assert (ratio > 1e-2).sum() / 3000 == pytest.approx(satellites.SURVIVING * expected, rel=0.04)
    assert len(drawn(13.0, 13.0, 0.1, 5.0, density=0.0)) == 0


def test_they_have_the_stars_of_their_haloes_and_less_than_their_host():
    found = drawn(13.0, 11.0, 0.1, 8.5)
    assert found.log_mstar.min() > 8.5 and found.log_mstar.max() < 11.0
    some = np.abs(found.log_mhalo - 11.8) < 0.05
    assert np.median(found.log_mstar[some]) == pytest.approx(halos.stellar_mass(11.8, 0.1), abs=0.05)
    assert (np.diff(found.host) >= 0).all()


def test_they_follow_a_profile_of_navarro_frenk_and_white():
    """The projected mass within a cylinder, by integration of the profile along the line of sight."""
    found = drawn(13.5, 13.0, 0.2, 8.0)
    edge, c = (float(f(13.5, 0.2)) for f in (satellites.virial_radius, satellites.concentration))
    distance = np.hypot(found.x, found.y) / edge
    assert distance.max() <= 1

    def shell(r):
        return r**2 / (c * r * (1 + c * r) ** 2)

    total, _ = quad(shell, 0, 1)
    for within in (0.1, 0.3, 0.6):
        # of a sphere's shell of radius r > R a part 1 - sqrt(1 - (R/r)^2) lies within the cylinder
        outside, _ = quad(lambda r, R=within: shell(r) * (1 - np.sqrt(1 - (R / r) ** 2)), within, 1)
        inside, _ = quad(shell, 0, within)
        assert (distance < within).mean() == pytest.approx((inside + outside) / total, abs=0.015)
    assert np.abs(np.mean(found.x / edge)) < 0.02 and np.std(found.x) == pytest.approx(np.std(found.y), rel=0.03)


def test_a_halo_has_200_times_the_mean_density():
    """The Milky Way's: 10^12.1 Msun, some 330 kpc in this definition, smaller in a denser universe."""
    radius = satellites.virial_radius(np.array([12.1, 12.1, 15.1]), np.array([0.0, 1.0, 0.0]))
    assert 300 < radius[0] < 360
    assert radius[1] == pytest.approx(radius[0] / 2) and radius[2] == pytest.approx(10 * radius[0])


def test_more_of_them_are_quenched_in_heavier_haloes():
    share = satellites.quenched_fraction(np.full(3, 9.5), np.full(3, 0.1), np.array([12.0, 13.5, 14.7]))
    field = satellites.relations.quenched_fraction(9.5, 0.1)
    assert (np.diff(share) > 0).all() and share[0] == pytest.approx(field + 0.2 * (1 - field))
