"""The galaxies a model is trained on: shards of one or more modalities joined by targetid, in memory or streamed."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.core.files import sha256
from skyloom.core.mixing import uniform
from skyloom.nn.batch import Batch
from skyloom.tokens.loader import batches, step_samples
from skyloom.tokens.splits import read_splits
from skyloom.tokens.store import Shards
from skyloom.training.labels import read_labels

log = logging.getLogger(__name__)

RESIDENT_BYTES = 2 * 2**30
Paths = Sequence[str | os.PathLike]


class Samples:
    """Galaxies that have tokens, in the order of targetid.

    Parameters
    ----------
    tokens : modality -> shards
    inputs : modality -> datasets to read
    splits_path : parquet with targetid and split
    resident : hold the training and validation galaxies in memory; "auto" when they fit in 2 GiB
    device : where batches go
    incomplete : "drop" galaxies that lack one of the modalities, or "keep" them, zeros in its place and marked in
        `Batch.present`; then a modality without any shard is lacked by all
    labels : columns of `galaxies_path` that a batch carries
    galaxies_path : galaxies.parquet, or another table with them (`skyloom.training.labels`)
    classes : column of `labels` -> the classes of which a value is one
    labelled : training and validation take those galaxies alone of which a label is known
    statistics : modality -> statistics.json of the training split, for `Batch.statistics`

    Attributes
    ----------
    targetid : (N,) int64
    content : SHA-256 over the content of shards, splits, labels and statistics

    Raises
    ------
    BadInput : a file is missing or damaged, a modality has no shards, or a label is not a column.
    """

    def __init__(
        self,
        tokens: Mapping[str, Paths],
        inputs: Mapping[str, Sequence[str]],
        splits_path: str | os.PathLike,
        resident: bool | str = "auto",
        device: str = "cpu",
        incomplete: str = "drop",
        labels: Sequence[str] = (),
        galaxies_path: str | os.PathLike | None = None,
        statistics: Mapping[str, str | os.PathLike] | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
        labelled: bool = False,
    ):
        self.device = device
        self.inputs = {modality: tuple(inputs[modality]) for modality in sorted(inputs)}
        for modality in self.inputs:
            if not tokens.get(modality) and (incomplete == "drop" or not any(tokens.get(m) for m in self.inputs)):
                raise BadInput(f"no {modality} tokens were given, but this model needs them")
        self._shards = {modality: Shards(tokens[modality]) for modality in self.inputs if tokens.get(modality)}
        for modality, shards in self._shards.items():
            for name in self.inputs[modality]:
                if name not in shards.shapes:
                    raise BadInput(f"{shards.paths[0]}: no dataset {name}; expected a {modality} shard")
        splits = read_splits(splits_path)
        known = np.array([np.isin(splits.targetid, shards.targetid) for shards in self._shards.values()])
        used = known.all(0) if incomplete == "drop" else known.any(0)
        _log_counts(dict(zip(self._shards, known.sum(1), strict=True)), int(used.sum()), incomplete)
        self.targetid, self._splits = splits.targetid[used], splits.part(used)
        self._rows = {modality: shards.rows(self.targetid) for modality, shards in self._shards.items()}
        self._labels = read_labels(galaxies_path, labels, self.targetid, classes) if labels else {}
        self._known = np.isfinite([*self._labels.values()]).any(0) if labels and labelled else None
        self.statistics = {m: read_statistics(path) for m, path in (statistics or {}).items() if m in self.inputs}
        self.content = self._content(splits_path, statistics or {})
        self._held: dict[str, dict[str, Tensor]] | None = None
        learnt = self.learnt()
        if resident is True or (resident == "auto" and len(learnt) * self._bytes() <= RESIDENT_BYTES):
            self.hold({m: dict(datasets) for m, datasets in self.read(learnt).data.items()}, learnt)

    def _content(self, splits_path: str | os.PathLike, statistics: Mapping) -> str:
        parts = [f"{m} {value}" for m, shards in self._shards.items() for value in sorted(shards.content_sha256)]
        parts.append(sha256(splits_path))
        parts += [f"{name} {hashlib.sha256(values.tobytes()).hexdigest()}" for name, values in self._labels.items()]
        parts += [f"{m} {sha256(statistics[m])}" for m in sorted(self.statistics)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Modality -> dataset -> shape of one sample, of the modalities that have shards."""
        return {m: {name: shards.shapes[name] for name in self.inputs[m]} for m, shards in self._shards.items()}

    def _bytes(self) -> int:
        """Bytes of one galaxy."""
        return sum(4 * int(np.prod(shape)) for part in self.shapes().values() for shape in part.values())

    def of(self, split: str) -> np.ndarray:
        """Sample numbers of a split, (n,) int64."""
        found = self._splits.of(split)
        return found if self._known is None or split not in ("train", "validation") else found[self._known[found]]

    def labels_of(self, split: str) -> dict[str, Tensor]:
        """The labels of a split, name -> (n,) float32, NaN where there is no value."""
        return {name: torch.from_numpy(values[self.of(split)]) for name, values in self._labels.items()}

    def learnt(self) -> np.ndarray:
        """Sample numbers of training and validation, (n,) int64."""
        return np.sort(np.concatenate([self.of("train"), self.of("validation")]))

    def chosen(self, split: str, count: int) -> np.ndarray:
        """At most `count` samples of a split, spread over the sky: those of the smallest hashes of their targetid.

        The seed does not count: runs of several seeds are compared on the same galaxies. A galaxy's hash is its own:
        when the survey grows, only those leave whose place a new one takes.
        """
        indices = self.of(split)
        return indices[np.argsort(uniform(0, self.targetid[indices]), kind="stable")][:count]

    def read(self, indices: np.ndarray, names: None = None) -> Batch:
        """Samples from the shards: what `skyloom.tokens.loader.batches` asks of a source."""
        data = {}
        for modality, shards in self._shards.items():
            rows = self._rows[modality][indices]
            there = np.flatnonzero(rows >= 0)
            found = shards.read(rows[there], self.inputs[modality])
            data[modality] = {}
            for name in self.inputs[modality]:
                values = found[name]
                if len(there) < len(indices):
                    values = np.zeros((len(indices), *shards.shapes[name]), "f4")
                    values[there] = found[name]
                data[modality][name] = torch.from_numpy(values)
        return self._dressed(data, indices)

    def _dressed(self, data: dict[str, dict[str, Tensor]], indices: np.ndarray) -> Batch:
        """A batch of these data with all that belongs to the samples."""
        present = {m: torch.from_numpy(self._rows[m][indices] >= 0) for m in data}
        labels = {name: torch.from_numpy(values[indices]) for name, values in self._labels.items()}
        return Batch(data, present, labels, self.statistics, torch.from_numpy(self.targetid[indices]))

    def hold(self, data: dict[str, dict[str, Tensor]], indices: np.ndarray) -> None:
        """Serve samples `indices` from memory from now on, modality -> dataset -> (len(indices), ...)."""
        self._held = {m: {name: tensor.to(self.device) for name, tensor in part.items()} for m, part in data.items()}
        self._place = np.full(len(self.targetid), -1)
        self._place[indices] = np.arange(len(indices))

    def batch(self, indices: np.ndarray) -> Batch:
        """Samples on the device.

        Raises
        ------
        BadInput : a galaxy that is not held (`hold`).
        """
        if self._held is None:
            return self.read(indices).to(self.device, copy=True)
        place = self._place[indices]
        if (place < 0).any():
            lacking = self.targetid[indices[np.argmax(place < 0)]]
            raise BadInput(f"targetid {lacking}: not among the training and validation galaxies that are in memory")
        rows = torch.from_numpy(place).to(self.device)
        data = {m: {name: tensor[rows] for name, tensor in part.items()} for m, part in self._held.items()}
        return self._dressed(data, indices).to(self.device)

    def shuffled(
        self, indices: np.ndarray, size: int, seed: int, first: int, last: int, rank: int, world: int
    ) -> Iterator[Batch]:
        """This rank's part of the batch of every step from `first` to `last` - 1: pure in (seed, step, rank)."""
        if self._held is None:
            for batch in batches(self, indices, None, size, seed, first, last - first, rank, world):
                # a copy in memory of torch's own: sums depend in the last bits on how memory is aligned
                yield batch.to(self.device, copy=True)
        else:
            for step in range(first, last):
                yield self.batch(indices[step_samples(len(indices), size, seed, step)[rank::world]])


def _log_counts(counts: dict[str, int], used: int, incomplete: str) -> None:
    if len(counts) > 1:
        each = ", ".join(f"{count} with {modality}" for modality, count in counts.items())
        log.info("galaxies: %s; %d used (incomplete: %s)", each, used, incomplete)


def read_statistics(path: str | os.PathLike) -> dict:
    """The statistics of the training split of a modality; BadInput when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: expected the statistics of tokens as JSON ({error})") from error
