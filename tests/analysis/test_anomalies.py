"""Anomalies planted in one modality and in the pairing are found, told apart, and not claimed where nobody knows."""

import copy

import numpy as np
import pandas
import pytest
import yaml
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from skyloom.analysis.anomalies import Settings, cause, combine, disagreement, metrics, scores
from skyloom.analysis.anomalies.present import claims, present
from skyloom.analysis.common import blocks, tables
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.core.errors import BadInput
from skyloom.settings.config import load
from skyloom.settings.section import parse
from tests.paths import ROOT

from . import synthetic

SINGLE = ("specformer-spectrum", "specformer_untrained-spectrum", "astrodino-image")
MODELS = (*SINGLE, "astroclip-image", "astroclip-spectrum")
STEP, SWAP = "calibration_step", "wrong_image"


def plant(folder, n=(500, 120, 150), number=8):
    """A survey in whose validation and test splits `number` spectra each are odd, and as many images another galaxy's;
    paths, and targetid -> kind."""
    survey = synthetic.survey(folder, n=n, models=MODELS)
    table, rng = survey["table"], np.random.default_rng(5)
    kind = pandas.Series("", index=table["targetid"].to_numpy())
    for split in ("validation", "test"):
        ids = table.loc[table["split"] == split, "targetid"].to_numpy()[: 2 * number]
        kind[ids] = np.repeat([STEP, SWAP], number)
    for path in survey["embeddings"]:
        e = read_embedding(path)
        values, own = e.values.copy(), kind.loc[e.targetid].to_numpy()
        if e.modality == "spectrum":
            values[own == STEP] += 150 * rng.normal(size=(1, e.width)) / e.width**0.5
        else:
            for split in ("validation", "test"):
                rows = np.flatnonzero((own == SWAP) & (e.split == split))
                values[rows] = values[np.roll(rows, 1)]
        synthetic.embed(path, e.targetid, e.split, values)
    truth = folder / "truth.parquet"
    tables.write_parquet(truth, pandas.DataFrame({"targetid": kind.index, "anomaly": kind.to_numpy()}))
    return {**survey, "truth": [truth]}, kind


def run(survey, folder, config=None, **more):
    inputs = {name: survey[name] for name in ("galaxies", "splits", "embeddings")}
    inputs |= {"predictions": [], "truth": survey.get("truth", []), **more}
    out = synthetic.run(
        "anomalies", inputs, folder, {"k": 8, "components": 6, "trees": 10, "resamples": 100, **(config or {})}
    )
    return pandas.read_csv(out["table"], keep_default_na=False, na_values=[""]), out


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    survey, kind = plant(folder)
    table, out = run(survey, folder / "out", {"flagged": 16})
    return survey, kind, table, out


def value(table, metric, group, model="combined", method=None):
    rows = table[(table["metric"] == metric) & (table["group"] == group) & (table["model"] == model)]
    rows = rows[(rows["split"] == "test") & (rows["method"] == method if method else rows["method"] != "chance")]
    return rows["value"].item()


def test_areas_and_precisions_are_those_of_scikit_learn_with_ties_too():
    rng = np.random.default_rng(0)
    for decimals in (9, 1, 0):
        values, labelled = np.round(rng.normal(size=300), decimals), rng.random(300) < 0.1
        values[labelled] += np.round(0.8, decimals)
        found = metrics.Listing(values, labelled).measure([300])
        assert found["auc"] == pytest.approx(roc_auc_score(labelled, values))
        assert found["average_precision"] == pytest.approx(average_precision_score(labelled, values))
        assert found["precision@300"] == pytest.approx(labelled.mean())


def test_precision_by_hand_and_of_ties_on_average():
    listing = metrics.Listing(np.array([5.0, 4, 3, 3, 3, 1]), np.array([1, 0, 1, 0, 0, 1], bool))
    assert listing.precision(np.array([1, 2, 3, 5, 6])) == pytest.approx([1, 1 / 2, (4 / 3) / 3, 2 / 5, 3 / 6])
    assert listing.counts == (3, 3)


def test_the_bootstrap_is_that_of_galaxies_drawn_one_by_one():
    rng = np.random.default_rng(1)
    labelled = np.arange(400) < 30
    values = rng.normal(size=400) + labelled
    drawn = metrics.Listing(values, labelled).bootstrap([10], 3000, 0)
    slow = []
    for _ in range(200):
        rows = np.concatenate([rng.integers(0, 30, 30), rng.integers(30, 400, 370)])
        slow.append(
            [roc_auc_score(labelled[rows], values[rows]), average_precision_score(labelled[rows], values[rows])]
        )
    for name, direct in zip(("auc", "average_precision"), np.array(slow).T, strict=True):
        assert drawn[name].mean() == pytest.approx(direct.mean(), abs=0.02)
        assert drawn[name].std() == pytest.approx(direct.std(), rel=0.15)


