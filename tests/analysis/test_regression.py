"""The regression on made-up galaxies whose best embedding is known."""

import json

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from sklearn.neighbors import KNeighborsRegressor

from skyloom.analysis.common import heads, significance, statistics, tables
from skyloom.analysis.common.blocks import Shown, with_interval
from skyloom.analysis.common.embeddings import read_embedding, write_embedding
from skyloom.analysis.common.predictors import sources
from skyloom.analysis.common.predictors.choices import read_choices
from skyloom.analysis.common.traits import describe_all
from skyloom.analysis.regression import Settings, figures, redshifts, scores
from skyloom.analysis.regression.present import claims, difference_table, present
from skyloom.core.errors import BadConfig, BadInput
from skyloom.figures import style
from skyloom.settings import layout
from skyloom.settings.section import parse
from tests.paths import ROOT

from . import synthetic

CONFIG = {"k": [16, 64], "epochs": [3], "components": [2, 8, 32]}
CONFIG["differences"] = [["specformer", "specformer_untrained"], ["astroclip", "astrodino"]]
CONFIG["differences"] += [["astroclip", "photometry"]]
SHOWN = Shown("mock", simulated=True, published=[ROOT / path for path in layout.PUBLISHED_ALL])
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
    named, table = (t[~t["metric"].str.contains("delta_r2_p")] for t in (named, table))  # these go by their number
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


def test_a_shared_space_is_drawn_in_every_pairing(result, monkeypatch, tmp_path):
    table, frame = result[0], result[1]
    found = []
    monkeypatch.setattr(figures.style, "save", lambda figure, path: found.append(figure))
    figures.draw_cross(frame, table, {"astroclip": {"kind": "astroclip"}}, tmp_path / "x.png")
    titles = [axis.get_title() for axis in found[0].axes if axis.get_title()]
    assert len(titles) == 4 and {titles[0], titles[-1]} == {"image", "spectrum"}
    assert set(titles[1:3]) == {"image \u2192 spectrum", "spectrum \u2192 image"}
    assert len(found[0].axes) == 8  # of the first two properties
    score = value(table, "astroclip", "image->spectrum")["value"]
    place = titles.index("image \u2192 spectrum")
    assert found[0].axes[place].texts[0].get_text().startswith(f"R2 {score:.2f}")
    alone = frame[~frame["modality"].str.contains("->")]
    figures.draw_cross(alone, table, {}, tmp_path / "y.png")  # nothing shared: it says so
    assert len(found) == 2 and len(found[1].axes) == 1


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
    table.loc[pair & (table["metric"] == "delta_r2"), ["value", "ci_low", "ci_high"]] *= -1
    table.loc[pair, "model"] = "specformer_untrained - specformer"
    turned = [claim for claim in claims(table.query("split == 'test'"), swapped) if "untrained beats" in claim.text]
    assert [(claim.holds, claim.verdict) for claim in turned] == [(False, "fails")]


KNOWN = {"model": ["specformer", "astroclip"], "property": ["z"], "embedding": ["specformer-spectrum"]}
KNOWN["modality"] = ["image", "spectrum"]


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
        ({"seeds": 0}, "must be at least 1"),
        ({"batch_sizes": {"image": {"mass": 3}}}, "batch_sizes.image.mass.*: 'mass' is not a property"),
        ({"batch_sizes": {"imag": {"z": 3}}}, "batch_sizes.imag.*: 'imag' is not allowed; allowed are spectrum, image"),
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


def test_holm_is_its_closed_form():
    p = [0.01, 0.04, 0.03, np.nan, 0.005, 0.9]
    expected = [4 * 0.01, 3 * 0.03, 3 * 0.03, np.nan, 5 * 0.005, 0.9]  # .04 * 2 is below .03 * 3
    assert significance.holm(p) == pytest.approx(expected, nan_ok=True)
    assert significance.holm([0.6, 0.7]).tolist() == [1, 1] and len(significance.holm([])) == 0


def test_a_p_value_is_twice_the_smaller_side():
    draws = np.concatenate([-np.ones(30), np.ones(970)])
    assert significance.two_sided(draws) == pytest.approx(0.06) == significance.two_sided(-draws)
    assert significance.two_sided(np.ones(1000)) == 1 / 1001 and significance.two_sided(np.zeros(9)) == 1
    assert np.isnan(significance.two_sided(np.full(5, np.nan)))
    # of differences that are not there, as many are below .05 as that says
    rng = np.random.default_rng(0)
    found = [significance.two_sided(rng.normal() + rng.normal(size=2000)) for _ in range(400)]
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09


def test_however_many_differences_the_largest_can_be_told_from_chance():
    count = significance.resamples_for(300, 1000)
    assert significance.holm([significance.two_sided(np.ones(count))] * 300)[0] < significance.LEVEL
    assert significance.resamples_for(3, 1000) == 1000


