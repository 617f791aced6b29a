import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from skyloom.core.errors import BadConfig, BadInput, SkyloomError
from skyloom.training.data import Samples
from skyloom.training.run import train
from tests.paths import LIBRARY

KINDS = ("specformer", "astrodino", "astroclip")


def change(config, **parts):
    """A config with some keys of `model` and `training` changed."""
    return {**config, **{part: {**config[part], **values} for part, values in parts.items()}}


def rows(folder, split=None):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in lines if split in (None, row["split"])]


@pytest.fixture
def run(survey, tokens, trained, outputs, tmp_path):
    """Train with a config; the folder of the model."""

    def run(config, name="out"):
        backbones = {"image": trained / "astrodino", "spectrum": trained / "specformer"}
        train(config, tokens, survey / "splits.parquet", outputs(tmp_path / name), tmp_path / "checkpoints", backbones)
        return tmp_path / name

    return run


@pytest.fixture
def command(survey, tmp_path):
    """The command line, without the interpreter, that trains a config into a folder."""

    def command(config, name, *more):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        shards = [survey / f"{kind}{number}.h5" for kind in "si" for number in (0, 1)]
        options = ["--config", tmp_path / f"{name}.json", "--out", tmp_path / name]
        options += ["--checkpoints", tmp_path / f"{name}.c", "--splits", survey / "splits.parquet", *more]
        return ["-m", "skyloom.training", *map(str, [*options, "--tokens", *shards])]

    return command


@pytest.fixture
def environment():
    return {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_config_gives_the_same_bytes(run, trained, configs, contents, kind):
    config = configs[kind]
    folder = run(config)
    assert contents(folder) == contents(trained / kind)
    assert not (folder.parent / "checkpoints").exists()
    other = run({**config, "seed": 1}, "other")
    assert (other / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_off_run_ends_with_the_same_bytes(run, trained, configs, contents, kind, monkeypatch, caplog):
    from skyloom.training.trainer import Trainer

    advance = Trainer.advance

    def breaks(self, *arguments):
        if self.step == 15:
            raise KeyboardInterrupt
        advance(self, *arguments)

    monkeypatch.setattr(Trainer, "advance", breaks)
    with pytest.raises(KeyboardInterrupt):
        run(configs[kind])
    monkeypatch.undo()
    with caplog.at_level("INFO"):
        folder = run(configs[kind])
    assert "continuing from the checkpoint of step 12" in caplog.text
    assert contents(folder) == contents(trained / kind)


def test_a_killed_process_ends_with_the_same_bytes(configs, contents, run, command, environment, tmp_path):
    """kill -9 of the command line; then the newest checkpoint is damaged too, so that the one before is used."""
    config = change(configs["specformer"], training={"steps": 240, "checkpoint_every": 20, "validate_every": 100})
    whole = run(config, "whole")
    killed = [sys.executable, *command(config, "killed")]
    process = subprocess.Popen(killed, env=environment, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "killed.c"
    while len(list(checkpoints.glob("step-*.safetensors"))) < 2:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    newest = max(checkpoints.glob("step-*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-100])
    again = subprocess.run(killed, env=environment, check=True, capture_output=True, text=True)
    assert f"{newest}: the checkpoint is damaged" in again.stderr
    assert "continuing from the checkpoint of step" in again.stderr
    assert contents(tmp_path / "killed") == contents(whole)


def test_two_processes_train_as_one_does(configs, survey, tokens, trained, run, outputs, environment, tmp_path):
    """All kinds in one torchrun: starting it takes longer than training."""
    # each process draws drop path for itself; without it the runs differ by rounding only
    changed = {kind: change(configs[kind], training={"precision": "float32"}) for kind in KINDS}
    changed["specformer"] = change(changed["specformer"], model={"drop_path": 0.0})
    backbones = {"image": str(trained / "astrodino"), "spectrum": str(trained / "specformer")}
    shards = {modality: list(map(str, paths)) for modality, paths in tokens.items()}
    script = ["import torch.distributed", "from skyloom.training.run import train"]
    script.append("torch.distributed.init_process_group('gloo')")
    for kind in KINDS:
        out = {name: str(path) for name, path in outputs(tmp_path / f"two-{kind}").items()}
        arguments = (changed[kind], shards, str(survey / "splits.parquet"), out, str(tmp_path / "c"), backbones)
        script.append(f"train(*{arguments!r})")
    script.append("torch.distributed.destroy_process_group()")
    (tmp_path / "script.py").write_text("\n".join(script))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, tmp_path / "script.py"], env=environment, check=True, capture_output=True)
    for kind in KINDS:
        one, two = rows(run(changed[kind], f"one-{kind}")), rows(tmp_path / f"two-{kind}")
        assert len(one) == len(two) == 10
        for ours, theirs in zip(one, two, strict=True):
            assert ours.pop("split") == theirs.pop("split")
            assert theirs == pytest.approx(ours, rel=2e-3)


def test_metrics_and_card_say_what_happened(trained):
    folder = trained / "specformer"
    assert [row["step"] for row in rows(folder, "train")] == [5, 10, 15, 20, 24]
    assert [row["step"] for row in rows(folder, "validation")] == [0, 7, 14, 21, 24]
    assert rows(folder, "train")[-1]["epoch"] == 24 * 8 / 32
    assert rows(folder, "validation")[-1]["loss"] < rows(folder, "validation")[0]["loss"]
    card = json.loads((folder / "model.json").read_text())
    assert card["parameters"] == sum(t.numel() for t in load_file(folder / "model.safetensors").values())
    assert card["validation_loss"] == rows(folder, "validation")[-1]["loss"]
    assert (card["seed"], card["steps"], card["selected_step"], card["modalities"]) == (0, 24, 24, ["spectrum"])
    assert card["training"]["precision"] in ("float32", "bfloat16")  # what "auto" meant on this machine
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_collapse_can_be_seen_in_the_metrics(trained):
    assert all(0 < row["mean_entropy"] <= 1.001 for row in rows(trained / "astrodino"))


def test_no_steps_give_the_untrained_network_of_the_same_seed(configs, run, trained):
    untrained = load_file(run(change(configs["specformer"], training={"steps": 0})) / "model.safetensors")
    again = load_file(
        run(change(configs["specformer"], training={"steps": 0, "batch_size": 4}), "again") / "model.safetensors"
    )
    network = load_file(trained / "specformer" / "model.safetensors")
    assert all(torch.equal(untrained[name], again[name]) for name in network)
    assert any(not torch.equal(untrained[name], network[name]) for name in network)


def test_the_best_validation_step_is_kept(configs, run):
    # a rate this high spoils the heads after some steps: the last step is not the best
    folder = run(
        change(configs["astroclip"], training={"select": "best", "steps": 60, "learning_rate": 3.0, "warmup": 60})
    )
    losses = {row["step"]: row["loss"] for row in rows(folder, "validation")}
    card = json.loads((folder / "model.json").read_text())
    best = min(losses, key=losses.get)
    assert best < 60
    assert (card["selected_step"], card["validation_loss"]) == (best, losses[best])


def test_streaming_and_memory_give_the_same_weights(configs, run, trained):
    streamed = run(change(configs["specformer"], training={"resident": False}))
    assert (streamed / "metrics.jsonl").read_bytes() == (trained / "specformer" / "metrics.jsonl").read_bytes()
    assert (streamed / "model.safetensors").read_bytes() == (trained / "specformer" / "model.safetensors").read_bytes()


def test_cached_tokens_train_like_live_ones(configs, run, trained):
    live = run(change(configs["astroclip"], training={"cache_tokens": False}))
    for ours, theirs in zip(rows(live), rows(trained / "astroclip"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-2)  # the cache is in half precision


def test_many_tokens_go_to_a_file(configs, run, trained, monkeypatch):
    monkeypatch.setattr("skyloom.training.trainer.RESIDENT_TOKENS", 0)
    folder = run(configs["astroclip"])
    assert (folder / "metrics.jsonl").read_bytes() == (trained / "astroclip" / "metrics.jsonl").read_bytes()


def test_an_aligned_model_carries_its_backbones_unchanged(trained):
    aligned = load_file(trained / "astroclip" / "model.safetensors")
    for modality, kind in (("image", "astrodino"), ("spectrum", "specformer")):
        for name, tensor in load_file(trained / kind / "model.safetensors").items():
            assert torch.equal(aligned[f"backbones.{modality}.{name}"], tensor)


def test_pairs_are_galaxies_with_every_modality(survey, tokens):
    inputs = {"spectrum": ("flux",), "image": ("rgb",)}
    assert len(Samples(tokens, inputs, survey / "splits.parquet").targetid) == 46
    assert len(Samples(tokens, {"spectrum": ("flux",)}, survey / "splits.parquet").targetid) == 48


def test_a_diverging_run_ends_with_one_line(configs, run):
    with pytest.raises(SkyloomError, match=r"the loss is (nan|inf) at step \d+; lower learning_rate"):
        run(change(configs["specformer"], training={"learning_rate": 1e30, "warmup": 0, "clip": 0.0}))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"epochs": 3}, "model: unknown key 'epochs'"),
        ({"kind": "vit"}, "kind: 'vit' is not a model"),
        ({"training": {"lr": 3}}, "specformer.training: unknown key 'lr'"),
        ({"training": {"steps": -1}}, "specformer.training.steps: -1 is not allowed; at least 0"),
        ({"training": {"batch_size": 0}}, "specformer.training.batch_size: 0 is not allowed; at least 1"),
        ({"training": {"select": "first"}}, "'first' is not allowed; allowed are last, best"),
    ],
)
def test_a_wrong_config_gets_one_line(configs, run, wrong, message):
    with pytest.raises(BadConfig, match=message) as caught:
        run({**configs["specformer"], **wrong})
    assert "\n" not in str(caught.value)


