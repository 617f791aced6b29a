"""Posteriors over redshift in tables of predictions: which redshifts their columns are, and their densities.

Such a table has the columns targetid and posterior, the probability of each of G bins of ln(1 + z); its metadata say
model, modality or modalities, kind and the like as those of an embedding do.
"""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA

NUMBERS = 2**22
"""Of densities held at once: 32 MiB in double precision."""


class PosteriorFile:
    """A table of posteriors whose densities stay in the file.

    Attributes
    ----------
    targetid : (N,) as in the file
    grid : (G,) rising redshifts
    name, given, traits : of the model, the modalities it looks at joined by "+", and all that the metadata say
    block : galaxies to ask for at once
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        log_scale = read_log_scale(path)
        self.traits = json.loads(pyarrow.parquet.read_schema(path).metadata[b"skyloom"])
        del self.traits["log_scale"]
        self.grid = np.expm1(log_scale)
        self._width = (1 + self.grid) * (log_scale[1] - log_scale[0])
        self.name = self.traits.get("model") or self.path.stem.rpartition("-")[0]
        modalities = self.traits.get("modalities") or [self.traits.get("modality", "")]
        self.given = "+".join(modalities)
        self.block = max(1, NUMBERS // len(self.grid))
        self.targetid = pyarrow.parquet.read_table(path, columns=["targetid"])["targetid"].to_numpy()
        if len(np.unique(self.targetid)) < len(self.targetid):
            raise BadInput(f"{path}: a targetid occurs more than once; expected one row a galaxy")

    def of(self, targetid: np.ndarray) -> np.ndarray:
        """The densities (n, G) of galaxies that it has; BadInput for one that is negative, not finite or 0 throughout.

        One batch of the file is held at a time.
        """
        order = np.argsort(self.targetid, kind="stable")
        row = order[np.searchsorted(self.targetid, targetid, sorter=order)]
        found, first = np.empty((len(row), len(self.grid)), np.float32), 0
        with pyarrow.parquet.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                if ((row >= first) & (row < last)).any():
                    start = first
                    for batch in file.iter_batches(self.block, row_groups=[group], columns=["posterior"]):
                        here = np.flatnonzero((row >= start) & (row < start + len(batch)))
                        values = batch.column(0).flatten().to_numpy(zero_copy_only=False)
                        found[here] = values.reshape(len(batch), -1)[row[here] - start]
                        start += len(batch)
                first = last
        bad = ~np.isfinite(found).all(axis=1) | (found < 0).any(axis=1) | (found.sum(axis=1) <= 0)
        if bad.any():
            raise BadInput(f"{self.path}: the posterior of targetid {targetid[bad][0]} is negative, not finite or 0")
        return found / self._width.astype("f4")


def read_log_scale(path: str | os.PathLike) -> np.ndarray:
    """ln(1 + z) of the bins of the column `posterior`, (G,), which holds the probability of each bin.

    The metadata `skyloom` (JSON) have the key `log_scale`: that of the first bin, the step, and how many there are.

    Raises
    ------
    BadInput : the file is not such a table, or does not say.
    """
    try:
        schema = pyarrow.parquet.read_schema(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except pyarrow.ArrowInvalid as error:
        raise BadInput(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    for column in ("targetid", "posterior"):
        if column not in schema.names:
            raise BadInput(f"{path}: no column {column!r}; it has {', '.join(schema.names)}")
    kind = schema.field("posterior").type
    if not pyarrow.types.is_fixed_size_list(kind):
        raise BadInput(f"{path}: column posterior is {kind}; expected a fixed-size list of float")
    said = json.loads((schema.metadata or {}).get(METADATA, b"{}")).get("log_scale")
    if not said:
        raise BadInput(f"{path}: does not say on which redshifts its posteriors are; delete it and rerun")
    first, step, count = said
    if count != kind.list_size or count < 2 or step <= 0:
        raise BadInput(f"{path}: metadata skyloom.log_scale is {said}; expected {kind.list_size} bins, rising")
    return first + step * np.arange(int(count))