def test_differences_have_p_values_corrected_for_all_of_the_table(result):
    table = result[0]
    key = ["model", "modality", "method", "property"]
    by = {name: rows.set_index(key)["value"] for name, rows in table.groupby("metric") if "delta" in name}
    assert set(by) == {"delta_r2", "delta_r2_p", "delta_r2_p_holm"} and len(set(map(len, by.values()))) == 1
    p, corrected = by["delta_r2_p"], by["delta_r2_p_holm"]
    assert corrected.to_numpy() == pytest.approx(significance.holm(p), rel=1e-4)
    assert (corrected >= p).all() and p.min() < corrected.min() <= 0.05
    differences = table[table["metric"] == "delta_r2"].set_index(key)
    outside = (differences["ci_low"] > 0) | (differences["ci_high"] < 0)
    clear = ((p - 0.05).abs() > 0.02).to_numpy()
    assert ((p < 0.05) == outside)[clear].all()  # the interval says the same as the value alone


def test_of_several_differences_only_what_holm_leaves_is_certain(result):
    settings = parse(Settings, CONFIG, "")
    table = result[0].query("split == 'test'").copy()
    table.loc[table["metric"] == "delta_r2_p_holm", "value"] = 0.2
    assert all("within the uncertainty" in claim.verdict for claim in claims(table, settings))
    one = table[~table["model"].str.contains(" - ") | (table["model"] == "specformer - specformer_untrained")]
    assert [claim.verdict for claim in claims(one, settings)] == ["holds"]  # a single one goes by its interval
    marked = [c for c in present_scores(result[0]) if c.best]
    assert 0 < len(marked) < len([c for c in present_scores(table) if c.value]) and not any(
        c.best for c in present_scores(table)
    )


def present_scores(table):
    return [cell for _, cells in difference_table(table[table["split"] == "test"]).lines for cell in cells]


def test_intervals_do_not_depend_on_how_many_differences_there_are(survey, tmp_path):
    pairs = [["specformer", name] for name in ("photometry", "photometry+z")] + [["photometry", "photometry+z"]]
    config = {**QUICK, "properties": ["log_mstar", "log_z_mw", "t_age", "log_ssfr"]}
    few, _, _ = run(only(survey, "specformer"), tmp_path / "few", config | {"differences": pairs[:1]})
    many, _, _ = run(only(survey, "specformer"), tmp_path / "many", config | {"differences": pairs * 4})
    key = ("specformer - photometry", "spectrum", "delta_r2", "knn", "t_age")
    first, second = value(few, *key), many[many["model"] == key[0]].query("metric == 'delta_r2' and method == 'knn'")
    second = second[second["property"] == "t_age"].iloc[0]
    assert first["ci_low"] == second["ci_low"] and first["ci_high"] == second["ci_high"]


def test_bootstrapped_redshift_statistics_are_those_of_the_plain_way(monkeypatch):
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 1, 60)
    predictions = truth + (1 + truth) * np.stack([0.1 * rng.standard_t(2, 60), rng.normal(0, 0.05, 60), np.zeros(60)])
    fast = redshifts.bootstrap(truth, predictions, 64, 3)
    plainly = redshifts.metrics() | {"bias": lambda t, p: statistics.bias(t, p)}
    for name, function in plainly.items():
        for m, row in enumerate(predictions):
            plain = [function(truth[rows], row[rows]) for block in statistics.resamples(60, 64, 3) for rows in block]
            assert fast[name][m] == pytest.approx(plain, abs=1e-12), name
    # what a prediction does not have does not count, and what nobody has is NaN
    some = np.where(np.arange(60) % 3 == 0, np.nan, predictions[0])
    unknown = truth.copy()
    unknown[:5] = np.nan
    found = redshifts.bootstrap(unknown, np.stack([some, np.full(60, np.nan)]), 32, 3)
    known = np.isfinite(some) & np.isfinite(unknown)
    plain = [
        statistics.sigma_nmad(unknown[r][known[r]], some[r][known[r]])
        for block in statistics.resamples(60, 32, 3)
        for r in block
    ]
    assert found["sigma_nmad"][0] == pytest.approx(plain, abs=1e-12)
    assert all(np.isnan(values[1]).all() for values in found.values())
    monkeypatch.setattr(statistics, "BLOCK", 500)
    assert redshifts.bootstrap(truth, predictions, 64, 3)["bias"] == pytest.approx(fast["bias"])


