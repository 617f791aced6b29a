"""The regression on made-up galaxies whose best embedding is known."""

import numpy as np
import pandas
import pytest
from sklearn.neighbors import KNeighborsRegressor

from skyloom.analysis.common import tables
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.regression import scores as regression
from skyloom.core.errors import BadConfig, BadInput

from . import synthetic

CONFIG = {"k": [16, 64], "epochs": [3], "resamples": 200, "components": [2, 8, 32]}


def outputs(folder):
    names = {"table": "regression.csv", "predictions": "predictions.parquet"}
    names |= {"figure_predictions": "predictions.png", "figure_scores": "scores.png"}
    return {key: folder / name for key, name in names.items()}


def run(survey, folder, config=CONFIG):
    out = outputs(folder)
    regression.regress("mock", survey["galaxies"], survey["splits"], survey["embeddings"], out, config)
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


def test_the_table_is_tidy_and_every_interval_holds_its_value(result):
    table = result[0]
    assert list(table) == tables.COLUMNS
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
    config = {**CONFIG, "k": [64]}
    _, predictions, _ = run(
        {**survey, "embeddings": [p for p in survey["embeddings"] if "astrodino-" in p.name]}, tmp_path, config
    )
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
    assert (
        value(result[0], "specformer", "spectrum", name="log_ssfr")["n"] == test["log_ssfr"].notna().sum() < len(test)
    )


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
        only = {**survey, "embeddings": [p for p in survey["embeddings"] if "pca_spectrum" in p.name]}
        table, _, _ = run(only, tmp_path, {**CONFIG, "components": [components], "k": [int(chosen_k)]})
        alone[components] = value(table, "pca_spectrum", "spectrum", split="validation")["value"]
    assert row["value"] == max(alone, key=alone.get)


def test_test_labels_change_no_prediction(survey, result, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"])
    test = galaxies["targetid"].isin(survey["table"].query("split == 'test'")["targetid"])
    galaxies.loc[test, "z"] = galaxies.loc[test, "z"].to_numpy()[::-1]
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    _, predictions, _ = run({**survey, "galaxies": tmp_path / "galaxies.parquet"}, tmp_path)
    assert np.array_equal(predictions["prediction"], result[1]["prediction"], equal_nan=True)


def test_the_same_run_writes_the_same_bytes(survey, result, tmp_path):
    out = run(survey, tmp_path)[2]
    for name, path in result[2].items():
        assert out[name].read_bytes() == path.read_bytes(), name


def test_image_queries_among_spectra_know_the_redshift(result):
    assert value(result[0], "astroclip", "image->spectrum")["value"] > 0.4


def test_bad_input_is_named(survey, tmp_path):
    with pytest.raises(BadConfig, match="regression: unknown setting 'epoch'; allowed: .*epochs"):
        run(survey, tmp_path, {"epoch": 3})
    with pytest.raises(BadInput, match="galaxies.parquet: no column 'mass'"):
        run(survey, tmp_path, {"properties": ["mass"]})
    assert not list(tmp_path.iterdir())


def test_a_property_that_no_training_galaxy_has_is_named(survey, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"]).assign(t_age=np.nan)
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    words = "galaxies.parquet: column t_age has no finite value .* no t_age in analyses.regression.properties"
    with pytest.raises(BadInput, match=words):
        run({**survey, "galaxies": tmp_path / "galaxies.parquet"}, tmp_path)
