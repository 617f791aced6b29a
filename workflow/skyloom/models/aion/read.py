"""The published files of AION-1, safetensors all three, as the settings and the tensors of our network."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.models.aion import Config
from skyloom.models.aion.network import KEYS
from skyloom.models.common.weights import Weights

ENCODER = ("encoder.", "encoder_norm.", "decoder_proj_context.")
CODECS = {
    "image": ("subsample_in.", "model.conv_in.", "model.encoder_layers.", "pre_quant_proj.", "_quantizer.levels"),
    "spectrum": (
        *("encoder.", "pre_quant_norm.", "quant_conv."),
        *("latent_grid._wavelength", "normalization_quantizer.buckets"),
    ),
}
"""What of each codec the way from data to tokens needs."""


def read_aion(config: Config, files: Mapping[str, str]) -> tuple[Config, dict[str, Tensor]]:
    """Settings with the shapes that the files have, and the tensors of `network.AION`."""
    transformer = Weights(files["transformer"]).below(["encoder_norm.weight"])
    keys = [key.format(spectra=config.transformer.spectra) for key in KEYS.values()]
    wanted = (*ENCODER, *(f"encoder_embeddings.{key}." for key in keys))
    state = {name: tensor for name, tensor in transformer.items() if name.startswith(wanted)}
    shapes = {"transformer": _transformer(state, keys)}
    anchors = {"image": "subsample_in.weight", "spectrum": "quant_conv.weight"}
    for modality, parts in CODECS.items():
        codec = Weights(files[modality]).below([anchors[modality]])
        lookup = [name for name in codec if "project_in" in name]
        if lookup:
            raise BadInput(f"{files[modality]}: quantizes after a projection ({lookup[0]}), which is not known here")
        own = {name: tensor for name, tensor in codec.items() if name.startswith(parts)}
        shapes[modality] = _image(own) if modality == "image" else _spectrum(own)
        state |= {f"codecs.{modality}.{name}": tensor for name, tensor in own.items()}
    return _with_shapes(config, shapes), state


def _with_shapes(config: Config, shapes: Mapping[str, dict]) -> Config:
    sections = {name: getattr(config, name).model_copy(update={"shape": shape}) for name, shape in shapes.items()}
    return config.model_copy(update=sections)


def _count(names: Iterable[str], before: str) -> int:
    """How many numbered parts begin so."""
    return len({name.removeprefix(before).partition(".")[0] for name in names if name.startswith(before)})


def _transformer(state: dict[str, Tensor], keys: list[str]) -> dict:
    """The shape; biases that the published layers do without become zeros in `state`."""
    first = state["encoder.0.mlp.fc1.weight"]
    for name, tensor in list(state.items()):
        layer = name.removesuffix(".weight")
        if name.endswith(".weight") and not name.startswith("encoder_embeddings") and f"{layer}.bias" not in state:
            state[f"{layer}.bias"] = torch.zeros(len(tensor), dtype=tensor.dtype)
    embeddings = {key: f"encoder_embeddings.{key}" for key in keys}
    return {
        "dim": first.shape[1],
        "hidden": first.shape[0],
        "layers": _count(state, "encoder."),
        "gated": "encoder.0.mlp.fc3.weight" in state,
        "qk_norm": "encoder.0.attn.q_norm.weight" in state,
        "counts": {
            key: [len(state[f"{name}.token_emb.weight"]), state[f"{name}.pos_emb"].shape[1]]
            for key, name in embeddings.items()
        },
    }


def _image(codec: Mapping[str, Tensor]) -> dict:
    width = len(codec["model.conv_in.conv.weight"])
    last = codec["pre_quant_proj.weight"]
    return {
        "projection": len(codec["subsample_in.weight"]),
        "width": width,
        "halvings": (last.shape[1] // width).bit_length() - 1,
        "several": _count(codec, "model.encoder_layers.2."),
        "codes": len(last),
    }


def _spectrum(codec: Mapping[str, Tensor]) -> dict:
    stages = range(_count(codec, "encoder.stages."))
    downs = ["encoder.downsample_layers.0.0.weight", *(f"encoder.downsample_layers.{i}.1.weight" for i in stages[1:])]
    return {
        "depths": [_count(codec, f"encoder.stages.{i}.") for i in stages],
        "dims": [len(codec[name]) for name in downs],
        "pixels": codec["latent_grid._wavelength"].shape[1],
        "codes": len(codec["quant_conv.weight"]),
        "buckets": len(codec["normalization_quantizer.buckets"]),
    }
