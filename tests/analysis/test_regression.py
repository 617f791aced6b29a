"""The regression on made-up galaxies whose best embedding is known."""

import json

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from sklearn.neighbors import KNeighborsRegressor

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.common.embeddings import read_embedding, write_embedding
from skyloom.analysis.common.traits import describe_all
from skyloom.analysis.regression import Settings, figures, scores, sources
from skyloom.analysis.regression.present import claims, present
from skyloom.core.errors import BadConfig, BadInput
from skyloom.figures import style
from skyloom.settings.section import parse

from . import synthetic

CONFIG = {"k": [16, 64], "epochs": [3], "components": [2, 8, 32]}
CONFIG["differences"] = [["specformer", "specformer_untrained"], ["astroclip", "astrodino"]]
CONFIG["differences"] += [["astroclip", "photometry"]]
QUICK = {"k": [16], "epochs": [1], "whitened": [0], "properties": ["z"]}


def run(survey, folder, config=CONFIG):
    inputs = {role: survey[role] for role in ("galaxies", "splits", "embeddings")}
    out = synthetic.run("regression", inputs, folder, config)
    return pandas.read_csv(out["table"]), pandas.read_parquet(out["predictions"]), out


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return synthetic.survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def result(survey, tmp_path_factory):
    return run(survey, tmp_path_factory.mktemp("result"))


def value(table, model, modality, metric="r2", method="knn", name="z", split="test"):
    key = {"model": model, "modality": modality, "method": method, "property": name, "metric": metric, "split": split}
    rows = table.loc[(table[list(key)] == list(key.values())).all(axis=1)]
    assert len(rows) == 1
    return rows.iloc[0]


def only(survey, name):
    """The survey with the embeddings of one model."""
    return {**survey, "embeddings": [path for path in survey["embeddings"] if path.stem.startswith(f"{name}-")]}


def test_the_table_is_tidy_and_every_interval_holds_its_value(result):
    table = result[0]
    assert list(table) == scores.COLUMNS
    assert not table.duplicated(["model", "modality", "method", "property", "split", "metric"]).any()
    scored = table[table["metric"].isin(["r2", "delta_r2"])]
    assert ((scored["ci_low"] <= scored["value"]) & (scored["value"] <= scored["ci_high"])).all()


def test_less_noise_scores_higher(result):
    table = result[0]
    spectrum = [value(table, m, "spectrum")["value"] for m in ("specformer", "pca_spectrum", "specformer_untrained")]
    image = [value(table, m, "image")["value"] for m in ("astroclip", "astrodino", "astrodino_untrained")]
    assert spectrum == sorted(spectrum, reverse=True) and image == sorted(image, reverse=True)


def test_photometry_baseline_has_both_methods(result):
    assert value(result[0], "photometry", "photometry", name="log_mstar", method="mlp")["value"] > 0.5
    assert value(result[0], "photometry", "photometry", name="log_mstar")["value"] > 0.5


def test_zero_shot_is_scikit_learns_knn(survey, tmp_path):
    _, predictions, _ = run(only(survey, "astrodino"), tmp_path, {**CONFIG, "k": [64], "whitened": [0]})
    got = predictions.query("model == 'astrodino' and method == 'knn' and property == 'log_ssfr'").set_index("targetid")
    galaxies = survey["table"].set_index("targetid")
    e = read_embedding(next(p for p in survey["embeddings"] if p.name == "astrodino-image.parquet"))
    train, test = e.select(e.split == "train"), e.select(e.split == "test")
    mean, std = train.values.mean(0), train.values.std(0)
    label = galaxies["log_ssfr"].loc[train.targetid].to_numpy()
    known = np.isfinite(label)
    oracle = KNeighborsRegressor(64, weights="distance").fit(((train.values - mean) / std)[known], label[known])
    expected = oracle.predict((test.values - mean) / std)
    assert got["prediction"].loc[test.targetid].to_numpy() == pytest.approx(expected, rel=1e-4)


def test_missing_labels_are_dropped_and_counted(survey, result):
    test = survey["table"].query("split == 'test'")
    assert value(result[0], "specformer", "spectrum", name="z")["n"] == len(test)
    count = test["log_ssfr"].notna().sum()
    assert value(result[0], "specformer", "spectrum", name="log_ssfr")["n"] == count < len(test)


def test_differences_are_stated_with_paired_intervals(result):
    table = result[0]
    row = value(table, "specformer - specformer_untrained", "spectrum", "delta_r2")
    parts = [value(table, m, "spectrum")["value"] for m in ("specformer", "specformer_untrained")]
    assert row["value"] == pytest.approx(parts[0] - parts[1], abs=1e-5)
    assert row["ci_low"] > 0
    value(table, "astroclip - photometry", "image", "delta_r2", "mlp")


