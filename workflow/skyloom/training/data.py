"""The galaxies a model is trained on: shards of one or more modalities joined by targetid, in memory or read as needed."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from skyloom.errors import BadInput
from skyloom.files import sha256
from skyloom.tokens.store import Shards
from skyloom.training.draws import number

RESIDENT_BYTES = 2 * 2**30


class Samples:
    """Galaxies that have tokens in every modality asked for, in the order of targetid.

    Parameters
    ----------
    tokens : modality -> shards
    inputs : modality -> datasets to read
    splits_path : parquet with targetid and split
    resident : hold the training and validation galaxies in memory; "auto" when they fit in 2 GiB
    device : where resident samples live

    Attributes
    ----------
    targetid : (N,) int64
    split : (N,) str
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
        self.inputs = dict(inputs)
        self.device = device
        self._shards = {modality: Shards(tokens[modality]) for modality in sorted(inputs)}
        self.content = self._content(splits_path)
        identifiers, split = read_splits(splits_path)
        common = [np.unique(shards.targetid) for shards in self._shards.values()]
        self.targetid = identifiers[np.logical_and.reduce([np.isin(identifiers, ids) for ids in common])]
        self.split = split[np.isin(identifiers, self.targetid)]
        self._rows = {modality: shards.rows(self.targetid) for modality, shards in self._shards.items()}
        self._held: dict[str, Tensor] | None = None
        used = np.flatnonzero((self.split == "train") | (self.split == "validation"))
        sizes = [np.prod(s.shapes.get(n, (0,))) for m, s in self._shards.items() for n in inputs[m]]
        if resident is True or (resident == "auto" and 4 * len(used) * sum(sizes) <= RESIDENT_BYTES):
            self.hold(self._read(used), used)

    def _content(self, splits_path: str | os.PathLike) -> str:
        parts = [f"{m} {value}" for m, shards in self._shards.items() for value in sorted(shards.content_sha256)]
        return hashlib.sha256("\n".join([*parts, sha256(splits_path)]).encode()).hexdigest()

    def hold(self, tensors: dict[str, Tensor], indices: np.ndarray) -> None:
        """Serve samples `indices` from memory from now on; tensors name -> (len(indices), ...)."""
        self._held = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self._place = torch.full((len(self.targetid),), -1)
        self._place[torch.from_numpy(indices)] = torch.arange(len(indices))

    def of(self, split: str) -> np.ndarray:
        """Sample numbers of a split, (n,) int64."""
        return np.flatnonzero(self.split == split)

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Samples as tensors on the device, name -> (n, ...)."""
        if self._held is None:
            return {name: tensor.to(self.device, non_blocking=True) for name, tensor in self._read(indices).items()}
        place = self._place[torch.from_numpy(indices)].to(self.device)
        return {name: tensor[place] for name, tensor in self._held.items()}

    def _read(self, indices: np.ndarray) -> dict[str, Tensor]:
        batch = {}
        for modality, shards in self._shards.items():
            arrays = shards.read(self._rows[modality][indices], self.inputs[modality])
            batch |= {name: torch.from_numpy(arrays[name]) for name in self.inputs[modality]}
        return batch

    def stream(self, batches: Sequence[np.ndarray] | Iterator[np.ndarray]) -> Iterator[dict[str, Tensor]]:
        """Read batch after batch; the next one is read from disk while the caller works on this one."""
        if self._held is not None:
            yield from map(self.read, batches)
            return
        batches = iter(batches)
        with ThreadPoolExecutor(1) as reader:
            waiting = [reader.submit(self.read, indices) for _, indices in zip(range(2), batches, strict=False)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [reader.submit(self.read, indices) for _, indices in zip(range(1), batches, strict=False)]


def read_splits(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """targetid (N,) int64 in rising order, each once, and split (N,) str."""
    try:
        table = pq.read_table(path, columns=["targetid", "split"])
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: cannot be read as a table with targetid and split ({error})") from error
    targetid, first = np.unique(table["targetid"].to_numpy(), return_index=True)
    return targetid, np.asarray(table["split"].to_pylist(), dtype=str)[first]


def batch_indices(indices: np.ndarray, batch_size: int, seed: int, first_step: int, steps: int) -> Iterator[np.ndarray]:
    """Indices of the global batch of every step from first_step to steps - 1.

    A pure function of (seed, step): each epoch is a new permutation, cut into whole batches; the rest is left out.
    """
    per_epoch = len(indices) // batch_size
    known, order = -1, indices
    for step in range(first_step, steps):
        epoch, place = divmod(step, per_epoch)
        if epoch != known:
            generator = torch.Generator().manual_seed(number(seed, "order", epoch))
            known, order = epoch, indices[torch.randperm(len(indices), generator=generator).numpy()]
        yield order[place * batch_size : (place + 1) * batch_size]
