"""Clusters of blobs whose number is known."""

import numpy as np
import pandas
import pytest
from sklearn.datasets import make_blobs
from threadpoolctl import threadpool_limits

from skyloom.analysis.clusters import Settings, clusters
from skyloom.analysis.common import tables
from skyloom.core.errors import BadConfig
from skyloom.settings.section import parse

from . import synthetic


def settings(**given):
    return parse(Settings, given, "clusters")


@pytest.fixture(scope="module")
def blobs():
    centres = 12 * np.eye(4, 6)
    return make_blobs([200, 150, 120, 80], centers=centres, cluster_std=1.0, random_state=0)


def test_the_elbow_is_at_the_number_of_blobs(blobs):
    values, truth = blobs
    labels, scores = clusters.kmeans(values, settings(), 0)
    assert dict((metric, value) for _, metric, value in scores)["chosen_k"] == 4
    pairs = {(a, b) for a, b in zip(labels, truth, strict=True)}
    assert pairs == {(0, 0), (1, 1), (2, 2), (3, 3)}  # numbered by size


def test_elbow_by_hand():
    k = np.arange(1.0, 6)
    assert clusters.elbow(k, np.array([100.0, 40, 10, 8, 6])) == 2
    assert clusters.elbow(k, np.array([5.0, 5, 5, 5, 5])) == 0


def test_density_finds_blobs_and_calls_strays_noise(blobs):
    values, truth = blobs
    strays = np.random.default_rng(0).uniform(-60, 60, size=(25, 6))
    labels, _ = clusters.density(np.vstack([values, strays]), settings(hdbscan_components=6), 0)
    assert len(np.unique(labels[labels >= 0])) == 4
    assert (labels[-25:] == -1).mean() > 0.9
    assert (labels[:-25] == truth).mean() > 0.9


def test_mutual_information_is_one_for_the_same_partition_and_none_for_a_random_one():
    rng = np.random.default_rng(0)
    value = rng.normal(size=2000)
    quartile = np.searchsorted(np.quantile(value, [0.25, 0.5, 0.75]), value)
    frame = pandas.DataFrame({"same": value, "random": rng.permutation(value)})
    found = {(p, m): v for p, m, v in clusters.describe(quartile, frame, bins=4)}
    assert found["same", "ami"] == pytest.approx(1)
    assert found["random", "ami"] == pytest.approx(0, abs=0.01)
    assert found["cluster=0", "mean_same"] == pytest.approx(value[quartile == 0].mean())
    assert found["cluster=3", "count"] == 500


def test_a_survey_is_clustered_the_same_twice_on_any_number_of_threads(tmp_path):
    survey = synthetic.survey(tmp_path, n=(150, 20, 30), models=("specformer-spectrum", "astrodino-image"))
    inputs = {"galaxies": survey["galaxies"], "embeddings": survey["embeddings"]}
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            out = synthetic.run("clusters", inputs, tmp_path / "out", {"k": [1, 2, 3, 4]})
        found.append({name: path.read_bytes() for name, path in out.items()})
    assert found[0] == found[1]
    table, members = pandas.read_csv(out["table"]), pandas.read_parquet(out["members"])
    assert list(table) == tables.COLUMNS
    counts = table.query("metric == 'count'").groupby(["model", "method"])["value"].sum()
    assert (counts == 200).all() and len(members) == 4 * 200


def test_a_handful_of_galaxies_is_left_out(tmp_path, caplog):
    survey = synthetic.survey(tmp_path, n=(5, 0, 0), models=("specformer-spectrum",))
    inputs = {"galaxies": survey["galaxies"], "embeddings": survey["embeddings"]}
    with caplog.at_level("INFO"):
        out = synthetic.run("clusters", inputs, tmp_path / "out")
    assert not len(pandas.read_csv(out["table"])) and not len(pandas.read_parquet(out["members"]))
    assert "specformer-spectrum: 5 galaxies, not more than k = 10: left out" in caplog.text
    assert all(out[name].read_bytes().startswith(b"\x89PNG") for name in ("figure_kmeans", "figure_hdbscan"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"k": [3]}, "clusters.k: .* needs at least 3 entries"),
        ({"k": [3, 3, 4]}, r"clusters.k: \[3, 3, 4\] has 2 different values; an elbow needs at least 3"),
        ({"k": [0, 1, 2]}, "clusters.k.0: 0 is not allowed; must be at least 1"),
        ({"n_init": 2}, "clusters.n_init: 2 is not allowed; must be at least 3"),
    ],
)
def test_what_cannot_work_is_refused(given, words):
    with pytest.raises(BadConfig, match=words):
        settings(**given)
