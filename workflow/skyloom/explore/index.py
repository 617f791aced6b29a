"""Nearest neighbours in a table of embeddings: from an index on disk, or by the exact scan of the table itself.

`build_index` makes ``results/{survey}/search/{model}-{modality}.usearch`` of ``results/{survey}/embeddings/``,
`open_index` opens it. What is asked of either is the same: `Index.search`, `Scan.search`.
"""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from skyloom.analysis.common.embeddings import open_embedding
from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA
from skyloom.explore import index_file
from skyloom.explore.index_file import IndexFile, Space, half

log = logging.getLogger(__name__)

SUFFIX = ".usearch"
METRICS = ("cosine", "euclidean")
FEW = 4096
"""Among so few galaxies the exact scan of the index is as fast as its graphs."""
_BATCH = 2**14  # rows of a table at once
_MARGIN = 1.5  # of how many more are asked for when only some galaxies count


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
        self.space = Space(metric, *_moments(self._blocks(), metric, self.width))

    def __len__(self) -> int:
        return len(self.targetid)

    def _blocks(self) -> Iterator[np.ndarray]:
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

        queries = self.space.of(_checked(vectors, self.width))
        allowed = np.ones(len(self), bool) if among is None else _mask(among, len(self))
        best, rows = np.full((2, len(queries), 0), np.inf)
        first = 0
        for block in self._blocks():
            kept = np.flatnonzero(allowed[first : first + len(block)])
            if len(kept):
                distance, place = nearest(queries, self.space.of(block[kept]), k)
                best = np.concatenate([best, distance], axis=1)
                rows = np.concatenate([rows, first + kept[place]], axis=1)
                best, rows = _smallest(best, rows, k)
            first += len(block)
        return _padded(self.space, best**2, rows, k)


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
        rows = np.asarray(rows, np.int64)
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
        queries = self.space.of(_checked(vectors, self.width))
        if among is None:
            square, rows = self._found(queries, k)
            return _padded(self.space, square, rows, k)
        allowed = _mask(among, len(self))
        count = int(allowed.sum())
        if count <= max(FEW, k):
            return self._compared(queries, k, np.flatnonzero(allowed))
        asked = int(_MARGIN * k * len(self) / count) + 16
        square, rows = self._found(queries, min(asked, len(self)))
        while True:
            kept = np.where(rows >= 0, allowed[rows.astype(np.int64)], False)
            if asked >= len(self) or (kept.sum(axis=1) >= k).all():
                return _padded(self.space, *_smallest(np.where(kept, square, np.inf), rows, k), k)
            asked *= 2
            square, rows = self._found(queries, min(asked, len(self)))

    def _found(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances and rows from all graphs, at most k; -1 and infinity where one gave fewer."""
        squares, rows = [np.full((len(queries), 0), np.inf)], [np.full((len(queries), 0), -1)]
        with self._lock:
            for graph in self._file.graphs if len(queries) else ():
                wanted = min(k, len(graph))
                graph.expansion_search = max(index_file.SEARCH, wanted)
                found = graph.search(half(queries), wanted, threads=1)
                keys = np.asarray(found.keys).reshape(len(queries), -1).astype(np.int64)
                distances = np.asarray(found.distances, "f8").reshape(len(queries), -1)
                counts = np.broadcast_to(getattr(found, "counts", len(keys.T)), len(queries))
                missing = np.arange(keys.shape[1]) >= counts[:, None]
                squares.append(np.where(missing, np.inf, distances))
                rows.append(np.where(missing, -1, keys))
        return _smallest(np.concatenate(squares, axis=1), np.concatenate(rows, axis=1), k)

    def _compared(self, queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each of some rows with each of the queries."""
        values = self._vectors(rows).astype("f8") if len(rows) else np.empty((0, self.width))
        square = np.array([((values - query) ** 2).sum(axis=1) for query in half(queries).astype("f8")])
        square = square.reshape(len(queries), len(rows))
        return _padded(self.space, *_smallest(square, np.broadcast_to(rows, square.shape), k), k)


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
    if table is not None and table.is_file():
        schema = pq.read_schema(table)
        if json.loads((schema.metadata or {}).get(METADATA, b"{}")) != found.about:
            log.warning("%s: of other weights than %s, which is searched by the exact scan", path, table)
            return Scan(table)
    return found


def build_index(table: str | os.PathLike, path: str | os.PathLike, threads: int = 1) -> Scan:
    """Make the index of a table of embeddings, in bounded memory; the same bytes whatever the threads.

    Returns the table's exact scan, to measure the recall with. Raises BadInput for a damaged table.
    """
    scan = Scan(table)
    reader = _Rows(scan._blocks())
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


def _checked(vectors: np.ndarray, width: int) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise BadInput(f"vectors of shape {vectors.shape}, expected (Q, {width}) as those of the table")
    if not np.isfinite(vectors).all():
        raise BadInput("a vector that is asked for is not finite")
    return vectors


def _mask(among: np.ndarray, count: int) -> np.ndarray:
    among = np.asarray(among)
    if among.dtype == bool:
        return among
    mask = np.zeros(count, bool)
    mask[among] = True
    return mask


def _smallest(square: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest of each line, rising; of equal ones the lower row first."""
    order = np.lexsort((rows, square), axis=-1)[:, :k]
    return np.take_along_axis(square, order, 1), np.take_along_axis(rows, order, 1)


def _padded(space: Space, square: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows (Q, k); NaN and -1 where there are fewer."""
    distance = np.full((len(square), k), np.nan)
    found = np.full((len(square), k), -1, np.int64)
    there = np.isfinite(square)
    width = square.shape[1]
    distance[:, :width] = np.where(there, space.distance(np.where(there, square, 0)), np.nan)
    found[:, :width] = np.where(there, rows, -1)
    return distance, found
