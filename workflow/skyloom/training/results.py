"""What training leaves behind: weights, card, metrics. No times: the same run writes the same bytes."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from skyloom.core.code import code_hash
from skyloom.core.files import sha256, write_json, write_text
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.settings.training import Training
from skyloom.training.checkpoints import write_tensors
from skyloom.training.data import Samples


def record(model: nn.Module, samples: Samples, settings: Training, seed: int, threads: int) -> dict:
    """Config, hashes of data and code, and `run`: one hash of all that decides the result."""
    entry = {
        "config": networks.describe(model),
        "training": settings.plain(),
        "seed": seed,
        "threads": threads,
        "data_sha256": samples.content,
        "code_hash": code_of(networks.describe(model)),
    }
    start = hashlib.sha256(json.dumps(entry, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):  # a backbone that was trained anew is another run
        start.update(name.encode() + tensor.cpu().numpy().tobytes())
    return {**entry, "run": start.hexdigest()}


def code_of(config: dict) -> str:
    """Hash of the code that decides the numbers of a training: the engine's, and the model's own (16 hex digits).

    What draws figures, or another model, does not count.
    """
    modules, todo = set(), [config]
    while todo:
        entry = todo.pop()
        kind = kinds.find("model", entry["kind"], "kind")
        parts = kinds.module_name("model", entry["kind"]), kind.network, kind.objective
        modules |= {part.partition(":")[0] for part in parts if part}
        todo += entry.get("backbones", {}).values()
    return code_hash(Path(__file__).with_name("loop.py"), modules=sorted(modules), roots=kinds.extensions())


def write(out: Mapping[str, str | os.PathLike], model: nn.Module, samples: Samples, rows: list, entry: dict) -> None:
    """Write weights and metrics, then the card that describes them."""
    write_tensors(out["model"], {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})
    write_text(out["metrics"], "".join(json.dumps(row) + "\n" for row in rows))
    losses = {row["step"]: row["loss"] for row in rows if row["split"] == "validation"}
    card = {
        **entry,
        "takes": samples.shapes(),
        "parameters": networks.parameter_count(model),
        "modalities": sorted(model.inputs),
        "steps": entry["training"]["steps"],
        "validation_loss": losses.get(entry["selected_step"]),
        "weights_sha256": sha256(out["model"]),
    }
    write_json(out["card"], card)
