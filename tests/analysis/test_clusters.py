"""Clusters of blobs whose number is known."""

import numpy as np
import pandas
import pytest
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from threadpoolctl import threadpool_limits

from skyloom.analysis.clusters import Settings, clusters, present, stability
from skyloom.analysis.clusters.describe import contingency, permutation_p
from skyloom.analysis.common import blocks, tables
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


def test_the_distance_below_the_chord_is_what_the_elbow_is_chosen_by():
    k, inertia = np.array([1.0, 2, 3, 5]), np.array([10.0, 5, 4, 2])
    below = clusters.below_chord(k, inertia)
    assert below == pytest.approx([0, 1 - 1 / 4 - 3 / 8, 1 - 2 / 4 - 2 / 8, 0])
    _, scores = clusters.kmeans(np.random.default_rng(0).normal(size=(60, 3)), settings(k=[1, 2, 3, 4]), 0)
    stated = {p: value for p, metric, value in scores if metric == "below_chord"}
    chosen = next(value for _, metric, value in scores if metric == "chosen_k")
    assert max(stated, key=stated.get) == f"k={chosen}" and stated["k=1"] == stated["k=4"] == 0


def test_blobs_are_stable_and_noise_is_not(blobs):
    values, _ = blobs
    steady, interval = stability.stability(values, 4, settings(), 0)
    assert steady == pytest.approx(1) and interval == pytest.approx((1, 1))
    noise = np.random.default_rng(0).normal(size=(500, 20))
    loose, (low, high) = stability.stability(noise, 4, settings(), 0)
    assert loose < 0.3 and low < loose < high
    assert stability.stability(noise, 4, settings(), 0) == (loose, (low, high))