def test_choices_are_those_that_score_best_on_validation(survey, result, tmp_path):
    row = value(result[0], "pca_spectrum", "spectrum", "chosen_components", split="validation")
    chosen_k = value(result[0], "pca_spectrum", "spectrum", "chosen_k", split="validation")["value"]
    alone = {}
    for components in CONFIG["components"]:
        config = {**QUICK, "components": [components], "k": [int(chosen_k)]}
        table, _, _ = run(only(survey, "pca_spectrum"), tmp_path, config)
        alone[components] = value(table, "pca_spectrum", "spectrum", split="validation")["value"]
    assert row["value"] == max(alone, key=alone.get)


def test_test_labels_change_no_prediction(survey, result, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"])
    test = galaxies["targetid"].isin(survey["table"].query("split == 'test'")["targetid"])
    galaxies["z_true"] = galaxies["z"]  # what a baseline takes for known
    galaxies.loc[test, "z"] = galaxies.loc[test, "z"].to_numpy()[::-1]
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    _, predictions, _ = run({**survey, "galaxies": tmp_path / "galaxies.parquet"}, tmp_path)
    predictions = predictions[predictions["model"] != "truth"].reset_index(drop=True)
    assert not np.array_equal(predictions["truth"], result[1]["truth"], equal_nan=True)
    assert np.array_equal(predictions["prediction"], result[1]["prediction"], equal_nan=True)


def test_the_same_run_writes_the_same_bytes(survey, result, tmp_path):
    out = run(survey, tmp_path)[2]
    for name, path in result[2].items():
        assert out[name].read_bytes() == path.read_bytes(), name


def test_image_queries_among_spectra_know_the_redshift(result):
    assert value(result[0], "astroclip", "image->spectrum")["value"] > 0.4


def renamed(survey, folder, names):
    """The survey with its models called otherwise; their traits stay."""
    paths = []
    for path in survey["embeddings"]:
        model, _, modality = path.stem.rpartition("-")
        if model in names:
            e = read_embedding(path)
            place = folder / f"{names[model]}-{modality}.parquet"
            paths.append(synthetic.embed(place, e.targetid, e.split, e.values, synthetic.TRAITS[model]))
    return {**survey, "embeddings": paths}


def test_what_a_user_calls_a_model_changes_nothing(survey, result, tmp_path):
    names = {"astroclip": "foo", "pca_spectrum": "bar", "specformer": "pca", "specformer_untrained": "astroclip"}
    config = {**CONFIG, "differences": [["pca", "astroclip"]]}
    table, _, _ = run(renamed(survey, tmp_path, names), tmp_path / "out", config)
    named = result[0].replace({"model": names | {"specformer - specformer_untrained": "pca - astroclip"}})
    keep = [*names.values(), "photometry", "photometry+z", "pca - astroclip"]
    same = named[named["model"].isin(keep)].set_index(["model", "modality", "method", "property", "split", "metric"])
    table = table.set_index(list(same.index.names))
    assert set(table.index) == set(same.index) and ("foo", "image->spectrum", "knn", "z", "test", "r2") in table.index
    pandas.testing.assert_frame_equal(table.sort_index(), same.sort_index())


def test_a_model_without_traits_is_a_model_of_its_own(survey, tmp_path):
    e = read_embedding(survey["embeddings"][0])
    for name in ("foo-spectrum", "foo-image", "bar-joint"):
        write_embedding(tmp_path / f"{name}.parquet", e.targetid, e.split, e.values)
    own = {**survey, "embeddings": sorted(tmp_path.glob("*.parquet"))}
    table, _, _ = run(own, tmp_path / "out", QUICK | {"differences": [["foo", "bar"]]})
    assert set(table["modality"]) == {"photometry", "spectrum", "image", "joint"}  # no "image->spectrum"
    assert table.query("model == 'bar'")["trained"].all()


def test_panels_show_photometry_and_the_best_trained_models(result):
    traits = {"photometry": sources.BASELINE, **synthetic.TRAITS}
    shown = figures.panels(result[0], traits, "z")
    assert shown[0] == ("photometry", "photometry", "mlp") and len(shown) == 5
    assert {key[0] for key in shown[1:]} == {"specformer", "astroclip", "astrodino"}


def test_colours_go_by_kind_and_not_by_name():
    traits = {"foo": {"kind": "a"}, "bar": {"kind": "b"}, "baz": {"kind": "a", "trained": False}}
    palette = style.Palette(traits | {"base": {"kind": "c", "baseline": True, "trained": False}})
    assert palette.colour("foo") == palette.colour("baz") == style.CYCLE[0] != palette.colour("bar")
    assert palette.face("baz") == "white" and palette.face("foo") == palette.colour("foo")
    built = {"on_others": {"kind": "d", "backbones": True}, **traits}  # its place among the others changes no colour
    assert style.Palette(built).colour("bar") == palette.colour("bar") == style.CYCLE[1]
    assert palette.colour("base") == palette.face("base") == style.GREYS[0]


def test_tables_are_ordered_by_traits(survey, tmp_path):
    order = [e.name for e in describe_all(survey["embeddings"])]
    spectra = ["pca_spectrum-spectrum", "specformer_untrained-spectrum", "specformer-spectrum", "astroclip-spectrum"]
    images = ["pca_image-image", "astrodino_untrained-image", "astrodino-image", "astroclip-image"]
    assert order == spectra + images


def test_a_sparse_embedding_takes_no_galaxy_from_the_others(survey, tmp_path):
    e = read_embedding(next(p for p in survey["embeddings"] if p.stem == "specformer-spectrum"))
    rows = np.flatnonzero(np.arange(len(e.targetid)) % 3 == 0)
    path = synthetic.embed(tmp_path / "few-image.parquet", e.targetid[rows], e.split[rows], e.values[rows])
    own = only(survey, "specformer")
    alone, whole, _ = run(own, tmp_path / "alone", QUICK)
    config = QUICK | {"differences": [["few", "photometry"]]}
    both, _, _ = run({**own, "embeddings": [*own["embeddings"], path]}, tmp_path / "both", config)
    pandas.testing.assert_series_equal(value(both, "specformer", "spectrum"), value(alone, "specformer", "spectrum"),
                                       check_names=False)  # fmt: skip
    tests = (e.split[rows] == "test").sum()
    assert value(both, "few", "image")["n"] == tests < value(both, "specformer", "spectrum")["n"]
    # the pair is compared on the galaxies that both have
    row = value(both, "few - photometry", "image", "delta_r2")
    assert row["n"] == tests
    photometry = whole.query("model == 'photometry' and method == 'knn'").set_index("targetid")
    some = photometry.loc[np.sort(e.targetid[rows][e.split[rows] == "test"])]
    expected = value(both, "few", "image")["value"] - statistics.r2(some["truth"], some["prediction"])
    assert row["value"] == pytest.approx(expected, abs=1e-5)


def test_a_survey_without_magnitudes_keeps_its_galaxies(survey, result, tmp_path, caplog):
    galaxies = pandas.read_parquet(survey["galaxies"])
    for name, changed in {
        "absent": galaxies.drop(columns=["mag_g", "mag_r", "mag_z"]),
        "nan": galaxies.assign(mag_g=np.nan),
    }.items():
        tables.write_parquet(tmp_path / "galaxies.parquet", changed)
        with caplog.at_level("INFO"):
            own = {**only(survey, "specformer"), "galaxies": tmp_path / "galaxies.parquet"}
            table, _, _ = run(own, tmp_path / name, QUICK)
        assert set(table["model"]) == {"specformer"}
        assert value(table, "specformer", "spectrum")["n"] == value(result[0], "specformer", "spectrum")["n"]
        assert "photometry" in caplog.text
        caplog.clear()


def test_a_property_that_a_survey_does_not_know_is_left_out(survey, result, tmp_path, caplog):
    galaxies = pandas.read_parquet(survey["galaxies"]).assign(t_age=np.nan).drop(columns="log_z_mw")
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    own = {**only(survey, "specformer"), "galaxies": tmp_path / "galaxies.parquet"}
    with caplog.at_level("INFO"):
        table, _, _ = run(own, tmp_path / "out", QUICK | {"properties": ["z", "log_z_mw", "t_age"]})
    assert set(table["property"]) == {"z"}
    assert "t_age is known of [0, 0, 0] galaxies" in caplog.text and "log_z_mw is known of" in caplog.text
    table, predictions, out = run(own, tmp_path / "none", QUICK | {"properties": ["t_age", "log_z_mw"]})
    assert table.empty and list(table) == scores.COLUMNS and "nothing is scored" in caplog.text
    assert predictions.empty and list(predictions) == list(result[1])
    (said,) = present(out, parse(Settings, QUICK, ""), None)
    assert said.warns and "No property is known" in said.text


def test_verdicts_follow_the_numbers(result):
    settings = parse(Settings, CONFIG, "analyses.regression")
    found = {claim.text: claim for claim in claims(result[0].query("split == 'test'"), settings)}
    texts = [
        "specformer beats specformer untrained (spectrum)",
        "astroclip beats photometry (spectrum)",
        "astroclip beats astrodino (image)",
        "astroclip beats photometry (image)",
    ]
    assert set(found) == {f"{text}: zero-shot R2 of redshift" for text in texts}
    assert all(claim.holds == (value(result[0], *pair, "delta_r2")["value"] > 0) for claim, pair in (
        (found[f"{texts[0]}: zero-shot R2 of redshift"], ("specformer - specformer_untrained", "spectrum")),
        (found[f"{texts[3]}: zero-shot R2 of redshift"], ("astroclip - photometry", "image")),
    ))  # fmt: skip
    swapped = parse(
        Settings, {**CONFIG, "differences": [["specformer_untrained", "specformer"]]}, "analyses.regression"
    )
    table = result[0].copy()
    pair = table["model"] == "specformer - specformer_untrained"
    table.loc[pair, ["value", "ci_low", "ci_high"]] *= -1
    table.loc[pair, "model"] = "specformer_untrained - specformer"
    turned = [claim for claim in claims(table.query("split == 'test'"), swapped) if "untrained beats" in claim.text]
    assert [(claim.holds, claim.verdict) for claim in turned] == [(False, "fails")]


KNOWN = {"model": ["specformer", "astroclip"], "property": ["z"], "embedding": ["specformer-spectrum"]}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"epoch": 3}, r"analyses.r: unknown key 'epoch: 3'; did you mean 'epochs'\?"),
        ({"properties": ["mass"]}, r"analyses.r.properties.0: 'mass' is not a property; allowed are z"),
        ({"differences": [["specformer", "astrclip"]]}, r"differences.0.1: 'astrclip' .* did you mean 'astroclip'\?"),
        ({"differences": [["astroclip", "astroclip"]]}, "differences: 'astroclip' is compared with itself"),
        ({"differences": [["astroclip"]]}, "differences.0: .'astroclip'. is not allowed; needs at least 2 entries"),
        ({"embeddings": ["specformer-image"]}, "'specformer-image' is not an embedding; did you mean"),
        ({"k": []}, "k: .* needs at least 1"),
        ({"k": [0]}, "k.0: 0 is not allowed; must be at least 1"),
        ({"resamples": 10}, "must be at least 1000"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_job(config, words):
    with pytest.raises(BadConfig, match=words):
        parse(Settings, config, "analyses.r", KNOWN)


@pytest.mark.parametrize("baseline", ["photometry", "photometry+z", "truth"])
def test_what_is_in_the_catalogue_can_be_one_of_a_pair(baseline):
    parse(Settings, {"differences": [["astroclip", baseline]]}, "analyses.r", KNOWN)


@pytest.fixture(scope="module")
def simulated(survey, tmp_path_factory):
    """The survey with a known truth: half of the variance of the measured ages is noise; and redshifts of the
    catalogue that are wrong."""
    folder = tmp_path_factory.mktemp("simulated")
    galaxies = pandas.read_parquet(survey["galaxies"])
    rng = np.random.default_rng(0)
    for name in ("z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"):
        galaxies[f"{name}_true"] = galaxies[name].fillna(-10.5)
    galaxies["t_age"] += rng.normal(0, galaxies["t_age"].std(), len(galaxies))
    galaxies["z_true"] = rng.uniform(0.1, 0.3, len(galaxies))  # nothing else tells it ...
    galaxies["log_z_mw"] = -3 + 5 * galaxies["z_true"]  # ... and metallicity needs it
    galaxies["z"] = rng.permutation(galaxies["z_true"])
    tables.write_parquet(folder / "galaxies.parquet", galaxies)
    pairs = [["specformer", "photometry+z"], ["truth", "specformer"], ["photometry+z", "photometry"]]
    config = {"k": [16], "epochs": [30], "whitened": [0], "differences": pairs}
    own = {**only(survey, "specformer"), "galaxies": folder / "galaxies.parquet"}
    return run(own, folder / "out", config)[0]


def test_the_truth_is_the_ceiling_that_noisy_labels_set(survey, simulated):
    age = value(simulated, "truth", "truth", method="mlp", name="t_age")
    assert age["ci_low"] < 0.5 < age["ci_high"]  # one less the share of the noise
    assert value(simulated, "truth", "truth", method="mlp", name="log_mstar")["value"] > 0.97
    assert value(simulated, "truth - specformer", "spectrum", "delta_r2", "mlp", "t_age")["value"] > -0.05


def test_magnitudes_and_the_true_redshift_predict_all_but_the_redshift(survey, simulated):
    rows = simulated[(simulated["model"] == "photometry+z") & (simulated["metric"] == "r2")]
    assert set(rows["property"]) == {"log_mstar", "log_z_mw", "t_age", "log_ssfr"}
    assert set(rows["modality"]) == {"photometry"} and set(rows["method"]) == {"knn", "mlp"}
    row = value(simulated, "photometry+z - photometry", "spectrum", "delta_r2", name="log_z_mw")
    assert row["ci_low"] > 0  # the true redshift, not that of the catalogue
    pair = [value(simulated, m, "photometry", name="log_z_mw")["value"] for m in ("photometry+z", "photometry")]
    assert row["value"] == pytest.approx(pair[0] - pair[1], abs=1e-5)


def test_a_pair_that_shares_no_redshift_is_claimed_of_the_next_property(simulated):
    settings = parse(Settings, {"differences": [["specformer", "photometry+z"]]}, "analyses.regression")
    found = {claim.text: claim for claim in claims(simulated.query("split == 'test'"), settings)}
    said = found["specformer beats photometry+z (spectrum): zero-shot R2 of log M* [Msun]"]
    keys = ("specformer", "spectrum"), ("photometry+z", "photometry")
    values = [value(simulated, *key, name="log_mstar")["value"] for key in keys]
    assert said.numbers.startswith(f"{values[0]:.3f} against {values[1]:.3f}")


def test_a_survey_of_the_sky_has_no_row_of_the_truth(survey, result, tmp_path, caplog):
    assert "truth" not in set(result[0]["model"])
    galaxies = pandas.read_parquet(survey["galaxies"]).assign(z_true=np.nan, log_mstar_true=np.nan)
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    own = {**only(survey, "specformer"), "galaxies": tmp_path / "galaxies.parquet"}
    table, _, _ = run(own, tmp_path / "out", QUICK | {"properties": ["z", "log_mstar"]})
    assert set(table["model"]) == {"specformer", "photometry", "photometry+z"}


@pytest.fixture
def answers(survey, tmp_path):
    """What a probe says: the truth, and noise of a known share; of z and t_age alone, and not of every galaxy."""
    table = survey["table"].iloc[5:]
    rng = np.random.default_rng(1)
    columns = {"targetid": table["targetid"], "split": table["split"]}
    for name, share in (("z", 0.5), ("t_age", 0.1)):
        columns[name] = table[name] + share**0.5 * table[name].std() * rng.normal(size=len(table))
    written = pyarrow.Table.from_pandas(pandas.DataFrame(columns), preserve_index=False)
    about = {"model": "mine", "query": "properties", "modalities": ["spectrum"], "kind": "probe", "backbones": True}
    path = tmp_path / "mine-properties.parquet"
    pyarrow.parquet.write_table(written.replace_schema_metadata({"skyloom": json.dumps(about)}), path)
    return path


def test_what_a_probe_answers_is_a_row_beside_knn_and_mlp(survey, answers, tmp_path):
    inputs = {role: survey[role] for role in ("galaxies", "splits")}
    inputs |= {"embeddings": only(survey, "specformer")["embeddings"], "predictions": [answers]}
    config = QUICK | {"properties": ["z", "log_mstar", "t_age"], "differences": [["mine", "specformer"]]}
    out = synthetic.run("regression", inputs, tmp_path / "out", config)
    table = pandas.read_csv(out["table"])
    rows = table[(table["model"] == "mine") & (table["metric"] == "r2")]
    assert set(rows["method"]) == {"probe"} and set(rows["property"]) == {"z", "t_age"}
    for name, share in (("z", 0.5), ("t_age", 0.1)):
        row = value(table, "mine", "spectrum", method="probe", name=name)
        assert row["ci_low"] < 1 - share < row["ci_high"] and row["n"] == 150
    row = value(table, "mine - specformer", "spectrum", "delta_r2", "mlp")  # few-shot against few-shot
    pair = [value(table, m, "spectrum", method=how)["value"] for m, how in (("mine", "probe"), ("specformer", "mlp"))]
    assert row["value"] == pytest.approx(pair[0] - pair[1], abs=1e-5)
    assert not ((table["model"] == "mine - specformer") & (table["method"] == "knn")).any()


def test_a_table_that_says_of_no_model_is_refused(survey, tmp_path):
    inputs = {role: survey[role] for role in ("galaxies", "splits")}
    inputs |= {"embeddings": only(survey, "specformer")["embeddings"], "predictions": [survey["splits"]]}
    with pytest.raises(BadInput, match="splits.parquet: not a table of predictions"):
        synthetic.run("regression", inputs, tmp_path / "out", QUICK)
