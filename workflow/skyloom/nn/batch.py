"""What a network is given: samples keyed by modality and dataset, with a mask of what is there."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some galaxies. ``batch[modality][dataset]`` has shape (B, ...).

    Attributes
    ----------
    data : modality -> dataset -> (B, ...); zeros where a galaxy lacks the modality
    present : modality -> (B,) bool, which galaxies have it; all of them unless told
    labels : column of galaxies.parquet -> (B,) float32, NaN where it is not known; only what an objective asks for
    statistics : modality -> its statistics.json (of the training split), while training, if they were given
    targetid : (B,) int64, when known
    """

    data: Mapping[str, Mapping[str, Tensor]]
    present: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    statistics: Mapping[str, dict] = dataclasses.field(default_factory=dict)
    targetid: Tensor | None = None

    def __post_init__(self):
        present = {}
        for modality, datasets in self.data.items():
            first = next(iter(datasets.values()))
            there = self.present.get(modality)
            present[modality] = (
                torch.ones(len(first), dtype=torch.bool, device=first.device) if there is None else there
            )
        object.__setattr__(self, "present", present)

    def __getitem__(self, modality: str) -> Mapping[str, Tensor]:
        return self.data[modality]

    def __contains__(self, modality: str) -> bool:
        return modality in self.data

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(iter(self.present.values())).device

    def changed(self, modality: str, **datasets: Tensor) -> "Batch":
        """The same galaxies with other values in some datasets of one modality."""
        return dataclasses.replace(self, data={**self.data, modality: {**self.data[modality], **datasets}})

    def rows(self, rows: slice) -> "Batch":
        """Some of the galaxies."""
        return Batch(
            {modality: {name: t[rows] for name, t in part.items()} for modality, part in self.data.items()},
            {modality: tensor[rows] for modality, tensor in self.present.items()},
            {name: tensor[rows] for name, tensor in self.labels.items()},
            self.statistics,
            None if self.targetid is None else self.targetid[rows],
        )

    def to(self, device: str | torch.device, copy: bool = False) -> "Batch":
        """On a device; with `copy` in memory of torch's own in any case."""

        def place(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True, copy=copy)

        return Batch(
            {modality: {name: place(t) for name, t in part.items()} for modality, part in self.data.items()},
            {modality: place(tensor) for modality, tensor in self.present.items()},
            {name: place(tensor) for name, tensor in self.labels.items()},
            self.statistics,
            None if self.targetid is None else place(self.targetid),
        )