def test_stability_is_the_mean_rand_index_of_pairs(monkeypatch):
    given = iter(np.random.default_rng(1).integers(0, 3, (3, 40)))

    class Fit:
        def predict(self, values):
            return self.labels

    def fit(*_):
        one = Fit()
        one.labels = next(given)
        return one

    expected = np.random.default_rng(1).integers(0, 3, (3, 40))
    pairs = [adjusted_rand_score(expected[i], expected[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    monkeypatch.setattr(stability, "kmeans_fit", fit)
    value, (low, high) = stability.stability(np.zeros((40, 2)), 3, settings(resamples_stability=3), 0)
    assert value == pytest.approx(np.mean(pairs))
    assert min(pairs) <= low <= high <= max(pairs)  # pairs of a fit with itself would give 1


def test_p_is_that_of_permuted_labels():
    rng = np.random.default_rng(3)
    bins = rng.integers(0, 4, 300)
    labels = np.where(rng.random(300) < 0.12, bins, rng.integers(0, 3, 300))
    found = permutation_p(bins, labels, 4000, 0)
    ami = adjusted_mutual_info_score(bins, labels)
    permuted = [adjusted_mutual_info_score(bins, rng.permutation(labels)) >= ami for _ in range(1000)]
    assert found == pytest.approx(np.mean(permuted), abs=4 * np.sqrt(found / 1000) + 0.002)


def test_p_of_no_relation_is_uniform_and_of_an_exact_one_the_least():
    rng = np.random.default_rng(0)
    values = [permutation_p(rng.integers(0, 4, 200), rng.integers(0, 3, 200), 99, s) for s in range(300)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.06)
    labels = rng.integers(0, 4, 200)
    assert permutation_p(labels, labels, 199, 0) == 1 / 200
    assert permutation_p(labels, np.zeros(200, int), 199, 0) == 1  # one cluster says nothing
    assert contingency(np.array([5, 5, -1]), np.array([2, 7, 7])).tolist() == [[0, 1], [1, 1]]


def test_known_galaxies_alone_count_and_p_stands_beside_ami():
    value = np.r_[np.zeros(50), np.ones(50), np.full(900, np.nan)]
    frame = pandas.DataFrame({"half": value, "none": np.nan})
    labels = np.r_[np.zeros(50, int), np.ones(950, int)]
    found = {(p, m): v for p, m, v in clusters.describe(labels, frame, bins=2, permutations=19)}
    assert found["cluster=1", "mean_half"] == 1 and np.isnan(found["cluster=1", "mean_none"])
    assert found["half", "ami_p"] == 1 / 20 or found["half", "ami"] == 0
    assert not {("none", "ami"), ("none", "ami_p")} & set(found)


def test_density_in_all_columns_is_that_of_scikit_learn(blobs):
    values, truth = blobs
    labels, scores = clusters.raw_density(values.astype(np.float32), settings(), 0)
    other = HDBSCAN(min_cluster_size=5, min_samples=5, copy=True).fit_predict(values)
    assert scores == [("all", "clusters", 4)]
    assert adjusted_rand_score(labels, truth) > 0.9 and adjusted_rand_score(labels, other) > 0.9


def test_at_most_so_many_galaxies_are_drawn_by_their_own_number():
    ids = np.random.default_rng(0).permutation(10**6)[:1000]
    rows = clusters.sample(ids, 100, 0)
    assert len(rows) == 100 and (np.diff(rows) > 0).all()
    kept = np.r_[rows, np.setdiff1d(np.arange(1000), rows)[:400]]  # the same galaxies, whatever else there is
    assert set(ids[kept][clusters.sample(ids[kept], 100, 0)]) == set(ids[rows])
    assert len(clusters.sample(ids, 5000, 0)) == 1000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Outputs for two embeddings, one of them with fewer galaxies for HDBSCAN on all columns."""
    folder = tmp_path_factory.mktemp("clusters")
    survey = synthetic.survey(folder, n=(150, 20, 30), models=("specformer-spectrum", "astrodino-image"))
    inputs = {"galaxies": survey["galaxies"], "embeddings": survey["embeddings"]}
    given = {"k": [1, 2, 3, 4], "raw_galaxies": 80, "permutations": 49}
    return synthetic.run("clusters", inputs, folder / "out", given), given


def test_hdbscan_on_the_whole_embedding_says_how_many_galaxies_it_saw(made):
    table, members = pandas.read_csv(made[0]["table"]), pandas.read_parquet(made[0]["members"])
    raw = table.query("method == 'hdbscan_raw'")
    assert set(raw["n"]) == {80} and (raw.query("metric == 'count'").groupby("model")["value"].sum() == 80).all()
    assert set(members["method"]) == {"kmeans", "hdbscan"}
    p = table.query("metric == 'ami_p'")["value"]
    assert p.between(1 / 50, 1).all() and len(p) == 2 * 3 * 5
    steady = table.query("metric == 'stability'")
    assert len(steady) == 2 and (steady["ci_low"] <= steady["value"]).all() and (steady["value"] <= 1).all()


def test_the_report_has_the_tables_of_the_benchmark_with_published_numbers(made, tmp_path):
    columns = ["source", "survey", "model", "modality", "method", "property", "group", "metric", "value", "reference"]
    other = ["Paper", "sky", "eye", "image"]
    of_cluster = [("ln_z_mw", "mean", -4.60517), ("", "count", 45527)]
    rows = [[*other, "kmeans", name, "0", metric, v, "here"] for name, metric, v in of_cluster]
    rows += [[*other, "kmeans", "log_mstar", "", "ami", 0.093, "here"], [*other, "knn", "z", "", "r2", 0.5, "here"]]
    rows += [[*other, "hdbscan", "", "-1", "count", 8404, "here"]]
    rows += [[*other, "kmeans", "position", "0", "count", 7, "here"]]  # of the sky
    pandas.DataFrame(rows, columns=columns).to_csv(tmp_path / "published.csv", index=False)
    survey = blocks.Shown("mock", published=[str(tmp_path / "published.csv")])
    paths = {role: str(path) for role, path in made[0].items()}
    shown = present.present(paths, settings(**made[1]), survey)
    chosen, means, ami, frequencies = (block for block in shown if block.shape == "table")
    table = pandas.read_csv(paths["table"])
    assert len(chosen.lines) == 2 and all("below the chord" in columns for columns in (chosen.columns,))
    clusters_of = table.query("method == 'kmeans' and metric == 'count'")
    assert len(means.lines) == len(clusters_of) + 1 and len(means.marked) == len(clusters_of)
    (theirs,) = (line for line in means.lines if line[0] == "Paper")
    assert (
        theirs[-1] == "45,527" and theirs[means.columns.index("mean log Z_MW")] == "-2.00"
    )  # ln 0.01 as a decimal one
    (theirs,) = (line for line in ami.lines if line[0] == "Paper")
    assert theirs[ami.columns.index("log M* [Msun]")] == "0.093" and "p = 0." in ami.lines[-1][-1]
    (theirs,) = (line for line in frequencies.lines if line[0] == "Paper")
    assert theirs[5] == "8,404" and len(frequencies.lines) == 5
    assert sum(block.shape == "figure" for block in shown) == 2


def test_without_clusters_or_published_numbers_the_report_says_so(made, tmp_path):
    tables.write_csv(tmp_path / "clusters.csv", [])
    (text,) = present.present({"table": str(tmp_path / "clusters.csv")}, settings(), blocks.Shown("mock"))
    assert "Too few" in text.text
    shown = present.present({role: str(path) for role, path in made[0].items()}, settings(), blocks.Shown("mock"))
    assert "Published" not in "".join(block.note for block in shown if block.shape == "table")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"k": [3]}, "clusters.k: .* needs at least 3 entries"),
        ({"k": [3, 3, 4]}, r"clusters.k: \[3, 3, 4\] has 2 different values; an elbow needs at least 3"),
        ({"k": [0, 1, 2]}, "clusters.k.0: 0 is not allowed; must be at least 1"),
        ({"raw_galaxies": 20000}, "clusters.raw_galaxies: 20000 is not allowed; must be at most 8000"),
        ({"resamples_stability": 2}, "clusters.resamples_stability: 2 is not allowed; must be at least 3"),
        ({"n_init": 2}, "clusters.n_init: 2 is not allowed; must be at least 3"),
    ],
)
def test_what_cannot_work_is_refused(given, words):
    with pytest.raises(BadConfig, match=words):
        settings(**given)
