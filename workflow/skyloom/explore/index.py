"""Nearest neighbours in a table of embeddings: from an index on disk, or by the exact scan of the table itself.

`build_index` makes ``results/{survey}/search/{model}-{modality}.usearch`` of ``results/{survey}/embeddings/``,
`open_index` opens it. What is asked of either is the same: `Index.search`, `Scan.search`.
"""

import json
import logging
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA
from skyloom.explore import index_file, merging
from skyloom.explore.index_file import IndexFile, half
from skyloom.explore.scan import Scan

log = logging.getLogger(__name__)

SUFFIX = ".usearch"
FEW = 4096
"""Among so few galaxies the exact scan of the index is as fast as its graphs."""
_MARGIN = 1.5  # of how many more are asked for when only some galaxies count


class Index:
    """An index on disk, as `Scan` but approximate: it finds what `recall` says, in half precision.

    Threads may share one; they search one after another.
    """

    exact = False

    def __init__(self, path: str | os.PathLike):
        self._file = IndexFile(path)
        self._lock = threading.Lock()
        header = self._file.header
        self.name, self.width, self.about, self.space = header.name, header.width, header.about, header.space
        self.targetid = self._file.targetid
        self._first = np.cumsum([0, *(count for _, _, count in header.graphs)])

    def __len__(self) -> int:
        return len(self.targetid)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        """(n, d) float32 as the model gives them, as far as 16 bits hold them; of length 1 for a cosine."""
        return self._vectors(rows) * np.float32(self.space.scale) + self.space.centre.astype("f4")

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        """(n, d) float32 as they are compared, of rows of the table."""
        rows = np.asarray(rows).astype(np.int64)
        found = np.empty((len(rows), self.width), np.float32)
        owner = np.searchsorted(self._first, rows, side="right") - 1
        with self._lock:
            for number in np.unique(owner):
                mine = owner == number
                found[mine] = np.stack(self._file.graphs[number].get(rows[mine].astype(np.uint64)))
        return found

    def search(self, vectors: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest galaxies of each vector.

        Parameters
        ----------
        vectors : (Q, d) as the model gives them
        k : neighbours
        among : (N,) bool, or (n,) rows: the only ones that count; if these are few they are compared one by one

        Returns
        -------
        distance (Q, k) float64, rising (`Space`), NaN where there are fewer; row (Q, k) int64 of the table, -1 there

        Raises
        ------
        BadInput : vectors of another length, or not finite.
        """
        queries = self.space.of(merging.checked(vectors, self.width))
        allowed = np.ones(len(self), bool) if among is None else merging.mask(among, len(self))
        count = int(allowed.sum())
        if among is not None and count <= max(FEW, k):
            return self._compared(queries, k, np.flatnonzero(allowed))
        each = self._share(k if among is None else _MARGIN * k * len(self) / count + 16)
        while True:
            square, rows, reach = self._found(queries, each)
            kept = (rows >= 0) & allowed[rows] & (square <= reach[:, None])
            if each >= len(self) or (kept.sum(axis=1) >= k).all():
                return self._refined(queries, *merging.smallest(np.where(kept, square, np.inf), rows, k), k)
            each *= 2

    def _share(self, wanted: float) -> int:
        """How many to ask of every graph, so that so many nearest ones of all are among them: graphs hold galaxies of
        different parts of the sky, which lie alike in an embedding."""
        mean = wanted / max(1, len(self._file.graphs))
        return math.ceil(wanted if wanted <= index_file.SEARCH else min(wanted, mean + 4 * mean**0.5 + 16))

    def _found(self, queries: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each graph says are its nearest, at most `each`.

        Returns
        -------
        squared distance, row : (Q, graphs * each); infinity and -1 where a graph gave fewer
        reach : (Q,) the squared distance up to which nothing is left out
        """
        squares, rows = [np.full((len(queries), 0), np.inf)], [np.full((len(queries), 0), -1)]
        reach = np.full(len(queries), np.inf)
        with self._lock:
            for graph in self._file.graphs if len(queries) else ():
                wanted = min(each, len(graph))
                graph.expansion_search = max(index_file.SEARCH, wanted)
                found = graph.search(half(queries), wanted, threads=1)
                keys = np.asarray(found.keys).reshape(len(queries), -1).astype(np.int64)
                distances = np.asarray(found.distances, "f8").reshape(len(queries), -1)
                counts = np.broadcast_to(getattr(found, "counts", len(keys.T)), len(queries))
                missing = np.arange(keys.shape[1]) >= counts[:, None]
                squares.append(np.where(missing, np.inf, distances))
                rows.append(np.where(missing, -1, keys))
                if wanted < len(graph):
                    reach = np.minimum(reach, np.where(missing, 0, distances).max(axis=1))
        return np.concatenate(squares, axis=1), np.concatenate(rows, axis=1), reach

    def _refined(self, queries, square, rows, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The answer, measured once more with queries that are not rounded to 16 bits."""
        there = np.isfinite(square)
        values = np.zeros((*rows.shape, self.width))
        values[there] = self._vectors(rows[there])
        measured = ((values - queries[:, None]) ** 2).sum(axis=2)
        return merging.padded(self.space, *merging.smallest(np.where(there, measured, np.inf), rows, k), k)

    def _compared(self, queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each of some rows with each of the queries."""
        values = self._vectors(rows).astype("f8") if len(rows) else np.empty((0, self.width))
        square = np.array([((values - query) ** 2).sum(axis=1) for query in queries])
        square = square.reshape(len(queries), len(rows))
        return merging.padded(self.space, *merging.smallest(square, np.broadcast_to(rows, square.shape), k), k)


def open_index(path: str | os.PathLike, table: str | os.PathLike | None = None) -> Index | Scan:
    """The index of a file, or the exact scan of the table where there is no such file, it is of other embeddings, or
    the package `usearch` is not installed.

    Raises
    ------
    BadInput : neither is there.
    """
    table = Path(table) if table is not None else None
    try:
        found = Index(path)
    except (BadInput, ImportError) as error:
        if table is None or not table.is_file():
            raise BadInput(str(error)) from error
        log.warning("%s: searched by the exact scan, which is slower (%s)", table, error)
        return Scan(table)
    if table is not None and table.is_file() and not _same(found, table):
        log.warning("%s: not of the embeddings in %s, which are searched by the exact scan", path, table)
        return Scan(table)
    return found


def _same(index: Index, table: Path) -> bool:
    """Whether an index is of the galaxies and the weights of a table."""
    known = pq.read_table(table, columns=["targetid"])
    about = json.loads((known.schema.metadata or {}).get(METADATA, b"{}"))
    return about == index.about and np.array_equal(known["targetid"].to_numpy(), index.targetid)


def build_index(table: str | os.PathLike, path: str | os.PathLike, threads: int = 1) -> Scan:
    """Make the index of a table of embeddings, in bounded memory; the same bytes whatever the threads.

    Returns the table's exact scan, to measure the recall with. Raises BadInput for a damaged table.
    """
    scan = Scan(table)
    reader = _Rows(scan.blocks())
    index_file.write(path, scan.name, scan.targetid, reader.take, scan.space, scan.about, threads)
    return scan


class _Rows:
    """Reads blocks from front to back, as many rows at a time as are asked for."""

    def __init__(self, blocks: Iterator[np.ndarray]):
        self._blocks, self._held = blocks, []

    def take(self, first: int, last: int) -> np.ndarray:
        wanted = last - first
        while sum(map(len, self._held)) < wanted:
            self._held.append(next(self._blocks))
        whole = np.concatenate(self._held)
        self._held = [whole[wanted:].copy()]
        return whole[:wanted]
