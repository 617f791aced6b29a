"""Scores on the training split: nobody predicts themselves, and who does is shown to give labels back."""

import copy

import numpy as np
import pandas
import pytest
from sklearn.neighbors import KNeighborsRegressor

from skyloom.analysis.common import neighbours, statistics, tables
from skyloom.analysis.common.blocks import Claim, Shown, Table, Text
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.training_scores import Settings, left_out, scores
from skyloom.analysis.training_scores.present import claims, present
from skyloom.core.errors import BadConfig, BadInput
from skyloom.settings.config import load
from skyloom.settings.section import parse

from . import synthetic

REGRESSION = {"k": [16], "metric": ["euclidean", "cosine"], "epochs": [2], "whitened": [0, 4], "components": [2, 8]}
MODELS = ("specformer-spectrum", "pca_spectrum-spectrum", "astroclip-image", "astroclip-spectrum")


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return synthetic.survey(tmp_path_factory.mktemp("survey"), n=(400, 80, 120), models=MODELS)


def regress(survey, folder, config=REGRESSION):
    inputs = {role: survey[role] for role in ("galaxies", "splits", "embeddings")}
    return synthetic.run("regression", inputs, folder, config)


def run(survey, predictions, folder, config=None):
    inputs = {role: survey[role] for role in ("galaxies", "splits", "embeddings")} | {"predictions": predictions}
    out = synthetic.run("training_scores", inputs, folder, config or {"folds": 3})
    return pandas.read_csv(out["table"]), out


@pytest.fixture(scope="module")
def regression(survey, tmp_path_factory):
    return regress(survey, tmp_path_factory.mktemp("regression"))


@pytest.fixture(scope="module")
def result(survey, regression, tmp_path_factory):
    return run(survey, regression["predictions"], tmp_path_factory.mktemp("result"))


def made_up(n=60, d=3, properties=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(n, properties))


@pytest.mark.parametrize("weights", ["distance", "uniform"])
def test_leaving_one_out_is_scikit_learn_without_that_galaxy(weights):
    features, labels = made_up()
    features[7] = features[3]  # twins: another galaxy at distance 0 counts
    queries = np.array([3, 7, 0, 59])
    got, _ = left_out.leave_one_out(features, labels, queries, 5, "euclidean", weights)
    for row, query in enumerate(queries):
        others = np.delete(np.arange(len(features)), query)
        oracle = KNeighborsRegressor(5, weights=weights).fit(features[others].astype(float), labels[others])
        assert got[row] == pytest.approx(oracle.predict(features[[query]].astype(float))[0], rel=1e-6)
    if weights == "distance":
        assert got[0] == pytest.approx(labels[7]) and got[1] == pytest.approx(labels[3])


def test_a_galaxy_is_never_its_own_neighbour_even_among_many_twins():
    features, labels = np.zeros((40, 2), np.float32), np.arange(40.0)[:, None]
    got, naive = left_out.leave_one_out(features, labels, np.arange(40), 4, "euclidean", "distance")
    # ties go to the lower number: 0 to 3, or 4 in the place of a galaxy that is among them
    expected = [np.delete(np.arange(5.0), i).mean() if i < 4 else 1.5 for i in range(40)]
    assert got[:, 0] == pytest.approx(expected) and naive[:, 0] == pytest.approx([1.5] * 40)


def test_with_fewer_galaxies_than_neighbours_all_others_count():
    features, labels = made_up(n=4)
    got, _ = left_out.leave_one_out(features, labels, np.arange(4), 64, "euclidean", "uniform")
    assert got == pytest.approx((labels.sum(axis=0) - labels) / 3)
    alone, naive = left_out.leave_one_out(features[:1], labels[:1], np.arange(1), 64, "euclidean", "distance")
    assert np.isnan(alone).all() and np.isnan(naive).all()


def test_who_finds_itself_gives_its_label_back_whatever_the_features():
    features, labels = made_up(n=200)  # the labels have nothing to do with them
    got, naive = left_out.leave_one_out(features, labels, np.arange(200), 16, "euclidean", "distance")
    assert naive == pytest.approx(labels)
    assert statistics.r2(labels[:, 0], naive[:, 0]) == pytest.approx(1)
    assert statistics.r2(labels[:, 0], got[:, 0]) < 0.1


def test_folds_are_disjoint_equal_and_of_the_seed():
    fold = left_out.folds(103, 5, 1)
    assert sorted(np.bincount(fold)) == [20, 20, 21, 21, 21]
    assert np.array_equal(fold, left_out.folds(103, 5, 1)) and not np.array_equal(fold, left_out.folds(103, 5, 2))


