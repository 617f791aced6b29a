"""The models, one file each; build one from a configuration, or load one from its folder.

A module of a model has `Config` (a frozen dataclass), a network, `Objective` (how it is trained; PCA is fitted
instead) and `TRAINING` (what of `skyloom.training.settings.Settings` this model wants different). A new model is a
module and a line in `KINDS`. A network has `inputs` (modality -> datasets of the shards it takes), `tokens(batch)` and
`embed(batch)`.
"""

import dataclasses
import json
import typing
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.astroclip import network as astroclip
from skyloom.models.astrodino import network as astrodino
from skyloom.models.pca import network as pca
from skyloom.models.specformer import network as specformer

KINDS = {
    "specformer": (specformer, specformer.SpecFormer),
    "astrodino": (astrodino, astrodino.AstroDINO),
    "astroclip": (astroclip, astroclip.AstroCLIP),
    "pca": (pca, pca.PCA),
}


def module_of(kind: str):
    """The module of a kind of model; BadConfig when there is no such kind."""
    if kind not in KINDS:
        raise BadConfig(f"kind: {kind!r} is not a model; allowed are {', '.join(KINDS)}")
    return KINDS[kind][0]


def build(config: dict, backbones: dict[str, nn.Module] | None = None) -> nn.Module:
    """A new network with random weights (seed torch before).

    Parameters
    ----------
    config : kind, model (keys of that kind's Config; the rest has its default); for astroclip without `backbones` also
        backbones: modality -> config of that kind
    backbones : networks that an astroclip is built on

    Raises
    ------
    BadConfig : unknown kind or key, or a value of the wrong type.
    """
    module = module_of(config["kind"])
    values = dict(config.get("model", {}))
    if config["kind"] == "pca" and "modality" in config:
        values.setdefault("modality", config["modality"])
    settings = parse(module.Config, values, f"{config['kind']}.model")
    network = KINDS[config["kind"]][1]
    if config["kind"] != "astroclip":
        return network(settings)
    if backbones is None:
        backbones = {modality: build(entry) for modality, entry in sorted(config["backbones"].items())}
    return network(settings, backbones)


def describe(model: nn.Module) -> dict:
    """The config from which `build` makes the same network again, every key written out."""
    kind = next(kind for kind, (_, network) in KINDS.items() if type(model) is network)
    config = {"kind": kind, "model": dataclasses.asdict(model.config)}
    if kind == "astroclip":
        config["backbones"] = {modality: describe(backbone) for modality, backbone in model.backbones.items()}
    return config


def load(folder: str | Path) -> tuple[nn.Module, dict]:
    """A trained model, in evaluation mode, and its card (model.json).

    Raises
    ------
    BadInput : a file is missing or damaged, or the weights do not belong to the card.
    """
    folder = Path(folder)
    weights, card_path = folder / "model.safetensors", folder / "model.json"
    for path in (weights, card_path):
        if not path.is_file():
            raise BadInput(f"{path}: no such file; run the rule that trains this model")
    try:
        card = json.loads(card_path.read_text())
        model = build(card["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{card_path}: not a model card ({error}); delete the model's folder and rerun") from error
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{weights}: the weights are damaged or not those of {card_path} ({reason})") from error
    return model.eval().requires_grad_(False), card


def parse(cls: type, values: dict, where: str):
    """A frozen config dataclass from a dict: unknown keys are refused, types checked, numbers and lists converted.

    Raises
    ------
    BadConfig : one line that names the key, the value and what is allowed.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise BadConfig(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(hints)}")
    return cls(**{key: _convert(value, hints[key], f"{where}.{key}") for key, value in values.items()})


def _convert(value, hint, where: str):
    allowed = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        if value in allowed:
            return value
        raise BadConfig(f"{where}: {value!r} is not allowed; allowed are {', '.join(map(str, allowed))}")
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple) and len(value) == len(allowed):
        return tuple(_convert(part, kind, where) for part, kind in zip(value, allowed, strict=True))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool) == isinstance(value, bool):
        return value
    raise BadConfig(f"{where}: {value!r} is not allowed; expected {getattr(hint, '__name__', hint)}")


def parameter_count(model: nn.Module) -> int:
    """Number of weights, buffers of a fitted model included."""
    return sum(tensor.numel() for tensor in model.state_dict().values())
