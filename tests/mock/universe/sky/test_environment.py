"""Galaxies in their places: groups are groups in space and in velocity, neighbours are counted by brute force."""

from dataclasses import fields

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.cosmology import Planck18, z_at_value
from scipy.stats import kstest

from skyloom.mock.footprint import FIRST
from skyloom.mock.universe.population import programs
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.population import Population, join
from skyloom.mock.universe.sky import environment, sky

WHOLE = FIRST + 3
CONFIG = {"seed": 2}


@pytest.fixture(scope="module")
def drawn(grid):
    return draw(1500, np.random.default_rng(1), CONFIG, grid)


@pytest.fixture(scope="module")
def settled(drawn):
    return environment.settle(drawn, WHOLE, "bright", np.random.default_rng(2), CONFIG)


def test_nobody_is_lost_and_nobody_moves_far(drawn, settled):
    population, places = settled
    order, before = np.argsort(population.log_mstar), np.argsort(drawn.log_mstar)
    np.testing.assert_array_equal(population.log_mstar[order], drawn.log_mstar[before])
    shift = np.log((1 + population.redshift[order]) / (1 + drawn.redshift[before]))
    assert np.abs(shift).max() < environment.FURTHEST
    np.testing.assert_array_equal(shift[places.group[order] < 0], 0)
    assert programs.accepted(population, CONFIG).all()
    # magnitude and size follow the distance
    change = population.mag_r[order] - drawn.mag_r[before]
    modulus = Planck18.distmod(population.redshift[order]) - Planck18.distmod(drawn.redshift[before])
    np.testing.assert_allclose(change, modulus.value, atol=1e-3)


def test_members_of_a_group_share_its_redshift_within_the_dispersion_of_its_halo(settled):
    population, places = settled
    groups, count = np.unique(places.group[places.group >= 0], return_counts=True)
    assert len(groups) > 50 and count.min() == 2 and 0.3 < count.sum() / len(population) < sky.CLUSTERED
    pulls = []
    for group in groups:
        rows = places.group == group
        sigma = environment.velocity_dispersion(population.log_mhalo[rows].max(), np.median(population.redshift[rows]))
        pulls.extend(places.velocity[rows] / sigma)
    assert kstest(pulls, "norm").pvalue > 0.01
    # Evrard et al. 2008: 1083 km/s at h(z) M = 1e15 Msun, so 0.5 of it at an eighth of the mass
    hubble = Planck18.H(0.3).value / 100
    assert environment.velocity_dispersion(15 - np.log10(hubble), 0.3) == pytest.approx(1083, rel=0.001)
    assert environment.velocity_dispersion(12.0, 0.1) == pytest.approx(94, abs=5)


def test_redshift_is_distance_and_motion(settled):
    population, places = settled
    rows = [0, 100, 700, 1400]
    distance = np.linalg.norm(places.place[rows], axis=1) * units.Mpc
    cosmological = np.array([z_at_value(Planck18.comoving_distance, d).value for d in distance])
    expected = (1 + cosmological) * (1 + places.velocity[rows] / 299792.458) - 1
    np.testing.assert_allclose(population.redshift[rows], expected, atol=2e-6)
    sky_of = SkyCoord(*places.place[rows].T, representation_type="cartesian").spherical
    np.testing.assert_allclose(sky_of.lon.deg, places.ra[rows], atol=1e-9)


def test_groups_are_as_deep_as_they_are_wide(settled):
    """Real space: no fingers of god. Separations along and across the line of sight have one distribution."""
    _, places = settled
    along, across = [], []
    for group in np.unique(places.group[places.group >= 0]):
        place = places.place[places.group == group]
        distance = np.linalg.norm(place, axis=1)
        scale = distance.mean() * np.radians(sky.GROUP_SIZE)
        along.extend((distance - distance[0])[1:] / scale)
        direction = place / distance[:, None]
        north = np.degrees(np.arcsin(direction[:, 2]))
        across.extend((north - north[0])[1:] / sky.GROUP_SIZE)
    for separation in (along, across):  # of two Gaussians of width 1
        assert np.std(separation) == pytest.approx(np.sqrt(2), rel=0.12)


def test_neighbours_are_those_of_brute_force(settled):
    _, places = settled
    separation = np.linalg.norm(places.place[:, None] - places.place, axis=2)
    for column, radius in enumerate(environment.RADII):
        np.testing.assert_array_equal(places.neighbours[:, column], (separation <= radius).sum(axis=1) - 1)
    grouped = places.group >= 0
    assert places.neighbours[grouped, 1].mean() > 5 * places.neighbours[~grouped, 1].mean()


def test_quenched_galaxies_are_more_often_in_groups(settled):
    population, places = settled
    share = [np.mean(places.group[population.quenched == quenched] >= 0) for quenched in (False, True)]
    assert share[1] > 1.3 * share[0]


def test_targets_of_all_kinds_settle_together(grid):
    kinds = [draw(60, np.random.default_rng(3), CONFIG, grid, kind) for kind in ("lrg", "qso")]
    population, places = environment.settle(join(kinds), WHOLE, "dark", np.random.default_rng(4), CONFIG)
    assert sorted(np.unique(population.target, return_counts=True)[1]) == [60, 60]
    bright = environment.settle(kinds[0], WHOLE, "bright", np.random.default_rng(4), CONFIG)[1]
    assert not set(places.group[places.group >= 0]) & set(bright.group[bright.group >= 0])
    assert {f.name for f in fields(Population)} == set(vars(population))