def test_distances_and_ratios_are_those_of_scikit_learn():
    rng = np.random.default_rng(2)
    reference, queries = rng.normal(size=(200, 5)).astype("f4"), rng.normal(size=(40, 5)).astype("f4")
    distance, ratio, index = scores.local(queries, reference, 7)
    search = NearestNeighbors(n_neighbors=7).fit(reference)
    far, rows = search.kneighbors(queries)
    own = search.kneighbors()[0][:, -1]  # without the row itself
    assert distance == pytest.approx(far[:, -1], rel=1e-5) and (index == rows).all()
    assert ratio == pytest.approx(far[:, -1] / own[rows].mean(axis=1), rel=1e-5)


def test_components_that_are_rounding_are_not_whitened():
    rng = np.random.default_rng(3)
    table = (rng.normal(size=(100, 3)) @ rng.normal(size=(3, 20))).astype("f4").astype(float)
    assert scores.varying(np.repeat(table[:, :1], 5, axis=1), 5) == 1
    assert scores.varying(np.ones((50, 4)), 4) == 0


def test_oddness_is_an_exponential_variate_of_ranks():
    values = np.append(np.random.default_rng(4).normal(size=5000), np.nan)
    odd = combine.oddness(values)
    assert np.isnan(odd[-1]) and odd[:-1].mean() == pytest.approx(1, abs=0.01)
    assert odd[:-1].argmax() == values[:-1].argmax()
    assert combine.oddness(np.exp(values)) == pytest.approx(odd, nan_ok=True)
    assert np.isnan(combine.oddness(np.full(3, np.nan))).all()


def test_scores_of_one_family_count_once_and_unknown_ones_not_at_all():
    ids = np.arange(4)
    a, b = pandas.Series([0.0, 1, 2, 3], ids), pandas.Series([3.0, 2, 1, np.nan], ids)
    given = [scores.Score("m", "x", str(i), "", "one", True, a) for i in range(5)]
    given += [scores.Score("m", "y", "", "", "two", True, b), scores.Score("m", "y", "", "", "three", False, b)]
    table = combine.families(given, ids)
    assert list(table) == ["one", "two"]
    assert table["one"].to_numpy() == pytest.approx(combine.oddness(a))
    assert combine.combined(table, "sum")[3] == combine.combined(table, "maximum")[3] == table["one"][3]
    assert combine.places(np.array([1.0, np.nan, 3, 3])).tolist() == [3, 4, 1, 2]


def test_a_regression_to_the_mean_is_no_disagreement():
    rng = np.random.default_rng(6)
    truth = rng.normal(size=3000)
    shrunk = 0.5 * truth + 0.1 * rng.normal(size=3000)
    shrunk[7] += 3
    off = disagreement.scaled(shrunk - truth, truth)
    assert off.argmax() == 7
    assert np.median(off) == pytest.approx(1 / 1.4826, rel=0.02)
    assert (off[np.argsort(truth)[-30:]] < 6).all()  # the brightest of all
    truth[0] = np.nan
    assert np.isnan(disagreement.scaled(shrunk - truth, truth)[0])
    assert np.isnan(disagreement.scaled(np.zeros(30), np.zeros(30))).all()


def test_ranks_of_counterparts_by_hand_and_in_blocks(monkeypatch):
    rng = np.random.default_rng(7)
    a, b = (disagreement.unit(rng.normal(size=(50, 4))) for _ in range(2))
    direct = [((b @ a[i]) > (b @ a[i])[i]).sum() / 49 for i in range(50)]
    assert disagreement.ranks(a, b) == pytest.approx(direct)
    monkeypatch.setattr(disagreement.neighbours, "BLOCK", 300)
    assert disagreement.ranks(a, b) == pytest.approx(direct)
    assert disagreement.ranks(np.ones((5, 1)), np.ones((5, 1))) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("stands_out", "expected"),
    [
        (["spectrum", "image_catalogue"], "qso_in_host"),
        (["spectrum", "pair"], "calibration_step"),
        (["spectrum"], "blend"),
        (["pair", "image"], "lensed_arc"),
        (["pair"], "wrong_image"),
        (["pair", "image_catalogue"], "wrong_image"),
        (["image_catalogue"], "blend"),
        (["image"], "lensed_arc"),
        (["redshift"], "wrong_redshift"),
        ([], "unclear"),
    ],
)
def test_the_cause_is_guessed_by_what_stands_out(stands_out, expected):
    names = ["spectrum", "image", "pair", "redshift", "image_catalogue"]
    table = pandas.DataFrame([[5.0 if name in stands_out else 0.5 for name in names]], columns=names)
    assert cause.guess(table, 0.1).tolist() == [expected]
    assert cause.guess(table[stands_out], 0.1).tolist() == [expected]  # what a survey lacks stands out in nobody


