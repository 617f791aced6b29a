"""The gap between real and simulated galaxies: none where there is none, all of it where all can be told apart."""

import numpy as np
import pandas
import pytest
from sklearn.metrics import roc_auc_score

from skyloom.analysis.common import blocks, tables
from skyloom.analysis.domain_gap import Settings, gap
from skyloom.analysis.domain_gap.present import present
from skyloom.models.redshift import FLAGS

from . import synthetic

SETTINGS = {"trees": 60, "resamples": 100}


def make(folder, shift=0.0, real=60, faint=0.0):
    """Real and simulated galaxies whose embedding has two numbers of their own, one of which is moved by `shift`, and a
    third that says the redshift; real ones lie at redshifts higher by `faint`."""
    rng = np.random.default_rng(1)
    inputs = {}
    for name, n, moved, more in (("real", real, shift, faint), ("mock", 600, 0.0, 0.0)):
        (folder / name).mkdir()
        z = 0.1 + 0.4 * rng.random(n) + more
        values = np.stack([rng.normal(size=n) + moved, rng.normal(size=n), 8 * z], 1)
        split = np.full(n, "test") if name == "real" else np.repeat(["train", "validation", "test"], [300, 100, 200])
        targetid = 100 + np.arange(n)
        path = synthetic.embed(folder / name / "specformer-spectrum.parquet", targetid, split, values)
        galaxies = folder / name / "galaxies.parquet"
        tables.write_parquet(galaxies, pandas.DataFrame({"targetid": targetid, "z": z}))
        flag = np.where(np.arange(n) % 4 == 0, FLAGS["misfit"] if name == "real" else FLAGS["unsure"], 0)
        said = folder / name / "specformer-redshift.parquet"
        tables.write_parquet(said, pandas.DataFrame({"targetid": targetid, "z": z, "flag": flag}))
        prefix, number = ("", "") if name == "real" else ("reference_", "_0")
        inputs["embeddings" if name == "real" else "reference"] = [str(path)]
        inputs[f"{prefix}galaxies{number}"] = [str(galaxies)]
        inputs[f"{prefix}predictions_0"] = [str(said)]
        inputs[f"{prefix}tokens{number}"] = []
    return inputs


def scores(folder, **what):
    outputs = synthetic.run("domain_gap", make(folder, **what), folder / "out", SETTINGS, survey="sky")
    return outputs, pandas.read_csv(outputs["table"]).set_index("metric")


def shown(outputs):
    paths = {role: str(path) for role, path in outputs.items()}
    return present(paths, Settings(), blocks.Shown("sky", False, "mock"))


def test_galaxies_that_are_alike_cannot_be_told_apart(tmp_path):
    _, table = scores(tmp_path)
    assert table.loc["AUC", "ci_low"] < 0.5 < table.loc["AUC", "ci_high"]
    assert table.loc["AUC", "ci_high"] - table.loc["AUC", "ci_low"] < 0.3
    assert table.loc["share beyond", "value"] < 0.1


def test_galaxies_that_are_unlike_are_told_apart_and_lie_beyond(tmp_path):
    _, table = scores(tmp_path, shift=6.0)
    assert table.loc["AUC", "value"] > 0.98 and table.loc["AUC, matched", "value"] > 0.95
    assert table.loc["share beyond", "value"] > 0.8


def test_matching_takes_away_what_other_redshifts_do(tmp_path):
    _, table = scores(tmp_path, faint=0.3)
    assert table.loc["AUC", "value"] > 0.85
    assert table.loc["AUC, matched", "value"] < table.loc["AUC", "value"] - 0.05


def test_shares_of_misfits_are_those_of_the_predictions(tmp_path):
    _, table = scores(tmp_path)
    assert table.loc["misfit, real", "value"] == 0.25 and table.loc["misfit, simulated", "value"] == 0
    assert table.loc["flagged, real", "value"] == 0.25 and 0.2 < table.loc["flagged, simulated", "value"] < 0.3
    assert table.loc["misfit, real", "n"] == 60 and table.loc["misfit, simulated", "n"] == 300


def test_the_area_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    real, simulated = rng.integers(0, 12, 40) / 12.0, rng.integers(0, 9, 70) / 12.0
    area, (low, high) = gap.auc(real, simulated, 200, 0)
    expected = roc_auc_score(np.repeat([1, 0], [40, 70]), np.concatenate([real, simulated]))
    assert area == pytest.approx(expected, abs=1e-12) and low < area < high


def test_the_most_alike_are_near_and_unknown_columns_do_not_count():
    simulated = np.stack([np.arange(10.0), np.full(10, np.nan)], 1)
    assert gap.most_alike(np.array([[2.1, 3.0], [7.9, 1.0]]), simulated, 2).tolist() == [2, 3, 7, 8]
    assert gap.most_alike(np.full((2, 2), np.nan), simulated, 2) is None


def test_too_few_galaxies_give_a_table_a_figure_and_a_sentence(tmp_path):
    outputs, table = scores(tmp_path, real=3)
    assert table.empty and outputs["figure"].stat().st_size > 1000
    (text,) = present(
        {role: str(path) for role, path in outputs.items()}, Settings(), blocks.Shown("sky", False, "mock")
    )
    assert "Too few" in text.text


def test_the_report_has_a_line_an_embedding(tmp_path):
    outputs, _ = scores(tmp_path)
    lines = next(block for block in shown(outputs) if block.shape == "scores").lines
    assert len(lines) == 1 and lines[0][0] == ("specformer (spectrum)", "60")
