"""Training by a configuration, as the command line and the workflow ask for it.

Apart from the engine (`skyloom.training.loop`) because what checks a configuration or tells of progress decides no
number of a result: a change here discards no checkpoint.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from skyloom.core.errors import BadConfig
from skyloom.core.job import progress
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.settings.models import read_model
from skyloom.settings.section import hint
from skyloom.training import loop
from skyloom.training.data import read_statistics

KEYS = ("kind", "name", "modality", "modalities", "backbones", "model", "training", "seed", "threads")


def train(
    config: dict,
    tokens: Mapping[str, Sequence[str | os.PathLike]],
    splits_path: str | os.PathLike,
    out: Mapping[str, str | os.PathLike],
    checkpoints: str | os.PathLike,
    backbones: Mapping[str, str | os.PathLike] | None = None,
    galaxies_path: str | os.PathLike | None = None,
    statistics: Mapping[str, str | os.PathLike] | None = None,
    start: str | os.PathLike | None = None,
) -> None:
    """Train a model, or fit it, and write its folder.

    Parameters
    ----------
    config : kind; modality, modalities or backbones (modality -> name; without it, those of the argument); model and
        training with the keys of the kind's settings and of `skyloom.settings.training`; name (by which tables and
        figures call it: that of the folder), seed (0) and threads (2)
    tokens : modality -> shards
    splits_path : parquet with targetid and split
    out : where to write model (safetensors), card (json) and metrics (jsonl)
    checkpoints : a run has a folder of its own here, named by all that decides its result: a killed run continues from
        it, a finished one removes it
    backbones : modality -> folder of a trained model
    galaxies_path : galaxies.parquet, for objectives that learn from its columns
    statistics : modality -> statistics.json of the training split
    start : folder of a trained model of the same shape, whose weights and standardisation this one starts with;
        what an objective has besides the network begins anew

    Raises
    ------
    BadConfig : unknown key or a value that is not allowed.
    BadInput : a file is missing or damaged, or there is no training galaxy.
    SkyloomError : the loss is not finite.
    """
    backbones = dict(backbones or {})
    name = config.get("name") or Path(out["card"]).parent.name
    model = read(config, name, backbones)
    key = networks.KEYS[model.kind.takes]
    takes = {"modality": model.takes[0], "modalities": list(model.takes)}
    loop.train(
        {"kind": model.kind_name, **({key: takes[key]} if key in takes else {}), "model": model.settings.plain()},
        model.training,
        {
            "name": name,
            "traits": model.traits,
            "gives": {"embeddings": list(model.embeddings), "queries": list(model.queries)},
        },
        tokens,
        splits_path,
        out,
        checkpoints,
        {modality: backbones[modality] for modality in model.takes} if model.backbones else {},
        galaxies_path,
        statistics or {},
        start,
        config.get("seed", 0),
        config.get("threads", 2),
        progress,
    )


def read(config: dict, name: str, backbones: Mapping[str, str | os.PathLike]):
    """The checked model (`skyloom.settings.models.Model`) of a configuration and the backbones given for it."""
    unknown = sorted(set(config) - set(KEYS))
    if unknown:
        raise BadConfig(f"models.{name}: unknown key '{unknown[0]}: {config[unknown[0]]}'; {hint(unknown[0], [*KEYS])}")
    entry = {key: value for key, value in config.items() if key not in ("name", "seed", "threads")}
    kind = kinds.find("model", config.get("kind"), f"models.{name}.kind")
    if kind.takes == "backbones":
        if "backbones" not in entry and backbones:
            entry["backbones"] = {modality: str(folder) for modality, folder in backbones.items()}
        for modality in entry.get("backbones", {}):
            if modality not in backbones:
                raise BadConfig(f"models.{name}: no backbone for {modality} was given")
    return read_model(name, entry)


def statistics_by_modality(paths: Sequence[str | os.PathLike]) -> dict[str, str]:
    """Files of statistics by the modality that each states."""
    return {str(read_statistics(path).get("modality")): str(path) for path in paths}
