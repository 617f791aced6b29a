"""What a user can get wrong, in a configuration, in files, on the command line: one line each."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from skyloom.core.errors import BadConfig, BadInput
from skyloom.training.__main__ import pair
from skyloom.training.run import statistics_by_modality, train
from tests.training.runs import change


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"epochs": 3}, "models.specformer: unknown key 'epochs: 3'; allowed are backbones, kind"),
        ({"kind": "vit"}, "models.specformer.kind: 'vit' is not allowed"),
        ({"modality": "image"}, "models.specformer.modality: 'image' is not allowed; allowed are spectrum"),
        ({"training": {"lr": 3}}, "models.specformer.training: unknown key 'lr: 3'"),
        ({"training": {"steps": -1}}, "training.steps: -1 is not allowed; must be at least 0"),
        ({"training": {"batch_size": 0}}, "training.batch_size: 0 is not allowed; must be at least 1"),
        ({"training": {"select": "first"}}, "'first' is not allowed; allowed are last, best"),
        ({"training": {"learning_rates": {"model.block": -1.0}}}, "learning_rates.model.block: -1 is not allowed"),
        (
            {"training": {"learning_rates": {"model.blcks": 0.1}}},
            "no trained parameter begins with 'model.blcks'; they begin with from_pooled.0, from_pooled.2, model",
        ),
        ({"training": {"learning_rates": {"": 0.0}}}, "0 for all parameters; nothing is left to train"),
    ],
)
def test_a_wrong_config_gets_one_line(configs, run, wrong, message):
    with pytest.raises(BadConfig, match=message) as caught:
        run({**configs["specformer"], **wrong})
    assert "\n" not in str(caught.value)


def test_bad_inputs_get_one_line(configs, outputs, survey, tokens, trained, tmp_path):
    out, checkpoints, splits = outputs(tmp_path / "out"), tmp_path / "c", survey / "splits.parquet"
    with pytest.raises(BadInput, match="no image tokens were given"):
        train(configs["astrodino"], {"spectrum": tokens["spectrum"]}, splits, out, checkpoints)
    with pytest.raises(BadInput, match="i0.h5: no dataset ivar; expected a spectrum shard"):
        train(configs["specformer"], {"spectrum": tokens["image"]}, splits, out, checkpoints)
    with pytest.raises(BadConfig, match="models.astroclip: the key 'backbones' is missing"):
        train(configs["astroclip"], tokens, splits, out, checkpoints)
    named = {**configs["astroclip"], "backbones": {"image": "astrodino", "spectrum": "specformer"}}
    with pytest.raises(BadConfig, match="models.astroclip: no backbone for image was given"):
        train(named, tokens, splits, out, checkpoints, {"spectrum": trained / "specformer"})
    pq.write_table(pa.table({"id": [1]}), tmp_path / "wrong.parquet")
    with pytest.raises(BadInput, match="wrong.parquet: expected a Parquet table with columns targetid and split"):
        train(configs["specformer"], tokens, tmp_path / "wrong.parquet", out, checkpoints)
    pq.write_table(pa.table({"targetid": [1], "split": ["train"]}), tmp_path / "other.parquet")
    with pytest.raises(BadInput, match="no galaxy of split train has tokens"):
        train(configs["specformer"], tokens, tmp_path / "other.parquet", out, checkpoints)
    (tmp_path / "statistics.json").write_text("{")
    with pytest.raises(BadInput, match="statistics.json: expected the statistics of tokens as JSON"):
        statistics_by_modality([tmp_path / "statistics.json"])
    assert not (tmp_path / "out").exists()


def test_the_command_line_needs_no_workflow_manager_and_ends_with_one_line(configs, command, environment):
    _, module, *arguments = command(configs["astroclip"], "out", "--backbone", "image")
    code = f"import sys, runpy; sys.modules['snakemake'] = None; sys.argv[1:] = {arguments!r}; "
    code += f"runpy.run_module({module!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "skyloom.training: --backbone image: expected MODALITY=FOLDER, e.g. image=results/mock/models/astrodino\n"
    )


def test_backbones_are_named_by_modality():
    assert pair("spectrum=a/b=c") == ("spectrum", "a/b=c")
    for wrong in ("spectrum=", "=a", "a"):
        with pytest.raises(BadConfig, match="expected MODALITY=FOLDER"):
            pair(wrong)


def test_the_command_line_aligns_any_backbones(configs, command, environment, trained, contents, tmp_path):
    """As the library does, to the byte; the example of a model built on others."""
    backbones = ["--backbone", f"image={trained / 'astrodino'}", "--backbone", f"spectrum={trained / 'specformer'}"]
    arguments = [sys.executable, *command(configs["astroclip"], "out", *backbones)]
    subprocess.run(arguments, env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "out") == contents(trained / "astroclip")
    assert json.loads((tmp_path / "out" / "model.json").read_text())["name"] == "astroclip"


def test_parts_of_a_model_learn_at_rates_of_their_own(configs, run, trained):
    rates = {"model.blocks": 0.0, "model.blocks.0.mlp": 1.0, "model.position": 0.1}
    changed = run(change(configs["specformer"], training={"learning_rates": rates, "weight_decay": 0.0}))
    start = run(change(configs["specformer"], training={"steps": 0}), "start")
    at = {name: load_file(folder / "model.safetensors") for name, folder in (("end", changed), ("start", start))}
    moved = {name: not torch.equal(at["end"][name], at["start"][name]) for name in at["end"]}
    frozen = {name for name in moved if name.startswith("blocks") and "mlp" not in name.split(".")}
    assert frozen and not any(moved[name] for name in frozen)
    assert moved["blocks.0.mlp.0.weight"] and moved["position"] and moved["head.weight"]
    whole = load_file(trained / "specformer" / "model.safetensors")
    slow, plain = ((end["position"] - at["start"]["position"]).abs().max() for end in (at["end"], whole))
    assert 0 < slow < 0.15 * plain