def test_what_is_planted_is_found_by_the_family_that_sees_it(planted):
    _, kind, table, out = planted
    assert list(table) == [*tables.COLUMNS[:6], "group", *tables.COLUMNS[6:]]
    assert value(table, "auc", STEP, "family", "spectrum") > 0.99
    assert value(table, "auc", SWAP, "family", "pair") > 0.9
    assert 0.25 < value(table, "auc", SWAP, "family", "spectrum") < 0.75
    assert value(table, "auc", "any") > 0.9
    assert value(table, "auc", "any", method="chance") == 0.5
    assert value(table, "precision@16", "any", method="chance") == pytest.approx(16 / 150, rel=1e-5)
    found = pandas.read_parquet(out["galaxies"]).set_index("targetid")
    label = kind.loc[found.index]
    assert (found["label"] == label).all() and len(found) == 150
    expected = roc_auc_score(label[label != SWAP] == STEP, found["combined-sum"][label != SWAP])
    assert value(table, "auc", STEP) == pytest.approx(expected, rel=1e-5)
    assert found["flagged"].sum() == 16 and (found["guess"] != "").sum() == 16
    assert sorted(found["place"]) == list(range(1, 151))


def test_causes_are_guessed_better_than_as_the_commonest(planted):
    _, kind, table, out = planted
    found = pandas.read_parquet(out["galaxies"]).set_index("targetid")
    wrong = found[found["flagged"] & (found["label"] != "")]
    right = (wrong["guess"] == wrong["label"]).mean()
    assert value(table, "right", "any", "guess") == pytest.approx(right, rel=1e-5)
    assert right > value(table, "right", "any", "commonest")
    assert table[table["metric"] == "flagged"]["value"].sum() == 16


def test_the_combination_is_chosen_on_the_validation_split(planted):
    _, _, table, out = planted
    rows = table[(table["split"] == "validation") & (table["metric"] == "average_precision")]
    rows = rows[(rows["group"] == "any") & (rows["method"] != "chance")].set_index("method")["value"]
    best = max(combine.HOWS, key=rows.get)
    assert set(table[(table["metric"] == "flagged")]["method"]) == {best}
    shown = present({r: str(p) for r, p in out.items()}, Settings(), blocks.Shown("mock"))
    assert any("chosen on the validation split" in b.text for b in shown if isinstance(b, blocks.Text))
    verdicts = {c.text: c for c in claims(table[table["split"] == "test"])}
    assert verdicts["The combined score tells all kinds from galaxies with nothing wrong"].verdict == "holds"


def test_untrained_networks_and_forests_are_scored_but_do_not_count(planted, tmp_path):
    survey, _, table, out = planted
    assert "specformer_untrained" in set(table["model"]) and "forest" in set(table["method"])
    one = pandas.read_parquet(out["galaxies"])
    embeddings = [path for path in survey["embeddings"] if "untrained" not in path.name]
    _, other = run({**survey, "embeddings": embeddings}, tmp_path / "out", {"flagged": 16})
    assert np.array_equal(one["combined-sum"], pandas.read_parquet(other["galaxies"])["combined-sum"])


def test_the_same_again_is_the_same(planted, tmp_path):
    survey, _, _, out = planted
    _, again = run(survey, tmp_path / "out", {"flagged": 16})
    assert {r: p.read_bytes() for r, p in out.items()} == {r: p.read_bytes() for r, p in again.items()}


def test_predictions_of_two_modalities_that_contradict_each_other(tmp_path):
    rng = np.random.default_rng(8)
    ids, z = np.arange(400), rng.random(400)
    frames = []
    for model, modality, noise in (("a", "spectrum", 0.01), ("b", "image", 0.05), ("u", "image", 50.0)):
        said = z + noise * rng.normal(size=400)
        said[3] += 0.6 * (modality == "image")
        given = {"targetid": ids, "model": model, "modality": modality, "method": "knn", "property": "z", "truth": z}
        frames.append(pandas.DataFrame({**given, "prediction": said}))
    tables.write_parquet(tmp_path / "p.parquet", pandas.concat(frames))
    counted = {"a": True, "b": True, "u": False}
    (score,) = disagreement.between_predictions(tmp_path / "p.parquet", ["z"], {"spectrum", "image"}, counted)
    assert score.family == "pair" and score.values.idxmax() == 3
    assert not list(disagreement.between_predictions(tmp_path / "p.parquet", ["log_mstar"], {"spectrum"}, counted))


