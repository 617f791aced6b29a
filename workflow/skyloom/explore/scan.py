"""The exact scan of a table of embeddings: what an index is checked against, and what answers where there is none."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from skyloom.analysis.common.embeddings import open_embedding
from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA
from skyloom.explore import index_file, merging
from skyloom.explore.index_file import Space

_BATCH = 2**14  # rows of a table at once


class Scan:
    """The exact scan of a table of embeddings, in its float32, a block of rows in memory at a time.

    Attributes
    ----------
    name : ``{model}-{modality}``
    targetid : (N,) int64
    about : what the table says of its model: kind, shared_space, weights_sha256 ...
    space : how vectors are compared
    """

    exact = True

    def __init__(self, table: str | os.PathLike):
        self._table = Path(table)
        opened = open_embedding(self._table)  # checks it
        self.name, self.width, self.targetid = opened.name, opened.width, opened.targetid
        if not np.array_equal(opened.row, np.arange(len(opened.row))):
            raise BadInput(f"{table}: column targetid does not rise; delete it and rerun")
        self.about = json.loads((pq.read_schema(self._table).metadata or {}).get(METADATA, b"{}"))
        metric = "cosine" if self.about.get("shared_space") else "euclidean"
        self.space = Space(metric, *_moments(self.blocks(), metric, self.width))

    def __len__(self) -> int:
        return len(self.targetid)

    def blocks(self) -> Iterator[np.ndarray]:
        """The table's vectors, (n, d) float32, in the order of its rows."""
        with pq.ParquetFile(self._table) as file:
            for batch in file.iter_batches(_BATCH, columns=["embedding"]):
                yield batch["embedding"].flatten().to_numpy().reshape(-1, self.width)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        """(n, d) float32 as the model gives them, of rows of the table."""
        return open_embedding(self._table).of(self.targetid[rows])

    def search(self, vectors: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`."""
        from skyloom.analysis.common.neighbours import nearest  # torch

        queries = self.space.of(merging.checked(vectors, self.width))
        allowed = np.ones(len(self), bool) if among is None else merging.mask(among, len(self))
        best, rows = np.full((2, len(queries), 0), np.inf)
        first = 0
        for block in self.blocks():
            kept = np.flatnonzero(allowed[first : first + len(block)])
            if len(kept):
                distance, place = nearest(queries, self.space.of(block[kept]), k)
                best = np.concatenate([best, distance], axis=1)
                rows = np.concatenate([rows, first + kept[place]], axis=1)
                best, rows = merging.smallest(best, rows, k)
            first += len(block)
        return merging.padded(self.space, best**2, rows, k)


def _moments(blocks: Iterator[np.ndarray], metric: str, width: int) -> tuple[np.ndarray, float]:
    """Mean (d,) and root mean square distance from it; of vectors of length 1 for a cosine."""
    count, total, squares = 0, np.zeros(width), 0.0
    for block in blocks:
        values = index_file.unit(block) if metric == "cosine" else block.astype("f8")
        if not np.isfinite(values).all():
            raise BadInput("an embedding is not finite; delete its table and rerun")
        count, total, squares = count + len(values), total + values.sum(axis=0), squares + (values**2).sum()
    if not count:
        return total, 1.0
    mean = total / count
    spread = squares / count - (mean**2).sum()
    return mean, float(np.sqrt(spread)) if spread > 0 else 1.0