def test_several_trainings_state_their_scatter_and_leave_the_first_as_it_was(survey, tmp_path):
    config = QUICK | {"properties": ["z", "t_age"], "differences": [["specformer", "photometry"]]}
    own = only(survey, "specformer")
    once, first, _ = run(own, tmp_path / "once", config)
    table, predictions, out = run(own, tmp_path / "thrice", config | {"seeds": 3})
    pandas.testing.assert_frame_equal(first, predictions)
    further = table["metric"].str.contains("_seed_")
    pandas.testing.assert_frame_equal(once, table[~further].reset_index(drop=True))
    assert set(table[further]["method"]) == {"mlp"} and set(table[further]["split"]) == {"test"}
    # each training is that of its own seed
    values = [value(table, "specformer", "spectrum", method="mlp")["value"]]
    for seed in (1, 2):
        inputs = {role: own[role] for role in ("galaxies", "splits", "embeddings")}
        again = pandas.read_csv(synthetic.run("regression", inputs, tmp_path / f"{seed}", config, seed=seed)["table"])
        values.append(value(again, "specformer", "spectrum", method="mlp")["value"])
    got = {m: value(table, "specformer", "spectrum", f"r2_seed_{m}", "mlp")["value"] for m in ("mean", "std")}
    assert got["mean"] == pytest.approx(np.mean(values), abs=1e-5)
    assert got["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-3) and got["std"] > 0
    row = value(table, "specformer - photometry", "spectrum", "delta_r2_seed_mean", "mlp")["value"]
    means = [value(table, *key, "r2_seed_mean", "mlp")["value"] for key in
             (("specformer", "spectrum"), ("photometry", "photometry"))]  # fmt: skip
    assert row == pytest.approx(means[0] - means[1], abs=1e-5)
    blocks = present(out, parse(Settings, config | {"seeds": 3}, ""), SHOWN)
    assert "How much is the luck of a training" in [getattr(block, "title", "") for block in blocks]
    std = value(table, "specformer - photometry", "spectrum", "delta_r2_seed_std", "mlp")["value"]
    (said,) = (block.numbers for block in blocks if block.shape == "claim")
    assert f"over 3 training seeds of the MLP {row:.3f} \u00b1 {std:.3f} (standard deviation)" in said
    interval = with_interval(value(table, "specformer - photometry", "spectrum", "delta_r2", "mlp"), 3)
    assert f"; few-shot {interval}, over" in said and said.endswith("; one training seed of the networks")
    (said,) = claims(once.query("split == 'test'"), parse(Settings, config, ""))
    assert said.numbers.endswith("; one training seed")


def test_a_batch_size_is_that_of_its_modality_and_property(survey, tmp_path, monkeypatch):
    seen = []
    plain = heads.fit_predict

    def fit_predict(train, labels, queries, config):
        seen.append((labels.shape[1], config["batch_size"]))
        return plain(train, labels, queries, config)

    monkeypatch.setattr(heads, "fit_predict", fit_predict)
    config = QUICK | {"properties": ["z", "t_age"], "photometry": [], "batch_sizes": {"image": {"z": 32}}}
    table, _, _ = run(only(survey, "astroclip"), tmp_path, config)
    assert seen == [(2, 64), (1, 32), (1, 64)]  # spectrum, then image
    assert set(table.query("method == 'mlp'")["property"]) == {"z", "t_age"}


def test_the_published_quantity_stands_beside_ours_and_under_its_own_name(survey, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"])
    galaxies["ssfr_legacy"] = 2 * galaxies["log_ssfr"] + 30
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    own = {**only(survey, "astroclip"), "galaxies": tmp_path / "galaxies.parquet"}
    config = QUICK | {"properties": ["log_ssfr", "ssfr_legacy"], "k": [64], "metric": ["euclidean"]}
    table, _, out = run(own, tmp_path / "out", config)
    pair = [value(table, "astroclip", "image", name=name)["value"] for name in config["properties"]]
    assert pair[0] == pytest.approx(pair[1], abs=1e-4)
    blocks = present(out, parse(Settings, config, ""), SHOWN)
    (beside,) = [block for block in blocks if getattr(block, "title", "") == "Published numbers beside ours"]
    assert "sSFR (legacy)" in beside.columns and "published sSFR" not in beside.note
    place = list(beside.columns).index("sSFR (legacy)")
    assert any(beside.lines[i][place] == f"{pair[1]:.2f}" for i in beside.marked)


def test_predictions_say_what_they_were_made_with(survey, result):
    made = read_choices(result[2]["predictions"])
    assert made.settings.k == [16, 64] and made.settings.plain()["components"] == [2, 8, 32]
    chosen = made.chosen["pca_spectrum", "spectrum", "knn"]["z"]
    row = value(result[0], "pca_spectrum", "spectrum", "chosen_components", split="validation")
    assert chosen["components"] == row["value"] and chosen["metric"] == "euclidean"
    assert made.chosen["astroclip", "image", "mlp"]["t_age"] == {"components": 32, "epochs": 3}
    with pytest.raises(BadInput, match="splits.parquet: not predictions that say what was chosen"):
        read_choices(survey["splits"])
