"""The networks of models: build one from a configuration, or load one from its folder.

A model is a module with an object `KIND` (`skyloom.settings.kinds.ModelKind`): of the library, or of a user's own. Its
network is a `torch.nn.Module` made of its settings and the modalities it takes, or of its settings and its backbones:
``Network(settings, takes: tuple[str, ...])`` or ``Network(settings, backbones: dict[str, Module])``. It has

- ``inputs`` : modality -> datasets of the token shards it reads
- ``embed(batch, name)`` : (B, dim), for every name among its embeddings: a modality, or "joint"
- ``tokens(batch)`` : (B, T, width), and ``width``, if it is to be a backbone (of one modality)
- ``places()``, which says what part of a sample each of these tokens shows (`skyloom.nn.places`), if it can
- ``blocks``, a ModuleList through which its tokens go, if its kind says that it has some (`ModelKind.blocks`)
- ``views`` and ``view(batch, number)``, if its samples can be shown in several ways that mean the same
- ``predict(batch, query)`` : column -> (B,) or (B, D), for every query of its kind
- ``question(name, query)``, if its kind answers queries of the user's own: what the others here take for a query
- ``about(query)`` : what the metadata of a table of answers says of its columns, if anything (a dict for JSON)
- ``needs(name)`` : the modalities an embedding or a query is made of; without it a modality needs itself, all else
  everything the network takes
- ``fresh`` : beginnings of the names of buffers that a training from its weights does not take over, if any
- ``fit(batches)`` and ``fit_samples``, if it is fitted instead of trained (its kind has no objective): `fit` is given
  batches of at most `fit_samples` training galaxies and returns rows of metrics

A batch is a `skyloom.nn.batch.Batch`. How a network is trained: `skyloom.training.objective`.
"""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skyloom.core.errors import BadConfig, BadInput
from skyloom.settings import kinds
from skyloom.settings.section import parse

KEYS = {"one": "modality", "several": "modalities", "backbones": "backbones"}
"""`ModelKind.takes` -> the key of a configuration that says what a model takes."""


def build(config: dict, backbones: dict[str, nn.Module] | None = None) -> nn.Module:
    """A new network with random weights (seed torch before).

    Parameters
    ----------
    config : kind; modality, modalities or backbones (modality -> such a config); model, the keys of that kind's
        settings (the rest has its default)
    backbones : networks to build on, in place of new ones

    Raises
    ------
    BadConfig : unknown kind or key, or a value that is not allowed.
    """
    name = config.get("kind")
    kind = kinds.find("model", name, "kind")
    settings = parse(kind.settings, config.get("model", {}), f"{name}.model")
    key = KEYS[kind.takes]
    if key == "backbones" and backbones is not None:
        given = {modality: describe(backbones[modality]) for modality in sorted(backbones)}
    elif key in config:
        given = config[key]
    else:
        raise BadConfig(f"{name}: the key '{key}' is missing")
    network = kinds.load(kind.network)
    if key == "backbones":
        built = backbones or {modality: build(entry) for modality, entry in sorted(given.items())}
        model = network(settings, built)
    else:
        model = network(settings, (given,) if key == "modality" else tuple(given))
    model.description = {"kind": name, key: given, "model": settings.plain()}
    return model


def describe(model: nn.Module) -> dict:
    """The config from which `build` makes the same network again, every key written out."""
    return model.description


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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{card_path}: not a model card ({error}); delete the model's folder and rerun") from error
    except BadConfig as error:
        raise BadInput(
            f"{card_path}: of another version of its model ({error}); delete the folder and rerun"
        ) from error
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{weights}: the weights are damaged or not those of {card_path} ({reason})") from error
    return model.eval().requires_grad_(False), card


def needs(model: nn.Module, name: object) -> tuple[str, ...]:
    """The modalities that an embedding or the answer to a query is made of."""
    if hasattr(model, "needs"):
        return tuple(model.needs(name))
    return (name,) if name in model.inputs else tuple(model.inputs)


def parameter_count(model: nn.Module) -> int:
    """Number of weights, buffers of a fitted model included."""
    return sum(tensor.numel() for tensor in model.state_dict().values())
