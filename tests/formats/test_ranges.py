"""What a quantity can be."""

import numpy as np
import pytest

from skyloom.formats.ranges import RANGES, within, words


@pytest.mark.parametrize("name", RANGES)
def test_sentinels_are_outside_and_limits_inside(name):
    low, high, _ = RANGES[name]
    values, lost = within(name, np.array([low, high, np.nan, -1e30, np.inf, -np.inf]))
    assert lost == 3
    np.testing.assert_array_equal(values, [low, high, np.nan, np.nan, np.nan, np.nan])


def test_other_quantities_and_integers():
    values, lost = within("sfh", np.array([1e30]))
    assert values[0] == 1e30 and lost == 0
    values, lost = within("lsst", np.array([[20, 99], [21, 22]]))
    assert lost == 1 and np.isnan(values[0, 1]) and values.shape == (2, 2)
    assert words("z") == "z -0.01 to 20" and words("t_age") == "t_age 0 to 14 Gyr"
