"""Nearest neighbours against scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skyloom.analysis.common import neighbours, search
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


def brute_force(queries, reference, k):
    """Distances and indices in double precision, ties to the lower index."""
    squares = ((queries[:, None].astype("f8") - reference[None].astype("f8")) ** 2).sum(axis=2)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squares, order, axis=1)), order


def clouds(kind, n=700, q=60, d=12):
    rng = np.random.default_rng(5)
    reference, queries = rng.normal(size=(n, d)).astype("f4"), rng.normal(size=(q, d)).astype("f4")
    if kind == "copies":  # twenty different rows, each many times, and queries among them
        reference, queries = reference[rng.integers(20, size=n)], reference[:q]
    if kind == "one point":
        reference[:] = reference[0]
    if kind == "close":  # nearer to each other than bfloat16 and single precision can tell from their products
        reference = (1 + 1e-5 * reference).astype("f4")
        queries = (1 + 1e-5 * queries).astype("f4")
        reference[0], queries[0] = 100, -100
    if kind == "outliers":
        reference[::50] *= 1e3
        queries[::7] *= 1e3
    if kind == "ever nearer":  # every block brings nearer ones
        reference = reference[np.argsort(-np.linalg.norm(reference, axis=1))]
        queries *= 0.01
    return queries, reference


@pytest.mark.parametrize("blocks", [(2**21, 2048), (1700, 64), (900, 37)])
@pytest.mark.parametrize("kind", ["normal", "copies", "one point", "close", "outliers", "ever nearer"])
@pytest.mark.parametrize("k", [1, 16, 64])
def test_neighbours_are_those_of_double_precision_whatever_the_blocks(monkeypatch, kind, blocks, k):
    queries, reference = clouds(kind)
    monkeypatch.setattr(search, "BLOCK", blocks[0])
    monkeypatch.setattr(search, "REFERENCES", blocks[1])
    distance, index = neighbours.nearest(queries, reference, k)
    expected, order = brute_force(queries, reference, k)
    np.testing.assert_array_equal(index, order)
    np.testing.assert_allclose(distance, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", neighbours.METRICS)
def test_distances_are_the_same_to_the_last_bit_whatever_the_blocks_and_threads(monkeypatch, metric):
    queries, reference = clouds("normal", n=3000, q=150, d=70)
    whole = neighbours.nearest(queries, reference, 20, metric)
    monkeypatch.setattr(search, "BLOCK", 20_000)
    monkeypatch.setattr(search, "REFERENCES", 301)
    monkeypatch.setattr(search, "TOGETHER", 4000)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        again = neighbours.nearest(queries, reference, 20, metric)
    finally:
        torch.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))


def test_a_bound_is_below_every_distance_and_near_it():
    rng = np.random.default_rng(1)
    centre = torch.zeros(300, dtype=torch.float64)
    rows = [torch.from_numpy((scale * rng.normal(size=(200, 300))).astype("f4")) for scale in (1.0, 30.0)]
    for coarse, width in ((True, 0.03), (False, 1e-3)):
        one, two = (search.Rows(x, None, centre).block(slice(None), coarse, torch.device("cpu")) for x in rows)
        with search._precision(search.COARSE if coarse else search.FINE):
            bound = one.bounds(two).double() + one.norm[:, None] ** 2
        exact = torch.cdist(*(x.double() for x in rows)) ** 2
        assert (bound <= exact).all()
        assert (exact - bound < width * exact).all()


def test_the_precision_of_matrix_products_is_left_as_it_was(data):
    reference, queries, _ = data
    before = torch.get_float32_matmul_precision()
    neighbours.nearest(queries, reference, 3)
    assert torch.get_float32_matmul_precision() == before


def test_only_queries_in_doubt_are_searched_again(monkeypatch):
    queries, reference = clouds("normal", n=5000, q=300, d=64)
    asked = []
    again = search._all_within
    monkeypatch.setattr(search, "_all_within", lambda *a: asked.append(len(a[1])) or again(*a))
    neighbours.nearest(queries, reference, 16)
    assert sum(asked) < 30


def test_memory_does_not_grow_with_the_product_of_queries_and_references():
    code = """
import resource, numpy as np
from skyloom.analysis.common.neighbours import nearest
rng = np.random.default_rng(0)
queries, reference = rng.random((6000, 4), "f4"), rng.random((100_000, 4), "f4")
nearest(queries[:100], reference, 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nearest(queries, reference, 4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 600 * 1024  # KiB; all distances in single precision are 2.3 GiB


def test_a_device_that_is_not_there_is_refused(data):
    reference, queries, _ = data
    with pytest.raises(BadConfig, match="device is 'tpu'; allowed here: auto, cpu"):
        neighbours.nearest(queries, reference, 3, device="tpu")
    assert np.array_equal(
        neighbours.nearest(queries, reference, 3, device="auto")[1], neighbours.nearest(queries, reference, 3)[1]
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["normal", "copies", "one point", "close", "outliers"])
def test_a_gpu_finds_the_same_neighbours(kind):
    queries, reference = clouds(kind)
    here, there = (neighbours.nearest(queries, reference, 16, device=device) for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(here[1], there[1])
    np.testing.assert_allclose(here[0], there[0], rtol=1e-12)


def test_no_queries_and_no_references_give_nothing(data):
    reference, queries, _ = data
    assert neighbours.nearest(queries[:0], reference, 3)[1].shape == (0, 3)
    assert neighbours.nearest(queries, reference[:0], 3)[0].shape == (90, 0)


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


def test_blocks_of_rows_do_not_change_scaled_columns(monkeypatch):
    rng = np.random.default_rng(3)
    tables = 1e3 + rng.standard_normal((300, 6)) @ rng.standard_normal((6, 6)), rng.standard_normal((20, 6))
    whole = [*neighbours.standardise(*tables), *neighbours.whiten(2, *tables)]
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    for one, other in zip(whole, [*neighbours.standardise(*tables), *neighbours.whiten(2, *tables)], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
