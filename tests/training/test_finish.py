"""What an objective fits in one go after its steps: once, on training and validation galaxies, always the same."""

import json

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import load_file

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.models import networks
from skyloom.tokens.store import write_shard
from skyloom.training.run import train
from tests.models import toy_spectra as toy
from tests.training.runs import rows

COUNT = 160
CONFIG = {
    "kind": "redshift",
    "name": "redshift",
    "modality": "spectrum",
    "seed": 3,
    "threads": 1,
    "model": {**{name: value for name, value in toy.CONFIG.items() if name != "grid"}, "grid": toy.GRID.plain()},
    "training": {"steps": 6, "batch_size": 16, "warmup": 2, "log_every": 3, "validate_every": 3, "checkpoint_every": 2},
}


@pytest.fixture
def survey(tmp_path):
    """Toy spectra in one shard, with the redshifts and classes that were put in."""
    made = toy.spectra(COUNT, seed=1)
    targetid = 39627000000000000 + np.arange(COUNT)
    data = {name: made[name] for name in ("flux", "ivar")}
    write_shard(tmp_path / "s.h5", targetid, data, {"modality": "spectrum"})
    split = np.repeat(["train", "validation", "test"], [110, 30, 20])
    tables.write_parquet(tmp_path / "splits.parquet", pandas.DataFrame({"targetid": targetid, "split": split}))
    galaxies = pandas.DataFrame({"targetid": targetid, "z_true": made["z"].astype(float)})
    galaxies["spectype_true"] = np.where(made["quasar"], "QSO", "GALAXY")
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    return tmp_path


def run(survey, outputs, name, config=CONFIG):
    config = json.loads(json.dumps(config))
    given = ({"spectrum": [survey / "s.h5"]}, survey / "splits.parquet", outputs(survey / name), survey / "checkpoints")
    train(config, *given, galaxies_path=survey / "galaxies.parquet")
    return survey / name


def test_templates_are_fitted_after_the_last_step_and_belong_to_the_weights(survey, outputs, contents):
    folder = run(survey, outputs, "one")
    last = rows(folder)[-1]
    assert last["step"] == 6 and last["split"] == "fit" and 0.2 < last["temperature"] < 5
    model, card = networks.load(folder)
    assert (
        model.known.all()
        and (model.basis != 0).any()
        and float(model.temperature) == pytest.approx(last["temperature"])
    )
    assert card["validation_loss"] == rows(folder, "validation")[-1]["loss"]
    assert contents(folder) == contents(run(survey, outputs, "two"))


def test_test_galaxies_do_not_count(survey, outputs):
    before = load_file(run(survey, outputs, "before") / "model.safetensors")
    galaxies = pandas.read_parquet(survey / "galaxies.parquet")
    galaxies.loc[140:, "z_true"] = 0.111
    tables.write_parquet(survey / "galaxies.parquet", galaxies)
    after = load_file(run(survey, outputs, "after") / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    galaxies.loc[:140, "z_true"] = 0.4
    tables.write_parquet(survey / "galaxies.parquet", galaxies)
    other = load_file(run(survey, outputs, "other") / "model.safetensors")
    assert not torch.equal(before["basis"], other["basis"])


def test_a_catalogue_without_the_truth_is_refused_by_name(survey, outputs):
    galaxies = pandas.read_parquet(survey / "galaxies.parquet").drop(columns="z_true")
    tables.write_parquet(survey / "galaxies.parquet", galaxies)
    with pytest.raises(BadInput, match="no column z_true, which this model learns from"):
        run(survey, outputs, "none")


PROBE = {"kind": "finetune", "name": "probe", "seed": 3, "threads": 1, "backbones": {"spectrum": "redshift"}}
PROBE |= {"model": {"labels": ["z"], "dim": 8, "heads": 2, "queries": 2}, "training": CONFIG["training"]}


def probe(survey, outputs, name, column):
    """A probe of the redshift model, of labels in `column` of the catalogue."""
    galaxies = pandas.read_parquet(survey / "galaxies.parquet").assign(z=column)
    tables.write_parquet(survey / "galaxies.parquet", galaxies)
    config = json.loads(json.dumps(PROBE))
    given = ({"spectrum": [survey / "s.h5"]}, survey / "splits.parquet", outputs(survey / name), survey / "checkpoints")
    backbones = {"spectrum": survey / "one"}
    train(config, *given, backbones=backbones, galaxies_path=survey / "galaxies.parquet")
    return survey / name


def test_a_probe_takes_its_scales_from_the_training_split_and_leaves_its_encoder(survey, outputs, contents):
    encoder = load_file(run(survey, outputs, "one") / "model.safetensors")
    z = pandas.read_parquet(survey / "galaxies.parquet")["z_true"].to_numpy()
    folder = probe(survey, outputs, "probe", z)
    weights = load_file(folder / "model.safetensors")
    assert weights["mean"].item() == pytest.approx(z[:110].mean(), rel=1e-5)
    assert weights["deviation"].item() == pytest.approx(z[:110].std(ddof=1), rel=1e-5)
    assert all(torch.equal(weights[f"backbones.spectrum.{name}"], tensor) for name, tensor in encoder.items())
    assert contents(folder) == contents(probe(survey, outputs, "again", z))
    assert networks.load(folder)[1]["gives"] == {"embeddings": [], "queries": ["properties"]}


def test_a_probe_of_labels_that_nobody_has_is_refused_in_one_line(survey, outputs):
    run(survey, outputs, "one")
    with pytest.raises(BadInput, match="a model learns z, which 0 training galaxies have") as caught:
        probe(survey, outputs, "probe", np.nan)
    assert "\n" not in str(caught.value) and not (survey / "probe").exists()
