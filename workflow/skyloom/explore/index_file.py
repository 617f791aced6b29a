"""The file of an index: graphs of usearch in half precision, and what belongs to them, in one file opened by mmap.

===============  ======================================================================================================
graphs           of `ROWS` galaxies each, one after another, as usearch saves them; the first begins at byte 0, so that
                 usearch itself opens it (all of a survey of no more than `ROWS` galaxies)
targetid         (N,) int64, low bytes first, in the order of the table of embeddings; keys of the graphs are these rows
JSON             see `Header`
end              length of the JSON (8 bytes, low first), and `MAGIC`
===============  ======================================================================================================

A graph is built by one thread, several of them at a time: the bytes do not depend on how many. Vectors lie in it
centred and scaled (`Space`), as numbers of 16 bits; squared Euclidean distances between them are what it searches by.
"""

import dataclasses
import json
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic

MAGIC = b"SKYLOOM1"
ROWS = 2**17
"""Of a graph: small enough that a few are built at a time in a GB, and that the processor's cache helps."""
CONNECTIVITY, BUILD, SEARCH = 16, 128, 128
"""Edges of a node, and how many candidates are kept when one is added and when one is looked for: recall against
time (Malkov & Yashunin 2018, arXiv:1603.09320)."""
LARGEST = 6e4
"""Numbers of 16 bits end at 65504."""


@dataclasses.dataclass(frozen=True)
class Space:
    """How vectors are compared.

    metric "cosine", as models with a shared space are trained: vectors get length 1, distance is 1 - cosine, 0 to 2.
    metric "euclidean": as they are, distance as Euclid has it. `centre` (d,) and `scale` are taken off, which changes
    no distance but lets numbers of 16 bits say more.
    """

    metric: str
    centre: np.ndarray
    scale: float

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """(n, d) float32 as they are compared."""
        return ((unit(vectors) if self.metric == "cosine" else np.asarray(vectors, "f8")) - self.centre).astype(
            "f4"
        ) / np.float32(self.scale)

    def distance(self, square: np.ndarray) -> np.ndarray:
        """Distances, float64, from squared ones between what `of` gives."""
        square = np.asarray(square, "f8") * self.scale**2
        return square / 2 if self.metric == "cosine" else np.sqrt(square)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float64; of zeros nothing else is made."""
    vectors = np.asarray(vectors, "f8")
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def half(vectors: np.ndarray) -> np.ndarray:
    """In numbers of 16 bits."""
    return vectors.clip(-LARGEST, LARGEST).astype("f2")


@dataclasses.dataclass(frozen=True)
class Header:
    """What the file says of itself: graphs as (first byte, bytes, galaxies), and whose vectors they hold."""

    name: str
    rows: int
    width: int
    metric: str
    centre: list[float]
    scale: float
    graphs: list[list[int]]
    about: dict

    @property
    def space(self) -> Space:
        """How vectors are compared."""
        return Space(self.metric, np.array(self.centre), self.scale)


def write(
    path: str | os.PathLike,
    name: str,
    targetid: np.ndarray,
    vectors: Callable[[int, int], np.ndarray],
    space: Space,
    about: dict,
    threads: int = 1,
    rows: int = ROWS,
) -> None:
    """Build the graphs and write the file.

    Parameters
    ----------
    targetid : (N,) int64
    vectors : (first, last) -> (last - first, d) float, as they come from the model; called in rising order
    about : what the table of embeddings says of its model
    threads : graphs that are built at a time; the bytes do not depend on it, memory does: twice their vectors in 16
        bits and as many in 32
    """
    graphs, at = [], 0
    with atomic(path) as temporary, open(temporary, "wb") as file:
        for graph, count in _built(len(targetid), vectors, space, threads, rows):
            graphs.append([at, len(graph), count])
            file.write(graph)
            at += len(graph)
        file.write(np.asarray(targetid, "<i8").tobytes())
        header = Header(
            name, len(targetid), len(space.centre), space.metric, space.centre.tolist(), space.scale, graphs, about
        )
        words = json.dumps(dataclasses.asdict(header), sort_keys=True).encode()
        file.write(words + len(words).to_bytes(8, "little") + MAGIC)


def _built(count: int, vectors, space: Space, threads: int, rows: int) -> Iterator[tuple[bytes, int]]:
    """Graphs in their order, as bytes, with the galaxies in each; at most `threads` are under way."""
    waiting: deque = deque()
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, count, rows):
            if len(waiting) == threads:
                yield waiting.popleft().result()
            last = min(first + rows, count)
            waiting.append(pool.submit(_graph, half(space.of(vectors(first, last))), first))
        while waiting:
            yield waiting.popleft().result()


def _graph(values: np.ndarray, first: int) -> tuple[bytes, int]:
    graph = empty_graph(values.shape[1])
    graph.add(np.arange(first, first + len(values), dtype=np.uint64), values, threads=1, copy=True)
    return bytes(graph.save()), len(values)


def empty_graph(width: int):
    """A graph of usearch with our settings. Imported here: without the package the exact scan answers."""
    from usearch.index import Index

    shape = {"connectivity": CONNECTIVITY, "expansion_add": BUILD, "expansion_search": SEARCH}
    return Index(ndim=width, metric="l2sq", dtype="f16", **shape)


class IndexFile:
    """The file, mapped into memory: `header`, `targetid` (N,) and `graphs`, which usearch reads where they lie."""

    def __init__(self, path: str | os.PathLike):
        self.path = path
        try:
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: cannot be opened ({error}); make it by `snakemake search`") from error
        self.header = self._header()
        end = self.header.graphs[-1][0] + self.header.graphs[-1][1] if self.header.graphs else 0
        self.targetid = np.frombuffer(self._bytes, "<i8", self.header.rows, end)
        self.graphs = [self._graph(first, size) for first, size, _ in self.header.graphs]

    def _header(self) -> Header:
        size = len(self._bytes)
        if self._bytes[size - len(MAGIC) :] != MAGIC:
            raise self._damaged("its end is missing")
        length = int.from_bytes(self._bytes[size - 16 : size - 8], "little")
        try:
            header = Header(**json.loads(self._bytes[max(0, size - 16 - length) : size - 16]))
        except (ValueError, TypeError) as error:
            raise self._damaged("its header cannot be read") from error
        if sum(size for _, size, _ in header.graphs) + 8 * header.rows + length + 16 != size:
            raise self._damaged("its parts have another length")
        return header

    def _graph(self, first: int, size: int):
        graph = empty_graph(self.header.width)
        try:
            graph.view(memoryview(self._bytes)[first : first + size])
        except (ValueError, RuntimeError) as error:
            raise self._damaged(f"usearch does not open it, {error}") from error
        graph.expansion_search = SEARCH
        return graph

    def _damaged(self, why: str) -> BadInput:
        return BadInput(f"{self.path}: not an index of this version ({why}); delete it and rerun `snakemake search`")
