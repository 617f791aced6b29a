"""The index: the same bytes every time, the neighbours of the exact scan, and clear words about a broken file."""

import builtins
import logging

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from skyloom.core.errors import BadInput
from skyloom.explore import index as index_module
from skyloom.explore import index_file, recall
from skyloom.explore.index import Index, build_index, open_index
from skyloom.explore.scan import Scan
from tests.explore.toy import embeddings

N, WIDTH = 3000, 16


def values(n: int = N, offset: float = 50.0) -> np.ndarray:
    """A bent surface far from the origin, where 16 bits would not tell neighbours apart."""
    rng = np.random.default_rng(7)
    inner, outer = rng.normal(size=(4, 12)), rng.normal(size=(12, WIDTH))
    return (np.tanh(rng.normal(size=(n, 4)) @ inner) @ outer + 0.1 * rng.normal(size=(n, WIDTH)) + offset).astype("f4")


@pytest.fixture(scope="module", params=["euclidean", "cosine"])
def made(request, tmp_path_factory):
    """Table, index in three graphs, its exact scan, metric."""
    folder = tmp_path_factory.mktemp("index")
    table = embeddings(folder / "net-spectrum.parquet", values(), shared_space=request.param == "cosine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_file.write, "__defaults__", (1, 1200))
        scan = build_index(table, folder / "net-spectrum.usearch")
    return table, folder / "net-spectrum.usearch", scan, request.param


def test_the_scan_is_sklearns_and_the_index_finds_what_it_finds(made):
    _, path, scan, metric = made
    queries = values()[::100] + 0.01
    theirs = NearestNeighbors(algorithm="brute", metric=metric).fit(values().astype("f8"))
    distance, row = theirs.kneighbors(queries.astype("f8"), 10)
    for part, tolerance in ((scan, 1e-5), (Index(path), 1e-3)):
        found = part.search(queries, 10)
        of_scale = scan.space.scale if metric == "euclidean" else scan.space.scale**2
        np.testing.assert_allclose(found[0], distance, rtol=tolerance, atol=tolerance * of_scale)
        assert (found[1] == row).mean() > (0.999 if part is scan else 0.98)
    assert len(Index(path)._file.graphs) == 3


def test_recall_is_measured_and_falls_when_the_index_is_of_others(made, tmp_path):
    table, path, scan, _ = made
    assert recall.measure(Index(path), scan)["recall"] > 0.99
    shuffled = values()[np.random.default_rng(0).permutation(N)]
    other = embeddings(tmp_path / "net-spectrum.parquet", shuffled, shared_space=scan.space.metric == "cosine")
    build_index(other, tmp_path / "other.usearch")
    assert recall.measure(Index(tmp_path / "other.usearch"), scan)["recall"] < 0.05
    found = recall.write(tmp_path / "recall.json", path, scan)
    assert '"k": 10' in (tmp_path / "recall.json").read_text() and found["bytes"] == path.stat().st_size


def test_limits_are_kept_by_graphs_and_by_comparison_alike(made, monkeypatch):
    _, path, scan, _ = made
    index, queries = Index(path), values()[::300] + 0.01
    among = np.random.default_rng(1).random(N) < 0.1
    expected = scan.search(queries, 8, among)
    compared = index.search(queries, 8, np.flatnonzero(among))
    monkeypatch.setattr(index_module, "FEW", 10)
    by_graphs = index.search(queries, 8, among)
    for found in (compared, by_graphs):
        assert among[found[1]].all() and (found[1] == expected[1]).mean() > 0.97
    few = index.search(queries, 8, np.arange(3))
    assert (few[1][:, 3:] == -1).all() and np.isnan(few[0][:, 3:]).all() and (np.sort(few[1][:, :3]) == [0, 1, 2]).all()
    nothing = index.search(queries, 8, np.zeros(N, bool))
    assert (nothing[1] == -1).all()


def test_neighbours_that_all_lie_in_one_graph_are_found_too(tmp_path, monkeypatch):
    ordered = values()[np.argsort(values()[:, 0])]  # each graph has a part of the surface for itself
    table = embeddings(tmp_path / "net-spectrum.parquet", ordered)
    monkeypatch.setattr(index_file.write, "__defaults__", (1, 1200))
    scan = build_index(table, tmp_path / "i.usearch")
    monkeypatch.setattr(index_module, "FEW", 10)
    among, index = np.random.default_rng(1).random(N) < 0.05, Index(tmp_path / "i.usearch")
    for k, allowed in ((8, among), (400, None)):
        found, expected = (some.search(ordered[::100], k, allowed)[1] for some in (index, scan))
        assert np.mean([np.isin(one, other).mean() for one, other in zip(found, expected, strict=True)]) > 0.98


def test_bytes_do_not_depend_on_threads(tmp_path, monkeypatch):
    table = embeddings(tmp_path / "net-spectrum.parquet", values(1000))
    for threads in (1, 3):
        monkeypatch.setattr(index_file.write, "__defaults__", (1, 300))
        build_index(table, tmp_path / f"{threads}.usearch", threads)
    assert (tmp_path / "1.usearch").read_bytes() == (tmp_path / "3.usearch").read_bytes()


def test_usearch_itself_opens_the_file(tmp_path):
    from usearch.index import Index as Theirs

    table = embeddings(tmp_path / "net-spectrum.parquet", values(500))
    scan = build_index(table, tmp_path / "net-spectrum.usearch")
    theirs = Theirs.restore(str(tmp_path / "net-spectrum.usearch"), view=True)
    query = scan.space.of(values(500)[:1])[0].astype("f2")
    assert len(theirs) == 500 and theirs.search(query, 5).keys[0] == 0


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_few_galaxies(tmp_path, rows):
    table = embeddings(tmp_path / "net-spectrum.parquet", values(rows))
    scan = build_index(table, tmp_path / "i.usearch")
    distance, row = Index(tmp_path / "i.usearch").search(values(1) + 1, 5)
    assert (row >= 0).sum() == rows and np.isfinite(distance).sum() == rows
    assert recall.measure(Index(tmp_path / "i.usearch"), scan)["recall"] == (1.0 if rows > 1 else None)


def test_the_scan_answers_where_there_is_no_index_or_another_one_or_no_usearch(made, tmp_path, monkeypatch, caplog):
    table, path, _, _ = made
    assert isinstance(open_index(path, table), Index)
    assert isinstance(open_index(tmp_path / "none.usearch", table), Scan)
    other = embeddings(tmp_path / "net-spectrum.parquet", values(50), weights_sha256="1")
    with caplog.at_level(logging.WARNING):
        assert isinstance(open_index(path, other), Scan)
    assert "not of the embeddings" in caplog.text
    own = builtins.__import__

    def without(name, *rest):
        if name.startswith("usearch"):
            raise ImportError("no usearch")
        return own(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert isinstance(open_index(path, table), Scan)
    with pytest.raises(BadInput, match="snakemake search"):
        open_index(tmp_path / "none.usearch")


def test_damage_is_said(made, tmp_path):
    _, path, _, _ = made
    whole = path.read_bytes()
    for name, data in {
        "cut": whole[:-5],
        "short": whole[1000:],
        "empty": b"",
        "other": b"\x89PNG" * 100,
        "header": whole[:-16] + (10**9).to_bytes(8, "little") + whole[-8:],
        "zeros": bytes(2000) + whole[2000:],
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=f"{name}: "):
            Index(tmp_path / name)
    index = Index(path)
    for wrong in (np.zeros((1, 3)), np.full((1, WIDTH), np.nan), np.zeros(WIDTH)):
        with pytest.raises(BadInput):
            index.search(wrong, 3)
