"""What training leaves behind: weights, card, metrics, loss curve. No times: the same run writes the same bytes."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from torch import nn

from skyloom import models
from skyloom.core.code import code_hash
from skyloom.core.files import sha256, write_json, write_text
from skyloom.figures import style
from skyloom.training.checkpoints import write_tensors
from skyloom.training.data import Samples
from skyloom.training.settings import Settings


def provenance(model: nn.Module, samples: Samples, settings: Settings, seed: int, threads: int) -> dict:
    """Config, hashes of data and code, and `run`: one hash of all that decides the result."""
    entry = {
        "config": models.describe(model),
        "training": dataclasses.asdict(settings),
        "seed": seed,
        "threads": threads,
        "data_sha256": samples.content,
        "code_hash": code_hash(Path(__file__).with_name("loop.py")),
    }
    start = hashlib.sha256(json.dumps(entry, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):  # a backbone that was trained anew is another run
        start.update(name.encode() + tensor.cpu().numpy().tobytes())
    return {**entry, "run": start.hexdigest()}


def write(out: dict[str, str | os.PathLike], model: nn.Module, rows: list[dict], entry: dict) -> None:
    """Write weights, metrics and figure, then the card that describes them."""
    write_tensors(out["model"], {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})
    write_text(out["metrics"], "".join(json.dumps(row) + "\n" for row in rows))
    draw(out["figure"], rows, entry["config"]["kind"])
    losses = {row["step"]: row["loss"] for row in rows if row["split"] == "validation"}
    card = {
        **entry,
        "parameters": models.parameter_count(model),
        "modalities": sorted(model.inputs),
        "steps": entry["training"]["steps"],
        "validation_loss": losses.get(entry["selected_step"]),
        "weights_sha256": sha256(out["model"]),
    }
    write_json(out["card"], card)


def draw(path: str | os.PathLike, rows: list[dict], kind: str) -> None:
    """The loss of both splits against the step; for a PCA the explained variance against the number of components."""
    x, y = ("component", "explained_variance") if kind == "pca" else ("step", "loss")
    with style.look():
        figure = style.figure(3.2, 5.5)
        axis = figure.add_subplot()
        for split in ("train", "validation"):
            points = [(row[x], row[y]) for row in rows if row["split"] == split]
            if points:
                axis.plot(*zip(*points, strict=True), marker=".", ms=4, color=style.SPLITS[split], label=split)
        axis.set(xlabel=x, ylabel=y.replace("_", " "), title=kind)
        axis.legend()
        style.save(figure, path)