def test_a_catalogue_that_contradicts_the_image_stands_out(tmp_path):
    survey = synthetic.survey(tmp_path, n=(400, 50, 150), models=("astrodino-image", "specformer-spectrum"))
    galaxies = pandas.read_parquet(survey["galaxies"])
    row = survey["table"].index[survey["table"]["split"] == "test"][4]
    galaxies.loc[row, ["mag_g", "mag_r", "mag_z"]] += 3
    tables.write_parquet(survey["galaxies"], galaxies)
    _, out = run(survey, tmp_path / "out")
    found = pandas.read_parquet(out["galaxies"]).set_index("targetid")
    assert found["image-neighbours-mag_r"].idxmax() == galaxies["targetid"][row]
    assert "family-spectrum_catalogue" not in found  # fibres lose light
    with pytest.raises(BadInput, match="column 'kind' has no numbers"):
        tables.write_parquet(survey["galaxies"], galaxies.assign(kind="x"))
        run(survey, tmp_path / "out", {"catalogue": ["kind"]})


def test_without_labels_there_is_a_list_and_no_claim(tmp_path):
    survey = synthetic.survey(tmp_path, n=(200, 30, 60), models=MODELS)
    table, out = run(survey, tmp_path / "out", {"flagged": 5})
    assert set(table["metric"]) == {"flagged"} and table["value"].sum() == 5
    found = pandas.read_parquet(out["galaxies"])
    assert found["label"].isna().all() and sorted(found["place"]) == list(range(1, 61))
    assert all(out[role].read_bytes().startswith(b"\x89PNG") for role in ("figure_scores", "figure_found"))
    assert not list(claims(table))
    shown = present({r: str(p) for r, p in out.items()}, Settings(), blocks.Shown("real"))
    assert any("taken where no label tells" in b.text for b in shown if isinstance(b, blocks.Text))


def test_a_simulated_survey_in_which_nothing_is_wrong_claims_nothing(tmp_path):
    survey = synthetic.survey(tmp_path, n=(100, 30, 40), models=MODELS[:1])
    tables.write_parquet(tmp_path / "t.parquet", survey["table"][["targetid"]].assign(anomaly=""))
    table, out = run({**survey, "truth": [tmp_path / "t.parquet"]}, tmp_path / "out")
    assert set(table["metric"]) == {"flagged"}
    assert (pandas.read_parquet(out["galaxies"])["label"] == "").all()


def test_a_label_in_the_catalogue_is_as_good_as_one_in_the_truth(planted, tmp_path):
    survey, kind, table, _ = planted
    galaxies = pandas.read_parquet(survey["galaxies"])
    path = tmp_path / "galaxies.parquet"
    tables.write_parquet(path, galaxies.assign(anomaly_true=kind.loc[galaxies["targetid"]].to_numpy()))
    other, _ = run({**survey, "galaxies": path, "truth": []}, tmp_path / "out", {"flagged": 16})
    pandas.testing.assert_frame_equal(table, other)


@pytest.mark.parametrize("n", [(5, 5, 2), (40, 0, 1), (12, 3, 3)])
def test_a_handful_of_galaxies_is_no_failure(tmp_path, n):
    survey = synthetic.survey(tmp_path, n=n, models=MODELS)
    kinds = np.where(np.arange(sum(n)) % 2, STEP, "")
    tables.write_parquet(tmp_path / "t.parquet", survey["table"][["targetid"]].assign(anomaly=kinds))
    table, out = run({**survey, "truth": [tmp_path / "t.parquet"]}, tmp_path / "out", {"k": 16, "components": 64})
    assert len(pandas.read_parquet(out["galaxies"])) == n[2]
    assert "auc" not in set(table.loc[table["split"] == "test", "metric"])
    present({r: str(p) for r, p in out.items()}, Settings(), blocks.Shown("mock"))


def test_a_survey_needs_training_galaxies_and_may_lack_predictions():
    config = copy.deepcopy(yaml.safe_load((ROOT / "config.yaml").read_text()))
    for survey in config["surveys"].values():
        survey.pop("analyses", None)

    def made(**analyses):
        return {s: i for (name, s), i in load({**config, "analyses": analyses}).made.items() if name == "anomalies"}

    found = made(regression={}, anomalies={})
    assert "mock" in found and "desi_samples" not in found
    assert found["mock"]["predictions"] == ["results/mock/analysis/regression-predictions.parquet"]
    assert found["mock"]["truth"] and all("/truth/" in path for path in found["mock"]["truth"])
    assert found["mock_grism"]["truth"] == []
    assert made(regression={"surveys": ["mock_spectra"]}, anomalies={})["mock"]["predictions"] == []
    assert made(anomalies={})["mock"]["predictions"] == []
    assert made(regression={}, anomalies={"split": "validation"})["mock"]["predictions"] == []
    assert parse(Settings, {}, "analyses.anomalies").split == "test"
