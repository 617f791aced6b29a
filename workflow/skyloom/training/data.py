"""The galaxies a model is trained on: shards of one or more modalities joined by targetid, in memory or streamed."""

import hashlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.core.files import sha256
from skyloom.tokens.loader import batches, step_samples
from skyloom.tokens.store import Shards

RESIDENT_BYTES = 2 * 2**30


class Samples:
    """Galaxies that have tokens in every modality asked for, in the order of targetid.

    Parameters
    ----------
    tokens : modality -> shards
    inputs : modality -> datasets to read; no two modalities may share a name
    splits_path : parquet with targetid and split
    resident : hold the training and validation galaxies in memory; "auto" when they fit in 2 GiB
    device : where batches go

    Attributes
    ----------
    targetid : (N,) int64
    split : (N,) str
    names : datasets in a batch
    content : SHA-256 over the content of shards and splits
    """

    def __init__(
        self,
        tokens: dict[str, Sequence[str | os.PathLike]],
        inputs: dict[str, Sequence[str]],
        splits_path: str | os.PathLike,
        resident: bool | str = "auto",
        device: str = "cpu",
    ):
        for modality in inputs:
            if not tokens.get(modality):
                raise BadInput(f"no {modality} tokens were given, but this model needs them")
        self.device = device
        self.inputs = {modality: tuple(inputs[modality]) for modality in sorted(inputs)}
        self.names = [name for names in self.inputs.values() for name in names]
        self._shards = {modality: Shards(tokens[modality]) for modality in self.inputs}
        self.content = self._content(splits_path)
        identifiers, split = read_splits(splits_path)
        common = np.logical_and.reduce([np.isin(identifiers, shards.targetid) for shards in self._shards.values()])
        self.targetid, self.split = identifiers[common], split[common]
        self._rows = {modality: shards.rows(self.targetid) for modality, shards in self._shards.items()}
        self._held: dict[str, Tensor] | None = None
        used = np.flatnonzero(np.isin(self.split, ("train", "validation")))
        if resident is True or (resident == "auto" and len(used) * self._bytes() <= RESIDENT_BYTES):
            self.hold({name: torch.from_numpy(values) for name, values in self.read(used).items()}, used)

    def _content(self, splits_path: str | os.PathLike) -> str:
        parts = [f"{m} {value}" for m, shards in self._shards.items() for value in sorted(shards.content_sha256)]
        return hashlib.sha256("\n".join([*parts, sha256(splits_path)]).encode()).hexdigest()

    def _bytes(self) -> int:
        """Bytes of one galaxy."""
        return sum(
            4 * int(np.prod(self._shards[m].shapes.get(n, (0,)))) for m, names in self.inputs.items() for n in names
        )

    def of(self, split: str) -> np.ndarray:
        """Sample numbers of a split, (n,) int64."""
        return np.flatnonzero(self.split == split)

    def read(self, indices: np.ndarray, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Samples from the shards, name -> (n, ...) float32: what `skyloom.tokens.loader.batches` asks of a source."""
        batch = {}
        for modality, wanted in self.inputs.items():
            arrays = self._shards[modality].read(self._rows[modality][indices], wanted)
            batch |= {name: arrays[name] for name in wanted}
        return batch

    def hold(self, tensors: dict[str, Tensor], indices: np.ndarray) -> None:
        """Serve samples `indices` from memory from now on, name -> (len(indices), ...)."""
        self._held = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self._place = torch.full((len(self.targetid),), -1)
        self._place[torch.from_numpy(indices)] = torch.arange(len(indices))

    def batch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Samples as tensors on the device, name -> (n, ...)."""
        if self._held is None:
            return {name: self.placed(torch.from_numpy(values)) for name, values in self.read(indices).items()}
        place = self._place[torch.from_numpy(indices)].to(self.device)
        return {name: tensor[place] for name, tensor in self._held.items()}

    def placed(self, tensor: Tensor) -> Tensor:
        """A copy on the device, in memory of torch's own: sums depend in the last bits on how memory is aligned."""
        return tensor.to(self.device, non_blocking=True, copy=True)

    def shuffled(
        self, indices: np.ndarray, size: int, seed: int, first: int, last: int, rank: int, world: int
    ) -> Iterator[dict[str, Tensor]]:
        """This rank's part of the batch of every step from `first` to `last` - 1: pure in (seed, step, rank)."""
        if self._held is None:
            for batch in batches(self, indices, self.names, size, seed, first, last - first, rank, world):
                yield {name: self.placed(torch.from_numpy(batch[name])) for name in self.names}
        else:
            for step in range(first, last):
                yield self.batch(indices[step_samples(len(indices), size, seed, step)[rank::world]])


def read_splits(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """targetid (N,) int64 in rising order, each once, and split (N,) str.

    Raises
    ------
    BadInput : the file is not such a table.
    """
    try:
        table = pq.read_table(path, columns=["targetid", "split"])
        targetid, first = np.unique(table["targetid"].to_numpy().astype("i8"), return_index=True)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: expected a Parquet table with columns targetid and split ({reason})") from error
    return targetid, np.asarray(table["split"].to_pylist(), dtype=str)[first]
