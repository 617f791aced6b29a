"""The regressor finds the R2 that data of known noise allow."""

import numpy as np
import pytest

from skyloom.analysis.mock_validation import difficulty


def test_known_r2():
    """y = signal + noise with variances s and n: no regressor explains more than s / (s + n); this one nearly does."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4000, 3))
    signal = np.sin(x[:, 0]) + 0.5 * x[:, 1]
    targets = {}
    for name, share in (("easy", 0.9), ("hard", 0.4), ("impossible", 0.0)):
        noise = rng.standard_normal(len(x)) * signal.std()
        targets[name] = np.sqrt(share) * signal + np.sqrt(1 - share) * noise
    found = difficulty.score(x, targets)
    assert found["easy"]["r2"] == pytest.approx(0.9, abs=0.03)
    assert found["hard"]["r2"] == pytest.approx(0.4, abs=0.05)
    assert found["impossible"]["r2"] < 0.02
    for name in ("easy", "hard"):
        assert found[name]["low"] < found[name]["r2"] < found[name]["high"]


def test_rows_without_a_target_are_left_out():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((600, 2))
    values = np.where(rng.random(600) < 0.5, x[:, 0], np.nan)
    found = difficulty.score(x, {"half": values})["half"]
    assert found["n"] == np.isfinite(values).sum()
    assert (np.isfinite(found["predicted"]) == np.isfinite(values)).all()


def test_features_are_dereddened_colours():
    flux = 10 ** (-0.4 * (np.array([[20.0, 19.0, 18.4]]) - 22.5))
    assert difficulty.features(flux, np.zeros(1))[0] == pytest.approx([1.0, 0.6, 19.0])
    redder = difficulty.features(flux, np.array([0.1]))[0]
    assert redder == pytest.approx([1.0 - 0.1 * (3.214 - 2.165), 0.6 - 0.1 * (2.165 - 1.211), 19.0 - 0.2165])
    assert np.isnan(difficulty.features(-flux, np.zeros(1))).all()