def test_bad_inputs_get_one_line(configs, outputs, survey, tokens, tmp_path):
    out, checkpoints = outputs(tmp_path / "out"), tmp_path / "c"
    with pytest.raises(BadInput, match="no image tokens were given"):
        train(configs["astrodino"], {"spectrum": tokens["spectrum"]}, survey / "splits.parquet", out, checkpoints)
    with pytest.raises(BadConfig, match="no backbone for image was given"):
        train(configs["astroclip"], tokens, survey / "splits.parquet", out, checkpoints)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "wrong.parquet")
    with pytest.raises(BadInput, match="wrong.parquet: expected a Parquet table with columns targetid and split"):
        train(configs["specformer"], tokens, tmp_path / "wrong.parquet", out, checkpoints)
    pq.write_table(pa.table({"targetid": [1], "split": ["train"]}), tmp_path / "other.parquet")
    with pytest.raises(BadInput, match="no galaxy of split train has tokens"):
        train(configs["specformer"], tokens, tmp_path / "other.parquet", out, checkpoints)
    assert not (tmp_path / "out").exists()


def test_the_command_line_needs_no_workflow_manager_and_ends_with_one_line(configs, command, environment):
    _, module, *arguments = command(configs["astroclip"], "out")
    code = f"import sys, runpy; sys.modules['snakemake'] = None; sys.argv[1:] = {arguments!r}; "
    code += f"runpy.run_module({module!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "skyloom.training: astroclip: no backbone for image was given\n"
