"""Shuffled batches whose order is a pure function of (seed, step): there is no loader state to save or to lose.

Think of the epochs' permutations laid end to end as one endless row of samples; step s takes the batch_size samples
from s * batch_size on. A batch at the end of an epoch therefore carries on into the next one, every sample is seen
once an epoch, and a run that restarts at step s sees what the uninterrupted run would have seen.
"""

import functools
import hashlib
import logging
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import atomic
from skyloom.tokens.store import Shards

log = logging.getLogger(__name__)

_ROWS_PER_COPY = 256


B = TypeVar("B", covariant=True)


class Source(Protocol[B]):
    """Anything batches can come from: Shards, Cached, or samples joined from several of them."""

    def read(self, indices: np.ndarray, names: Sequence[str] | None = None) -> B: ...


@functools.lru_cache(maxsize=2)
def epoch_order(samples: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of 0..samples-1 that epoch `epoch` goes through, (samples,) int64, read-only."""
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    order.flags.writeable = False
    return order


def step_samples(samples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Samples of the batch at `step`, (batch_size,) int64 in 0..samples-1."""
    position = step * batch_size + np.arange(batch_size)
    epoch, place = np.divmod(position, samples)
    parts = [epoch_order(samples, seed, int(e))[place[epoch == e]] for e in np.unique(epoch)]
    return np.concatenate(parts)


def batches(
    source: Source[B],
    indices: np.ndarray,
    names: Sequence[str] | None,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    steps: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    prefetch: int = 3,
) -> Iterator[B]:
    """Yield shuffled batches, read ahead by a background thread.

    Parameters
    ----------
    source : Shards, Cached, or anything that reads like them
    indices : (n,) samples of the source to draw from, e.g. those of the training split
    names : datasets to read; what the source reads by itself when None
    batch_size : samples a step over all ranks; rank r gets every world_size-th of them from the r-th on, so the union
        over ranks does not depend on how many there are
    seed, start_step : the order is a pure function of (seed, step)
    steps : stop after this many; None goes on for ever
    rank, world_size : as in torch.distributed
    prefetch : batches read ahead; 0 reads in the calling thread

    Yields
    ------
    what `source.read` returns; of Shards and Cached a dict, name -> (batch_size / world_size, ...) float32, with
    `targetid` int64

    Raises
    ------
    BadConfig : batch_size is not a positive multiple of world_size.
    BadInput : there is no sample, or a shard is damaged.
    """
    indices = np.asarray(indices, "i8")
    if batch_size < 1 or batch_size % world_size:
        raise BadConfig(f"batch_size: {batch_size} is not a positive multiple of the {world_size} processes")
    if not len(indices):
        raise BadInput("no sample to make batches of: the split is empty in these shards")

    def read(step: int) -> B:
        mine = step_samples(len(indices), batch_size, seed, step)[rank::world_size]
        return source.read(indices[mine], names)

    return _ahead(read, start_step, steps, prefetch)


def _ahead(read, start: int, steps: int | None, depth: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield read(start), read(start + 1), ...; with depth > 0 from a thread that runs up to `depth` ahead."""
    numbers = iter(range(start, start + steps)) if steps is not None else iter(range(start, 2**62))
    if not depth:
        yield from map(read, numbers)
        return
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def offer(item: object) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for number in numbers:
                if stop.is_set():
                    return
                offer(read(number))
            offer(None)
        except BaseException as error:  # handed over and raised where the batches are used
            offer(error)

    thread = threading.Thread(target=work, name="skyloom-batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


class Cached:
    """Hot copy of some datasets of the shards as memory-mapped .npy files on a fast local disk.

    A file is named by the content checksums of the shards, so that a changed shard never meets an old copy; it is
    written atomically and may be deleted at any time. Worth it for compressed shards and slow (network) disks.

    Parameters
    ----------
    shards : where the samples come from
    folder : where the copies go; all rows of each dataset are copied, uncompressed
    names : datasets to copy; all when None

    Attributes
    ----------
    targetid, names, shapes, content_sha256, rows : as of Shards, in whose place it can stand
    """

    def __init__(self, shards: Shards, folder: str | os.PathLike, names: Sequence[str] | None = None):
        self.names = shards.names if names is None else list(names)
        self.targetid, self.rows, self.content_sha256 = shards.targetid, shards.rows, shards.content_sha256
        self._arrays = {name: _hot(shards, name, Path(folder)) for name in self.names}
        self.shapes = {name: array.shape[1:] for name, array in self._arrays.items()}

    def __len__(self) -> int:
        return len(self.targetid)

    def read(self, indices: np.ndarray, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """As `Shards.read`."""
        names = self.names if names is None else names
        unknown = [name for name in names if name not in self._arrays]
        if unknown:
            raise BadInput(f"no dataset {unknown[0]} in the cache, which holds {', '.join(self.names)}")
        batch = {name: np.asarray(self._arrays[name][indices]) for name in names}
        return batch | {"targetid": self.targetid[indices]}


def _hot(shards: Shards, name: str, folder: Path) -> np.ndarray:
    """The memory-mapped copy of one dataset, made if it is not there or not whole."""
    key = hashlib.sha256("\n".join([name, *shards.content_sha256]).encode()).hexdigest()[:32]
    path = folder / f"{name}-{key}.npy"
    if name not in shards.shapes:
        raise BadInput(f"{shards.paths[0]}: no dataset {name}; the shard holds {', '.join(shards.names)}")
    shape = (len(shards), *shards.shapes[name])
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape == shape:
            return array
    except (OSError, ValueError):
        pass  # absent or cut short: made anew below
    log.info("hot cache: copying %s of %d samples to %s", name, len(shards), path)
    with atomic(path) as temporary:
        # plain writes: a memory map on a disk that fills up ends in SIGBUS, not in an exception
        with open(temporary, "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for start in range(0, len(shards), _ROWS_PER_COPY):
                rows = np.arange(start, min(start + _ROWS_PER_COPY, len(shards)))
                file.write(shards.read(rows, [name])[name].astype("<f4", copy=False).data)
    return np.load(path, mmap_mode="r", allow_pickle=False)