def test_an_mlp_never_learns_what_it_predicts(survey, tmp_path, monkeypatch):
    taught = []

    def fit(train, labels, names, queries, modality, settings, epochs, seed):
        taught.append((set(map(bytes, train)), set(map(bytes, queries))))
        return {count: np.zeros((len(queries), len(names))) for count in epochs}

    made = regress({**survey, "embeddings": survey["embeddings"][:1]}, tmp_path / "r")
    monkeypatch.setattr(left_out, "fit", fit)
    run({**survey, "embeddings": survey["embeddings"][:1]}, made["predictions"], tmp_path / "out", {"folds": 4})
    assert len(taught) == 4 * 3  # spectra, magnitudes, magnitudes and the redshift
    for some in (taught[:4], taught[4:8], taught[8:]):
        asked = [queries for _, queries in some]
        assert all(not train & queries for train, queries in some)
        assert len(set().union(*asked)) == sum(map(len, asked)) == 400


def test_every_source_of_the_regression_has_its_scores_and_the_gap(survey, regression, result):
    table = result[0]
    assert list(table) == scores.COLUMNS
    assert not table.duplicated(["model", "modality", "method", "property", "split", "metric"]).any()
    made = pandas.read_csv(regression["table"]).query("metric == 'r2' and split == 'test'")
    made = made[~made["modality"].str.contains("->")]
    key = ["model", "modality", "method", "property"]
    test, train = (table.query(f"metric == 'r2' and split == '{s}'").set_index(key) for s in ("test", "train"))
    assert set(test.index) == set(train.index) == set(map(tuple, made[key].to_numpy()))
    assert test["value"].to_dict() == pytest.approx(made.set_index(key)["value"].to_dict(), abs=1e-5)
    gap = table[table["metric"] == "r2_gap"].set_index(key)
    assert (gap["value"] - (train["value"] - test["value"])).abs().max() < 2e-5
    assert ((gap["ci_low"] <= gap["value"]) & (gap["value"] <= gap["ci_high"])).all()
    assert train.xs("z", level="property")["n"].eq(400).all()
    assert train.xs("log_ssfr", level="property")["n"].eq(392).all()
    p, corrected = (table[table["metric"] == f"r2_gap_{name}"]["value"].to_numpy() for name in ("p", "p_holm"))
    assert (corrected >= p - 1e-9).all()


def test_the_naive_score_is_one_and_no_other(result):
    table = result[0]
    naive = table[table["metric"] == "r2_naive"]
    assert set(naive["method"]) == {"knn"} and naive["value"].to_numpy() == pytest.approx(1, abs=1e-6)
    assert table.query("metric == 'r2' and split == 'train'")["value"].max() < 0.99


def test_a_knn_of_the_chosen_components_and_metric_is_scored(survey, tmp_path):
    config = REGRESSION | {"whitened": [4], "metric": ["cosine"], "epochs": [1], "properties": ["t_age"]}
    own = {**survey, "embeddings": survey["embeddings"][:1]}
    table, _ = run(own, regress(own, tmp_path / "r", config)["predictions"], tmp_path / "out")
    e = read_embedding(own["embeddings"][0])
    train = e.select(e.split == "train")
    x = neighbours.whiten(4, neighbours.standardise(train.values)[0])[0].astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = survey["table"].set_index("targetid").loc[train.targetid, "t_age"].to_numpy()
    distance = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1)[:, :16]
    w = 1 / np.take_along_axis(distance, near, 1)
    expected = statistics.r2(y, (w * y[near]).sum(1) / w.sum(1))
    row = table.query("model == 'specformer' and method == 'knn' and metric == 'r2' and split == 'train'").iloc[0]
    assert row["value"] == pytest.approx(expected, abs=1e-4)


def test_of_many_training_galaxies_some_are_scored_among_all(survey, regression, tmp_path):
    table, _ = run(survey, regression["predictions"], tmp_path, {"galaxies": 150, "folds": 2})
    train = table.query("metric == 'r2' and split == 'train' and property == 'z'")
    assert set(train["n"]) == {150} and set(train["method"]) == {"knn", "mlp"}


def test_the_same_run_writes_the_same_bytes(survey, regression, result, tmp_path):
    out = run(survey, regression["predictions"], tmp_path)[1]
    assert all(out[role].read_bytes() == path.read_bytes() for role, path in result[1].items())


def test_a_gap_that_is_there_is_found(result):
    table = result[0].copy()
    found = list(claims(table))
    assert [claim.holds for claim in found][0] and "1.000 to 1.000" in found[0].numbers
    knn = (table["method"] == "knn") & (table["metric"].isin(["r2_gap", "r2_gap_p_holm"]))
    table.loc[knn & (table["metric"] == "r2_gap"), "value"] = 0.3
    table.loc[knn & (table["metric"] == "r2_gap_p_holm"), "value"] = 0.001
    by_method = {claim.text.split(":")[0]: claim for claim in claims(table)}
    assert not by_method["kNN"].holds and by_method["MLP"].holds == found[2].holds


