"""A model that others have trained: its published weights as a model's folder of ours."""

import json
import logging
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from skyloom.core.errors import BadInput
from skyloom.core.files import sha256, write_json, write_text
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.surveys.common import web
from skyloom.training.checkpoints import write_tensors
from skyloom.training.results import code_of
from skyloom.training.run import read

log = logging.getLogger(__name__)


def read_weights(config: dict, files: Sequence[str | os.PathLike], out: Mapping[str, str | os.PathLike]) -> None:
    """Read published weights and write the folder of a model.

    The card says where each file came from and its sha256. A URL without one is not verified, and the log says what to
    add to it, so that it is from then on.

    Parameters
    ----------
    config : kind, name, modality or modalities, model, training
    files : where the files of the kind's `weights` are, in their order
    out : where to write model (safetensors), card (json) and metrics (empty: nothing was trained)

    Raises
    ------
    BadInput : a file is damaged, or its tensors are not those of the network; one line that says which.
    """
    name = config["name"]
    model = read(config, name, {})
    roles = dict(zip(model.weights, map(str, files), strict=True))
    settings, state = kinds.load(model.kind.reads)(model.settings, roles)
    key = networks.KEYS[model.kind.takes]
    takes = model.takes[0] if key == "modality" else list(model.takes)
    described = {"kind": model.kind_name, key: takes, "model": settings.plain()}
    with torch.device("meta"):
        expected = {n: tuple(t.shape) for n, t in networks.build(described).state_dict().items()}
    _compare(expected, state, f"models.{name}", " ".join(roles.values()))
    network = networks.build(described)
    network.load_state_dict(state)
    _check_numbers(network, roles)
    write_tensors(out["model"], {n: tensor.contiguous() for n, tensor in network.state_dict().items()})
    write_text(out["metrics"], "")
    write_json(out["card"], _card(model, described, network, roles, sha256(out["model"])))


def _compare(expected: Mapping[str, tuple], state: Mapping[str, Tensor], where: str, files: str) -> None:
    """BadInput with the first tensor that is missing, left over, or of another shape."""
    for name in sorted(expected.keys() | state.keys()):
        wanted, found = expected.get(name), tuple(state[name].shape) if name in state else None
        if wanted != found:
            raise BadInput(
                f"{files}: the tensor {name} has shape {found}, expected {wanted}; look whether it is the file you "
                f"want, and whether the shapes in {where}.model are its"
            )


def _check_numbers(network: nn.Module, roles: Mapping[str, str]) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise BadInput(f"{' '.join(roles.values())}: the tensor {name} holds numbers that are not finite")


def _card(model, described: dict, network: nn.Module, roles: Mapping[str, str], digest: str) -> dict:
    sources = {}
    for role, where in model.weights.items():
        found = sha256(roles[role])
        sources[role] = {"from": web.address(where) if web.is_url(where) else where, "sha256": found}
        if web.is_url(where) and not web.checksum(where):
            log.warning("%s was not verified; to pin it, write %s#sha256=%s", where, where, found)
    return {
        "config": described,
        "training": model.training.plain(),
        "code_hash": code_of(described),
        "name": model.name,
        "traits": model.traits,
        "gives": {"embeddings": list(model.embeddings), "queries": list(model.queries)},
        "weights_from": sources,
        "run": digest,
        "takes": json.loads(json.dumps(network.shapes)),
        "parameters": networks.parameter_count(network),
        "modalities": sorted(network.inputs),
        "steps": 0,
        "validation_loss": None,
        "weights_sha256": digest,
    }
