import json
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from skyloom.core.errors import SkyloomError
from tests.training.runs import KINDS, change, rows


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
    config = change(configs["specformer"], training={"steps": 60, "checkpoint_every": 10, "validate_every": 100})
    whole = run(config, "whole")
    _, module, *arguments = command(config, "killed")
    dies = f"""
import os, runpy, signal, sys
from skyloom.training.trainer import Trainer

advance = Trainer.advance

def dies(self, *a):
    if self.step == 35:
        os.kill(os.getpid(), signal.SIGKILL)
    advance(self, *a)

Trainer.advance = dies
sys.argv[1:] = {arguments!r}
runpy.run_module({module!r}, run_name="__main__")
"""
    died = subprocess.run([sys.executable, "-c", dies], env=environment, capture_output=True)
    assert died.returncode == -signal.SIGKILL and not (tmp_path / "killed").exists()
    (folder,) = (tmp_path / "killed.c").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000020.safetensors", "step-00000030.safetensors"]
    newest = folder / "step-00000030.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    killed = [sys.executable, *command(config, "killed")]
    again = subprocess.run(killed, env=environment, check=True, capture_output=True, text=True)
    assert f"{newest}: the checkpoint is damaged" in again.stderr
    assert "continuing from the checkpoint of step 20" in again.stderr
    assert contents(tmp_path / "killed") == contents(whole)
    assert (tmp_path / "killed" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "killed.c").exists()


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
    assert (card["name"], card["takes"]) == ("specformer", {"spectrum": {"flux": [200], "ivar": [200]}})
    assert card["gives"] == {"embeddings": ["spectrum"], "queries": []}
    assert card["traits"] == {
        "kind": "specformer",
        "trained": True,
        "baseline": False,
        "shared_space": False,
        "ordered": False,
        "backbones": False,
    }


def test_metrics_tell_one_assignment_from_their_mean(trained):
    """Entropy is concave: that of the mean is above the mean of entropies, unless all galaxies are assigned alike."""
    for row in rows(trained / "astrodino"):
        assert 0 < row["teacher_entropy"] < row["mean_entropy"] - 1e-3
        assert row["mean_entropy"] <= 1 + 1e-6


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
    monkeypatch.setattr("skyloom.training.frozen.RESIDENT_TOKENS", 0)
    folder = run(configs["astroclip"])
    assert (folder / "metrics.jsonl").read_bytes() == (trained / "astroclip" / "metrics.jsonl").read_bytes()


def test_an_aligned_model_carries_its_backbones_unchanged(trained):
    aligned = load_file(trained / "astroclip" / "model.safetensors")
    for modality, kind in (("image", "astrodino"), ("spectrum", "specformer")):
        for name, tensor in load_file(trained / kind / "model.safetensors").items():
            assert torch.equal(aligned[f"backbones.{modality}.{name}"], tensor)


def test_a_diverging_run_ends_with_one_line(configs, run):
    with pytest.raises(SkyloomError, match=r"the loss is (nan|inf) at step \d+; lower learning_rate"):
        run(change(configs["specformer"], training={"learning_rate": 1e30, "warmup": 0, "clip": 0.0}))
