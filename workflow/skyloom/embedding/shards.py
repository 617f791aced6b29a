"""The galaxies of one shard number in several modalities, as batches for a network."""

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.networks import needs
from skyloom.nn.batch import Batch
from skyloom.tokens.store import Shards


@dataclasses.dataclass
class Joined:
    """Shards of one number, one a modality, joined by targetid.

    Attributes
    ----------
    shards, rows : modality -> its shard, and where in it each galaxy is (-1: nowhere)
    inputs : modality -> datasets
    targetid : (N,) int64 in rising order, each once
    """

    shards: dict[str, Shards]
    inputs: dict[str, tuple[str, ...]]
    targetid: np.ndarray
    rows: dict[str, np.ndarray]

    def batches(self, places: np.ndarray, size: int, device: str) -> Iterator[Batch]:
        """Galaxies, in batches of at most `size`."""
        for part in np.array_split(places, math.ceil(len(places) / size)):
            yield self.batch(part).to(device)

    def batch(self, places: np.ndarray) -> Batch:
        """Galaxies as one batch."""
        data, present = {}, {}
        for modality, shards in self.shards.items():
            rows = self.rows[modality][places]
            there = np.flatnonzero(rows >= 0)
            found = shards.read(rows[there], self.inputs[modality])
            values = {n: np.zeros((len(places), *shards.shapes[n]), "f4") for n in self.inputs[modality]}
            for name in values:
                values[name][there] = found[name]
            data[modality] = {name: torch.from_numpy(value) for name, value in values.items()}
            present[modality] = torch.from_numpy(rows >= 0)
        return Batch(data, present, targetid=torch.from_numpy(self.targetid[places]))

    def blank(self, device: str | torch.device) -> Batch:
        """A galaxy of zeros."""
        data = {
            m: {name: torch.zeros(1, *shards.shapes[name]) for name in self.inputs[m]}
            for m, shards in self.shards.items()
        }
        return Batch(data, targetid=torch.zeros(1, dtype=torch.int64)).to(device)

    def close(self) -> None:
        """Close the files."""
        for shards in self.shards.values():
            shards.close()


def join(model: nn.Module, name: object, tokens: Mapping[str, str | os.PathLike], incomplete: str) -> Joined:
    """The galaxies of which a model gives an embedding, or answers a query.

    Parameters
    ----------
    model, name : the network, and the embedding or query (a name, or a question that the network made of one)
    tokens : modality -> shard, all of one number (a galaxy has the same in every modality); more than are needed are
        left aside
    incomplete : "drop" galaxies that lack a needed modality, or "keep" them

    Raises
    ------
    BadConfig : a needed modality was not given.
    BadInput : a shard is damaged or is not of its modality.
    """
    needed = needs(model, name)
    lacking = [modality for modality in needed if modality not in tokens]
    if len(lacking) == len(needed) or (lacking and incomplete == "drop"):
        raise BadConfig(f"{name}: is made of {', '.join(needed)}, but no {lacking[0]} tokens were given")
    shards = {m: Shards([tokens[m]]) for m in needed if m in tokens}
    inputs = {m: tuple(model.inputs[m]) for m in shards}
    for modality, shard in shards.items():
        for dataset in inputs[modality]:
            if dataset not in shard.shapes:
                raise BadInput(f"{shard.paths[0]}: no dataset {dataset}; expected a {modality} shard")
    targetid = np.unique(np.concatenate([shard.targetid for shard in shards.values()]))
    rows = {m: shard.rows(targetid) for m, shard in shards.items()}
    there = np.array([r >= 0 for r in rows.values()])
    used = there.all(0) if incomplete == "drop" else there.any(0)
    return Joined(shards, inputs, targetid[used], {m: r[used] for m, r in rows.items()})
