"""Exact search of nearest neighbours by blocks of queries and of references, on a CPU or a GPU.

Almost all of the work is one matrix product of numbers rounded to bfloat16, which processors with matrix units multiply
several times faster than single precision. Each row's rounding is known, so what the product gives is kept as a
*lower bound* of the squared distance. The rows with the smallest bounds are measured in double precision; if the bound
of all others lies above the k-th distance found, the answer is proven. The queries for which it is not (many ties,
neighbours closer than the rounding) are searched once more in single precision, every row whose bound is not above the
k-th distance being measured. So the answer is that of double precision whatever the processor, its threads and the
blocks. Beside the tables and the answer, the memory taken does not depend on the number of queries or references.

Distances do not change with the origin: the mean of the reference is taken off before anything is rounded.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import torch

log = logging.getLogger(__name__)

BLOCK = 2**21  # elements of a block of bounds: 8 MiB in single precision, which a processor keeps near
REFERENCES = 2048  # rows of the reference in a block
TOGETHER = 2**25  # numbers of the queries that meet each block of the reference together: 128 MiB
SPARE = 0.5  # rows measured beyond k, in k (and at least 16): what lies within the rounding of the bounds, as a rule
GROUP = 32  # bounds of which only the smallest is compared with what was found so far
CACHED = 2**18  # numbers of which several copies stay in a processor's cache
COARSE, FINE = "medium", "highest"  # torch's names of the precision of a matrix product


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a table as the search sees them: of length 1 if `scale` (n,) is there, and `centre` (d,) taken off."""

    table: torch.Tensor
    scale: torch.Tensor | None
    centre: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.table)

    def exact(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Rows in double precision, not centred: equal rows are equal to the last bit."""
        rows = self.table[index].double()
        return rows if self.scale is None else rows * self.scale[index][..., None]

    def blocks(self, size: int, coarse: bool, device: torch.device) -> Iterator["Block"]:
        """Blocks of `size` rows, centred and rounded."""
        for start in range(0, len(self), size):
            yield self.block(slice(start, start + size), coarse, device)

    def block(self, index: torch.Tensor | slice, coarse: bool, device: torch.device) -> "Block":
        single = self.scale is None and self.table.dtype == torch.float32
        # a difference of two numbers in single precision is right to 2^-24 of itself
        rows = self.table[index] - self.centre.float() if single else self.exact(index) - self.centre.float()
        rounded = rows.to(device, torch.bfloat16 if coarse else torch.float32).float()
        rows = rows.to(device)
        norm, error = (torch.linalg.vector_norm(x, dim=1, dtype=torch.float64) for x in (rows, rows - rounded))
        return Block(rounded, norm, error + 2.0**-23 * norm)


@dataclasses.dataclass(frozen=True)
class Block:
    """Rows (n, d) float32 as they are multiplied; `norm`, `error` (n,): their length and that of what was rounded."""

    rows: torch.Tensor
    norm: torch.Tensor
    error: torch.Tensor

    def split(self, size: int) -> list["Block"]:
        parts = (x.split(size) for x in (self.rows, self.norm, self.error))
        return [Block(*part) for part in zip(*parts, strict=True)]

    def bounds(self, other: "Block") -> torch.Tensor:
        """Lower bounds (n, m) float32 of |q - r|^2 - |q|^2 for the rows q of this block and r of the other.

        q.r differs from the product of the rounded rows by at most |q| |dr| + |dq| |r + dr| (Cauchy and Schwarz), and
        by the rounding of d additions, for which twice the textbook bound d 2^-24 |q| |r| is allowed.
        """
        q, dq = self.norm.max(), self.error.max()
        r = other.norm + other.error
        slack = q * other.error + dq * r + (other.rows.shape[1] + 16) * 2.0**-23 * (q + dq) * r
        bias = other.norm**2 - 2 * slack - 2.0**-22 * (other.norm + q) ** 2
        product = self.rows @ other.rows.T
        return torch.add(bias.float(), product, alpha=-2, out=product)


class Smallest:
    """The `count` smallest of the bounds seen so far of each of n queries, and whose they are."""

    def __init__(self, n: int, count: int, device: torch.device):
        self.count = count
        self.bound = torch.empty((n, 0), device=device)
        self.index = torch.empty((n, 0), dtype=torch.int64, device=device)
        self.limit = torch.full((n, 1), torch.inf, device=device)  # above it no bound can be among the smallest
        self.waiting: list[tuple[torch.Tensor, ...]] = []

    def add(self, bounds: torch.Tensor, first: int) -> None:
        """See the bounds (n, m) of rows `first`, `first` + 1 ... of the reference.

        A group of columns is looked at only if its smallest bound is below the limit.
        """
        n, m = bounds.shape
        size = 2 ** max(0, min(GROUP, m // (2 * self.count)).bit_length() - 1)
        groups = math.ceil(m / size)
        if m < groups * size:
            bounds = torch.nn.functional.pad(bounds, (0, groups * size - m), value=torch.inf)
        bounds = bounds.view(n, size, groups)
        best = bounds.amin(dim=1)
        if not self.waiting and not self.index.shape[1] and groups >= self.count:
            # so many groups hold a bound that is not above this one
            self.limit = best.kthvalue(self.count, dim=1, keepdim=True).values
        query, group = (best <= self.limit).nonzero(as_tuple=True)
        members = bounds[query, :, group]
        place, member = (members <= self.limit[query]).nonzero(as_tuple=True)
        column = member * groups + group[place]
        place, member, column = (x[column < m] for x in (place, member, column))
        self.waiting.append((query[place], members[place, member], column + first))
        if sum(len(part[0]) for part in self.waiting) > n * self.count:
            self.merge()

    def merge(self) -> None:
        """Put what waits among the smallest."""
        if not self.waiting:
            return
        query, bound, index = (torch.cat(parts) for parts in zip(*self.waiting, strict=True))
        self.waiting = []
        self.bound, self.index = merged(self.bound, self.index, query, bound, index, self.count)
        if self.bound.shape[1] == self.count:
            self.limit = torch.minimum(self.limit, self.bound[:, -1:])


class Within:
    """The k nearest so far of each of n queries, among the rows that may lie within a squared distance (n, 1)."""

    def __init__(self, rows: torch.Tensor, block: Block, limit: torch.Tensor, k: int):
        self.rows, self.block, self.limit, self.k = rows, block, limit, k
        self.square = torch.full((len(rows), k), torch.inf, dtype=torch.float64, device=limit.device)
        self.index = torch.full((len(rows), k), -1, device=limit.device)

    def add(self, known: Rows, other: Block, first: int) -> None:
        """Measure what may be near among a block of the reference, which starts with row `first`."""
        bounds = self.block.bounds(other).double() + self.block.norm[:, None] ** 2
        last = self.square[:, -1:]
        # a row at the same distance as the k-th before it loses the tie
        near = (bounds <= self.limit) & (bounds < last)
        query, column = near.nonzero(as_tuple=True)
        if len(query):
            here = self.rows.device
            square = _squares_of_pairs(self.rows, known, query.to(here), (column + first).to(here)).to(last.device)
            self.square, self.index = merged(self.square, self.index, query, square, column + first, self.k)


def search(
    queries: np.ndarray, reference: np.ndarray, k: int, cosine: bool, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (Q, k) float64 and row numbers (Q, k) of the k nearest rows; see `neighbours.nearest`."""
    distance = np.empty((len(queries), k))
    index = np.empty((len(queries), k), np.int64)
    if not distance.size:
        return distance, index
    with _workers(device) as pool:
        known = _rows(reference, cosine, device)
        known = dataclasses.replace(known, centre=_mean(known, pool))
        asked = dataclasses.replace(_rows(queries, cosine, device), centre=known.centre)
        step = max(1, TOGETHER // queries.shape[1])
        for start in range(0, len(queries), step):
            some = torch.arange(start, min(start + step, len(queries)), device=asked.table.device)
            square, found, proven = _candidates(asked, some, known, k, device, pool)
            doubtful = (~proven).nonzero()[:, 0]
            if len(doubtful):
                log.debug("%d of %d queries are searched in single precision", len(doubtful), len(some))
                again = _all_within(asked, some[doubtful], known, square[doubtful, -1], device, pool, k)
                square[doubtful], found[doubtful] = again
            distance[start : start + step] = square.sqrt().cpu().numpy()
            index[start : start + step] = found.cpu().numpy()
    return distance, index


def _candidates(
    asked: Rows, some: torch.Tensor, known: Rows, k: int, device: torch.device, pool: Executor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For these queries: squared distances (n, k), row numbers (n, k), and whether (n,) they are proven nearest."""
    count = min(k + max(16, int(SPARE * k)), len(known))
    size = max(1, BLOCK // REFERENCES)
    parts = asked.block(some, True, device).split(size)
    smallest = [Smallest(len(part.rows), count, device) for part in parts]

    def look(part: Block, kept: Smallest, other: Block, first: int) -> None:
        kept.add(part.bounds(other), first)

    def measure(one: torch.Tensor, part: Block, kept: Smallest) -> tuple[torch.Tensor, ...]:
        kept.merge()
        candidates = kept.index.to(one.device).sort(dim=1).values
        square, order = _squares(asked.exact(one), known, candidates).sort(dim=1, stable=True)
        square, found = square[:, :k], candidates.gather(1, order)[:, :k]
        beyond = (kept.bound[:, -1] + part.norm**2).to(one.device) if count < len(known) else torch.inf
        return square, found, square[:, -1] < beyond

    takers = [functools.partial(look, *pair) for pair in zip(parts, smallest, strict=True)]
    with _precision(COARSE):
        _show(known.blocks(REFERENCES, True, device), takers, pool)
    return tuple(map(torch.cat, zip(*pool.map(measure, some.split(size), parts, smallest), strict=True)))


def _all_within(
    asked: Rows,
    some: torch.Tensor,
    known: Rows,
    limit: torch.Tensor,
    device: torch.device,
    pool: Executor,
    k: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_candidates`, every row measured that may lie within a squared distance `limit` (n,) of its query."""
    size = max(1, BLOCK // (4 * REFERENCES))  # pairs of row numbers, eight bytes each, where all are measured
    parts = asked.block(some, False, device).split(size)
    within = [
        Within(asked.exact(one), part, bound.to(device)[:, None], k)
        for one, part, bound in zip(some.split(size), parts, limit.split(size), strict=True)
    ]
    with _precision(FINE):
        _show(
            known.blocks(REFERENCES, False, device),
            [functools.partial(found.add, known) for found in within],
            pool,
        )
    return tuple(torch.cat([getattr(x, name) for x in within]).to(some.device) for name in ("square", "index"))


def _show(blocks: Iterator[Block], takers: list[Callable[[Block, int], None]], pool: Executor) -> None:
    """Show each block and the number of its first row to every taker; meanwhile the next block is made."""
    first, coming = 0, pool.submit(next, blocks, None)
    while (block := coming.result()) is not None:
        coming = pool.submit(next, blocks, None)
        for done in [pool.submit(take, block, first) for take in takers]:
            done.result()
        first += len(block.rows)


def merged(
    value: torch.Tensor, index: torch.Tensor, query: torch.Tensor, new: torch.Tensor, new_index: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k smallest of values (n, s) and a list of new ones, each of a `query`; equal ones in the order they came.

    Values (n, min(k, s + the longest list)) ascending and their indices; infinity and -1 where a query has fewer.
    """
    order = torch.argsort(query, stable=True)
    query, new, new_index = query[order], new[order], new_index[order]
    length = torch.bincount(query, minlength=len(value))
    width = int(length.max())
    place = torch.arange(len(query), device=query.device) - (length.cumsum(0) - length)[query]
    results = []
    for rows in torch.arange(len(value), device=query.device).split(max(1, BLOCK // max(width, 1))):
        first, last = int(rows[0]), int(rows[-1]) + 1
        among = slice(*torch.searchsorted(query, torch.tensor([first, last], device=query.device)).tolist())
        row, column = query[among] - first, value.shape[1] + place[among]
        values = torch.full((len(rows), value.shape[1] + width), torch.inf, dtype=value.dtype, device=value.device)
        indices = torch.full_like(values, -1, dtype=torch.int64)
        values[:, : value.shape[1]], indices[:, : value.shape[1]] = value[first:last], index[first:last]
        values[row, column], indices[row, column] = new[among], new_index[among]
        values, kept = values.sort(dim=1, stable=True)
        results.append((values[:, :k], indices.gather(1, kept[:, :k])))
    return tuple(torch.cat(parts) for parts in zip(*results, strict=True))


def _squares(rows: torch.Tensor, known: Rows, candidates: torch.Tensor) -> torch.Tensor:
    """Squared distances (n, c) from each row (n, d) to its candidates, from differences: no cancellation."""
    step = max(1, _at_once(rows) // (candidates.shape[1] * rows.shape[1]))
    parts = zip(rows.split(step), candidates.split(step), strict=True)
    return torch.cat([known.exact(some).sub_(part[:, None]).square_().sum(dim=2) for part, some in parts])


def _squares_of_pairs(rows: torch.Tensor, known: Rows, query: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Squared distances (n,) of pairs of a row and a row of the reference."""
    step = max(1, _at_once(rows) // rows.shape[1])
    parts = zip(query.split(step), index.split(step), strict=True)
    found = [known.exact(other).sub_(rows[one]).square_().sum(dim=1) for one, other in parts]
    return torch.cat(found) if found else rows.new_empty(0)


def _at_once(rows: torch.Tensor) -> int:
    return CACHED if rows.device.type == "cpu" else BLOCK


def _rows(table: np.ndarray, cosine: bool, device: torch.device) -> Rows:
    """A table, on the device if it is small beside it; with the scale that makes its rows 1 long for the cosine."""
    table = np.asarray(table)
    table = table if table.dtype in (np.float16, np.float32, np.float64) else table.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a read-only array is only read
        table = torch.from_numpy(table)
    if device.type == "cuda" and table.nbytes < torch.cuda.mem_get_info(device)[0] / 4:
        table = table.to(device)
    if not cosine:
        return Rows(table, None)
    step = max(1, BLOCK // table.shape[1])
    norms = [torch.linalg.vector_norm(part.double(), dim=1) for part in table.split(step)]
    return Rows(table, 1 / torch.cat(norms).clamp(min=1e-12))


def _mean(rows: Rows, pool: Executor) -> torch.Tensor:
    """Mean (d,) in double precision."""
    step = max(1, BLOCK // rows.table.shape[1])
    slices = [slice(start, start + step) for start in range(0, len(rows), step)]
    return torch.stack(list(pool.map(lambda some: rows.exact(some).sum(dim=0), slices))).sum(dim=0) / len(rows)


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def _workers(device: torch.device) -> Iterator[Executor]:
    """As many workers as torch has threads, each with one thread of its own (one worker for a GPU).

    Blocks are independent: workers wait for each other once a block of the reference, the threads of an operation at
    every operation, which costs most where other programs keep a core busy.
    """
    threads = torch.get_num_threads()
    workers = threads if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
