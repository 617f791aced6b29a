"""Labels against closed forms."""

import numpy as np

from skyloom.catalog.labels import NAMES, labels


def test_labels_are_the_documented_functions():
    # 10^10 Msun forming 1 Msun/yr has a specific rate of 10^-10 a year, whatever its metallicity.
    found = labels([10.0, 11.0], [0.01, 0.02], [3.0, 8.0], [1.0, 0.1])
    assert tuple(found) == NAMES
    np.testing.assert_allclose(found["log_ssfr"], [-10.0, -12.0])
    np.testing.assert_allclose(found["log_z_mw"], [-2.0, np.log10(0.02)])
    np.testing.assert_array_equal(found["t_age"], [3.0, 8.0])


def test_legacy_ssfr_reproduces_the_published_range():
    # Star formation over metallicity: positive logarithms of some units, where a true sSFR in 1/yr is far below zero.
    found = labels(10.0, 0.01, 3.0, 1.0)
    np.testing.assert_allclose(found["ssfr_legacy"], np.log(100.0))
    assert found["log_ssfr"] < -5


def test_no_logarithm_of_nothing():
    found = labels([10.0, np.nan], [0.0, 0.01], [3.0, 3.0], [0.0, 1.0])
    np.testing.assert_array_equal(np.isnan(found["log_ssfr"]), [True, True])
    np.testing.assert_array_equal(np.isnan(found["log_z_mw"]), [True, False])
    np.testing.assert_array_equal(np.isnan(found["ssfr_legacy"]), [True, False])
    np.testing.assert_array_equal(found["avg_sfr"], [0.0, 1.0])
