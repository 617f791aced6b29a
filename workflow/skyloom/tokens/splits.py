"""Which split a galaxy is in."""

import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput


@dataclass(frozen=True)
class Splits:
    """Galaxies in rising order of targetid (N,) int64, each once, and the number of the split (N,) in `names`."""

    targetid: np.ndarray
    code: np.ndarray
    names: tuple[str, ...]

    def of(self, split: str) -> np.ndarray:
        """Places of the galaxies of a split."""
        return np.flatnonzero(self.code == self.names.index(split)) if split in self.names else np.zeros(0, "i8")

    def part(self, chosen: np.ndarray) -> "Splits":
        """Some of the galaxies."""
        return Splits(self.targetid[chosen], self.code[chosen], self.names)


def read_splits(path: str | os.PathLike) -> Splits:
    """The splits of a survey, 9 bytes a galaxy.

    Raises
    ------
    BadInput : the file is not such a table.
    """
    try:
        table = pq.read_table(path, columns=["targetid", "split"], read_dictionary=["split"])
        targetid, first = np.unique(table["targetid"].to_numpy().astype("i8"), return_index=True)
        split = table["split"].unify_dictionaries().combine_chunks()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: expected a Parquet table with columns targetid and split ({reason})") from error
    if isinstance(split, pa.ChunkedArray):  # of an empty table
        return Splits(targetid, np.zeros(0, "i1"), ())
    return Splits(targetid, split.indices.to_numpy()[first].astype("i1"), tuple(split.dictionary.to_pylist()))
