"""A trained model as an ONNX file, for programs without torch: the same numbers.

The file has an input ``{modality}_{dataset}`` for every array the model takes and an output for every embedding, the
number of galaxies being free. It needs the packages of the extra `onnx`; torch's exporter traces the network itself.
"""

import json
import os

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.core.errors import BadInput, NotAvailable
from skyloom.core.files import atomic
from skyloom.models import networks
from skyloom.nn.batch import Batch

OPSET = 20
CLOSE = 1e-4
"""Largest difference from torch, over the largest number of an embedding, with which a file is written."""


class Embeds(nn.Module):
    """All embeddings of a network, of arrays in the order of `names`."""

    def __init__(self, network: nn.Module, names: list[tuple[str, str]], embeddings: list[str]):
        super().__init__()
        self.network, self.names, self.embeddings = network, names, embeddings

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        data: dict[str, dict[str, Tensor]] = {}
        given = list(zip(self.names, arrays, strict=True))
        for (modality, dataset), array in given:
            data.setdefault(modality, {})[dataset] = array
        every = {modality: array.new_ones(array.shape[0], dtype=torch.bool) for (modality, _), array in given}
        return tuple(self.network.embed(Batch(data, every), name) for name in self.embeddings)


def export(folder: str | os.PathLike, out_path: str | os.PathLike, seed: int = 0) -> None:
    """Write the embeddings of a model as ONNX, and compare them with torch's on random arrays first.

    Raises
    ------
    NotAvailable : the packages of the extra `onnx` are missing.
    BadInput : the model gives no embedding, torch cannot export it, or the file says something else than the model.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, what torch exports by
    except ImportError as error:
        raise NotAvailable(f"{error.name} is missing: pip install -c requirements.lock -e '.[onnx]'") from error
    network, card = networks.load(folder)
    embeddings = card["gives"]["embeddings"]
    if not embeddings:
        raise BadInput(f"{folder}: this model gives no embedding, which is what is exported")
    needed = {modality for name in embeddings for modality in networks.needs(network, name)}
    names = [(m, d) for m in sorted(needed) for d in network.inputs[m]]
    labels = [f"{modality}_{dataset}" for modality, dataset in names]
    module = Embeds(network, names, embeddings).eval()
    arrays = _random(card, names, 3, seed)
    free = tuple({0: torch.export.Dim("galaxies", min=1)} for _ in names)
    try:
        with torch.no_grad():
            # first by itself: the exporter of ONNX, where a number of galaxies cannot be left free, fixes it silently
            traced = torch.export.export(module, _random(card, names, 2, seed + 1), dynamic_shapes=(free,))
            program = torch.onnx.export(
                traced, input_names=labels, output_names=embeddings, opset_version=OPSET, dynamo=True, verbose=False
            )
    except Exception as error:  # of many kinds, from the depths of torch.export
        raise BadInput(f"{folder}: torch cannot export this network ({str(error).splitlines()[0][:200]})") from error
    about = {"name": card["name"], "kind": card["config"]["kind"], "weights_sha256": card["weights_sha256"]}
    program.model.metadata_props["skyloom"] = json.dumps(about, sort_keys=True)
    with atomic(out_path) as temporary:
        program.save(temporary)
        given = dict(zip(labels, (array.numpy() for array in arrays), strict=True))
        try:
            session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
            found = session.run(embeddings, given)
        except Exception as error:  # of onnxruntime's own kinds
            reason = " ".join(str(error).split())[:200]
            raise BadInput(f"{folder}: what torch exports of this network cannot be run ({reason})") from error
        with torch.inference_mode():
            for name, values, expected in zip(embeddings, found, module(*arrays), strict=True):
                expected = expected.float().numpy()
                difference = np.abs(values - expected).max() / np.abs(expected).max()
                if not difference <= CLOSE:
                    raise BadInput(f"{folder}: {name} by ONNX differs from torch by {difference:.1e} of its size")


def _random(card: dict, names: list[tuple[str, str]], count: int, seed: int) -> tuple[Tensor, ...]:
    """Arrays of the shapes that the model takes: positive, with a part of inverse variances zero."""
    generator, arrays = torch.Generator().manual_seed(seed), []
    for modality, dataset in names:
        values = torch.rand(count, *card["takes"][modality][dataset], generator=generator)
        arrays.append(torch.where(values < 0.1, 0, values) if dataset == "ivar" else values)
    return tuple(arrays)