def test_overfitted_embeddings_show_a_gap(survey, tmp_path):
    """Features that hold the labels of training galaxies and noise of the others."""
    table, rng = survey["table"], np.random.default_rng(0)
    z = (table["z"] - table["z"].mean()) / table["z"].std()
    values = np.where((table["split"] == "train").to_numpy(), z, rng.normal(size=len(z)))[:, None] + rng.normal(
        scale=0.1, size=(len(z), 4)
    )
    path = synthetic.embed(tmp_path / "cheat-image.parquet", table["targetid"].to_numpy(), table["split"].to_numpy(),
                           values.astype(np.float32))  # fmt: skip
    own = {**survey, "embeddings": [path]}
    config = REGRESSION | {"properties": ["z"], "whitened": [0]}
    got, _ = run(own, regress(own, tmp_path / "r", config)["predictions"], tmp_path / "out")
    row = got.query("model == 'cheat' and method == 'knn' and metric == 'r2_gap'").iloc[0]
    assert row["ci_low"] > 0.5 and not next(c for c in claims(got) if c.text.startswith("kNN")).holds


def test_what_the_report_shows(result, tmp_path):
    published = tmp_path / "published.csv"
    row = {"source": "s", "survey": "sky", "model": "specformer", "modality": "spectrum", "method": "knn"}
    row |= {"property": "z", "metric": "r2", "reference": "Table 4"}
    rows = [row | {"split": "train", "value": 0.77}, row | {"split": "test", "value": 0.7}]
    tables.write_csv(published, rows, list(rows[0]))
    blocks = present(result[1], parse(Settings, {}, ""), Shown("mock", True, published=[str(published)]))
    assert sum(isinstance(block, Claim) for block in blocks) == 3
    (beside,) = [block for block in blocks if isinstance(block, Table)]
    assert [line[:2] for line in beside.lines] == [["s", "sky"], ["this run", "mock"]]
    assert beside.lines[0][-1] == "0.77" and list(beside.marked) == [1]


def test_without_a_property_the_tables_are_empty(survey, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"]).assign(t_age=np.nan)
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    own = {**survey, "galaxies": tmp_path / "galaxies.parquet"}
    made = regress(own, tmp_path / "r", REGRESSION | {"properties": ["t_age"]})
    table, out = run(own, made["predictions"], tmp_path / "out")
    assert table.empty and list(table) == scores.COLUMNS and out["figure"].stat().st_size > 0
    (said,) = present(out, parse(Settings, {}, ""), None)
    assert isinstance(said, Text) and said.warns


def test_predictions_that_say_nothing_of_choices_are_refused(survey, tmp_path):
    with pytest.raises(BadInput, match="splits.parquet: not predictions that say what was chosen"):
        run(survey, survey["splits"], tmp_path)


CONFIG = {
    "seed": 1,
    "threads": 1,
    "surveys": {"mock": {"kind": "mock", "modalities": ["spectrum", "image"], "models": ["pca", "eye"]}},
    "models": {"pca": {"kind": "pca", "modality": "spectrum"}, "eye": {"kind": "pca", "modality": "image"}},
    "report": "mock",
}


def test_its_inputs_are_those_of_the_regression_that_it_names():
    base = copy.deepcopy(CONFIG)
    analyses = {"regression": {}, "published": {"kind": "regression"}, "training_scores": {"regression": "published"}}
    made = load(base | {"analyses": analyses}).made["training_scores", "mock"]
    assert made["predictions"] == ["results/mock/analysis/published-predictions.parquet"]
    there = {"pca-spectrum": "results/mock/embeddings/pca-spectrum.parquet"}
    there["eye-image"] = "results/mock/embeddings/eye-image.parquet"
    assert set(made["embeddings"]) == set(there.values())
    some = {"regression": "published", "embeddings": ["eye-image"]}
    made = load(base | {"analyses": analyses | {"training_scores": some}}).made["training_scores", "mock"]
    assert made["embeddings"] == [there["eye-image"]]
    less = analyses | {"published": {"kind": "regression", "embeddings": ["pca-spectrum"]}, "training_scores": some}
    assert ("training_scores", "mock") not in load(base | {"analyses": less}).made
    with pytest.raises(BadConfig, match="training_scores.regression: 'regresion' is not an analysis; did you mean"):
        load(base | {"analyses": {"regression": {}, "training_scores": {"regression": "regresion"}}})
    with pytest.raises(BadConfig, match="training_scores.regression: 'umap' is of kind umap"):
        load(base | {"analyses": {"umap": {}, "training_scores": {"regression": "umap"}}}).made  # noqa: B018
