"""Satellites on the cutouts of a tile: at their host's redshift, of the tile and not of a cutout."""

import numpy as np
import pytest

from skyloom.mock.instruments.images.neighbours import Provided
from skyloom.mock.survey.company import HALF, Company, centrals
from skyloom.mock.survey.tile import COMPANY, plan
from tests.conftest import CONFIG, WHOLE

DENSE = {**CONFIG, "targets_per_tile": {"bgs": 300}, "magnitude_limit": 19.5, "seed": 2}
NONE = Provided(np.array([13.0, 24.0]), np.array([0.0]))


@pytest.fixture(scope="module")
def dense(grid):
    tile = plan(WHOLE, "bright", DENSE, grid)
    return tile, Company.of(tile, DENSE, grid, NONE, tile.stream(COMPANY)).objects


def test_the_heaviest_halo_of_a_group_is_its_central():
    found = centrals(np.array([4, -1, 4, 9, 4, -1, 9]), np.array([12.0, 11, 13, 12.5, 12.9, 12, 12.4]))
    assert list(found) == [1, 2, 3, 5]


def test_all_are_within_the_cutouts_and_crowd_around_their_hosts(dense):
    tile, objects = dense
    assert 0.5 < len(objects) / len(tile.population) < 6
    assert np.maximum(np.abs(objects.x), np.abs(objects.y)).max() < HALF
    distance = np.hypot(objects.x, objects.y)
    near, far = (distance < 8).sum() / 8**2, ((distance > 12) & (distance < 20)).sum() / (20**2 - 12**2)
    assert near > 1.5 * far


def test_two_cutouts_of_the_same_sky_show_the_same_satellites(dense):
    tile, objects = dense
    north = tile.dec[objects.cutout] + objects.y / 3600
    flux, which, count = np.unique(objects.flux[:, 1], return_inverse=True, return_counts=True)
    shared = np.flatnonzero(count > 1)
    assert len(shared)
    for one in shared:
        assert np.ptp(north[which == one]) * 3600 < 1e-6 and len(np.unique(objects.cutout[which == one])) == count[one]


def test_satellites_of_farther_hosts_are_redder(dense):
    """What is around a galaxy tells its distance: satellites' colours follow the host's redshift."""
    tile, objects = dense
    z, alone = tile.population.redshift[objects.cutout], tile.environment.group[objects.cutout] < 0
    colour = -2.5 * np.log10(objects.flux[:, 0] / objects.flux[:, 1])
    far, near = alone & (z > 0.25), alone & (z < 0.15)
    assert np.percentile(colour[far], 90) > np.percentile(colour[near], 90) + 0.15


def test_rows_in_any_order(dense, grid):
    tile, objects = dense
    company = Company(objects)
    rows = np.array([70, 3, 3, 200])
    found = company.around(rows)
    expected = np.concatenate([np.flatnonzero(objects.cutout == row) for row in rows])
    np.testing.assert_array_equal(found.x, objects.x[expected])
    np.testing.assert_array_equal(rows[found.cutout], objects.cutout[expected])


def test_none_where_neighbours_are_not_wanted_or_the_catalogue_has_all(grid, dense):
    tile, _ = dense
    assert not len(Company.of(tile, {**DENSE, "neighbours": 0.0}, grid, NONE, tile.stream(COMPANY)).objects)
    has_all = Provided(np.array([5.0, 40.0]), np.array([1.0]))
    assert not len(Company.of(tile, DENSE, grid, has_all, tile.stream(COMPANY)).objects)
