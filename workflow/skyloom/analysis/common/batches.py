"""Galaxies as a network takes them, out of token shards."""

import os
from collections.abc import Sequence

import numpy as np
import torch

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.core.mixing import uniform
from skyloom.nn.batch import Batch
from skyloom.tokens.store import Shards


class Tokens:
    """One modality of a survey's galaxies.

    Attributes
    ----------
    modality : its name
    targetid : (N,) int64
    """

    def __init__(self, modality: str, paths: Sequence[str | os.PathLike], names: Sequence[str]):
        self.modality, self._names = modality, tuple(names)
        self._shards = Shards(paths)
        for name in self._names:
            if name not in self._shards.shapes:
                raise BadInput(f"{self._shards.paths[0]}: no dataset {name}; expected a {modality} shard")
        self.targetid = self._shards.targetid

    def batch(self, targetid: np.ndarray) -> Batch:
        """These galaxies; BadInput where one is not in the shards."""
        rows = self._shards.rows(targetid)
        if (rows < 0).any():
            missing = targetid[np.flatnonzero(rows < 0)[0]]
            raise BadInput(f"{self._shards.paths[0]}: no {self.modality} of targetid {missing} in the token shards")
        found = self._shards.read(rows, self._names)
        data = {self.modality: {name: torch.from_numpy(found[name]) for name in self._names}}
        return Batch(data, targetid=torch.from_numpy(np.array(targetid, "i8")))


def of_split(splits_path: str | os.PathLike, split: str, among: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Targetids (n,) of a split, in rising order, that are `among` others; at most so many, chosen by a hash of the
    targetid."""
    splits = tables.read_parquet(splits_path, ["targetid", "split"])
    found = np.intersect1d(splits.loc[splits["split"] == split, "targetid"].to_numpy(), among)
    return np.sort(found[np.argsort(uniform(seed, found), kind="stable")[:most]])
