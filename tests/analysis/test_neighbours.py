"""Nearest neighbours against scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skyloom.analysis.common import neighbours
from skyloom.core.errors import BadConfig


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 24)).astype("f4"), rng.normal(size=(90, 24)).astype("f4"), rng.normal(size=500)


@pytest.mark.parametrize("weights", ["distance", "uniform"])
def test_regression_is_scikit_learns(data, weights):
    reference, queries, values = data
    oracle = KNeighborsRegressor(n_neighbors=16, weights=weights).fit(reference, values).predict(queries)
    distance, index = neighbours.nearest(queries, reference, 16)
    assert neighbours.average(distance, values[index], weights) == pytest.approx(oracle, abs=1e-6)


def test_an_offset_far_from_the_origin_costs_no_digits(data):
    reference, queries, _ = data
    oracle = NearestNeighbors(n_neighbors=8).fit(reference.astype("f8")).kneighbors(queries)[1]
    index = neighbours.nearest(queries.astype("f8") + 1e4, reference.astype("f8") + 1e4, 8)[1]
    assert (np.sort(index) == np.sort(oracle)).mean() > 0.99


def test_cosine_orders_as_scikit_learn(data):
    reference, queries, _ = data
    oracle = NearestNeighbors(n_neighbors=10, metric="cosine").fit(reference)
    expected, order = oracle.kneighbors(queries)
    distance, index = neighbours.nearest(queries, reference, 10, "cosine")
    assert np.array_equal(index, order)
    assert distance**2 / 2 == pytest.approx(expected, abs=1e-5)


def test_blocks_do_not_change_the_answer(data, monkeypatch):
    reference, queries, _ = data
    whole = neighbours.nearest(queries, reference, 5)[1]
    monkeypatch.setattr(neighbours, "BLOCK", 1700)  # three queries at a time
    assert np.array_equal(neighbours.nearest(queries, reference, 5)[1], whole)


def test_a_twin_decides_alone(data):
    reference, _, values = data
    distance, index = neighbours.nearest(reference[:3], reference, 8)
    assert neighbours.average(distance, values[index]) == pytest.approx(values[:3])


def test_fewer_references_than_k_give_all(data):
    reference, queries, _ = data
    assert neighbours.nearest(queries, reference[:4], 64)[1].shape == (90, 4)


def test_standardising_uses_the_reference_only(data):
    reference, queries, _ = data
    reference = np.column_stack([reference, np.full(len(reference), 7.0)])
    queries = np.column_stack([queries, np.full(len(queries), 7.0)])
    scaler = StandardScaler().fit(reference)
    scaled, others = neighbours.standardise(reference, queries)
    assert scaled == pytest.approx(scaler.transform(reference), abs=1e-5)
    assert others == pytest.approx(scaler.transform(queries), abs=1e-5)
    assert (scaled[:, -1] == 0).all()


def test_unknown_settings_say_what_is_allowed(data):
    reference, queries, values = data
    with pytest.raises(BadConfig, match="manhattan.*allowed: euclidean, cosine"):
        neighbours.nearest(queries, reference, 3, "manhattan")
    with pytest.raises(BadConfig, match="gauss.*allowed: distance, uniform"):
        neighbours.average(np.ones((1, 2)), np.ones((1, 2)), "gauss")


def test_whitening_agrees_with_scikit_learn_and_takes_its_measure_from_the_reference():
    rng = np.random.default_rng(3)
    reference = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 6))
    other = rng.standard_normal((20, 6))
    ours, ours_other = neighbours.whiten(3, reference, other)
    theirs = PCA(3, whiten=True).fit(reference)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs.transform(reference)), atol=1e-4)
    np.testing.assert_allclose(np.abs(ours_other), np.abs(theirs.transform(other)), atol=1e-4)
    np.testing.assert_allclose(ours.std(axis=0, ddof=1), 1, atol=1e-4)
