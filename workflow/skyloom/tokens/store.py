"""The shard store: HDF5 files that hold one sample a chunk, so that a random batch touches only the bytes it needs.

A shard has the 1-D dataset `targetid` (int64) and any number of float32 datasets with the same first axis. Every
dataset carries its unit and the SHA-256 of its bytes; the file carries one SHA-256 over all of them
(`content_sha256`), computed while it is written, so that readers can tell a damaged shard from a good one and caches
can tell one shard from another.
"""

import collections
import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import hdf5plugin  # also registers its filters with HDF5, without which compressed shards cannot be read
import numpy as np

from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import atomic

log = logging.getLogger(__name__)

FORMAT = 1
COMPRESSIONS = ("none", "bitshuffle-lz4")
OPEN = 32  # files that one reader holds open: a survey has more shards than a process may have open files
_IDENTIFIERS_PER_CHUNK = 8192
# What h5py raises on a file whose inner structure is damaged: depending on the byte, anything of this.
_BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


class ShardWriter:
    """Append blocks of samples to an open shard; use through `shard_writer`."""

    def __init__(self, file: h5py.File, units: Mapping[str, str], compression: str):
        self._file = file
        self._units = dict(units)
        self._filters = hdf5plugin.Bitshuffle(cname="lz4") if compression == "bitshuffle-lz4" else {}
        self._datasets: dict[str, h5py.Dataset] = {}
        self._digests: dict[str, hashlib._Hash] = {}
        self.rows = 0

    def append(self, targetid: np.ndarray, **arrays: np.ndarray) -> None:
        """Append a block.

        Parameters
        ----------
        targetid : (n,) int64
        arrays : name -> (n, ...) float32; names and sample shapes must be those of the first block
        """
        block = {"targetid": np.asarray(targetid, "i8"), **{k: np.asarray(v, "f4") for k, v in arrays.items()}}
        if not self._digests:
            for name, values in block.items():
                self._create(name, values.shape[1:], values.dtype)
        if set(block) != set(self._digests) or any(len(values) != len(targetid) for values in block.values()):
            raise ValueError(f"a block must hold {sorted(self._digests)}, each with {len(targetid)} rows")
        for name, values in block.items():
            dataset = self._datasets[name]
            dataset.resize(self.rows + len(values), axis=0)
            dataset[self.rows :] = values
            dataset.flush()  # a full disk shows here; HDF5 keeps silent when it first notices on closing
            self._digests[name].update(np.ascontiguousarray(values).data)
        self.rows += len(targetid)

    def declare(self, **shapes: tuple[int, ...]) -> None:
        """Create the datasets before the first block, so that a shard without any sample still has them."""
        self._create("targetid", (), np.dtype("i8"))
        for name, shape in shapes.items():
            self._create(name, shape, np.dtype("f4"))

    def _create(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        chunk = (1, *shape) if shape else (_IDENTIFIERS_PER_CHUNK,)
        # a checksum in every chunk: damage is found at the read, before a decompressor or a network meets it
        options = {"maxshape": (None, *shape), "chunks": chunk, "fletcher32": True, **(self._filters if shape else {})}
        dataset = self._file.create_dataset(name, (0, *shape), dtype, **options)
        _write_attribute(dataset, "unit", self._units.get(name, "dimensionless"))
        self._datasets[name] = dataset
        self._digests[name] = hashlib.sha256()

    def finish(self) -> None:
        """Write the checksums."""
        for name, digest in self._digests.items():
            _write_attribute(self._datasets[name], "sha256", digest.hexdigest())
        _write_attribute(self._file, "content_sha256", _content(self._file))
        self._file.flush()


@contextlib.contextmanager
def shard_writer(
    path: str | os.PathLike,
    attrs: Mapping[str, str | int | float] | None = None,
    units: Mapping[str, str] | None = None,
    compression: str = "none",
) -> Iterator[ShardWriter]:
    """Yield a ShardWriter; the shard appears at `path` when the block ends well and not at all when it does not.

    Parameters
    ----------
    path : where the shard goes
    attrs : file attributes (e.g. modality, crop); `skyloom_format` and `content_sha256` are added
    units : unit of each dataset by name
    compression : "none" or "bitshuffle-lz4" (lossless)

    Raises
    ------
    BadConfig : unknown compression.
    SkyloomError : the disk is full.
    """
    if compression not in COMPRESSIONS:
        raise BadConfig(f"compression: {compression!r} is not one of {', '.join(COMPRESSIONS)}")
    with atomic(path) as temporary, _new_file(temporary) as file:
        for key, value in ({"skyloom_format": FORMAT} | dict(attrs or {})).items():
            _write_attribute(file, key, value)
        writer = ShardWriter(file, units or {}, compression)
        yield writer
        writer.finish()


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    # the format of HDF5 1.10: the first whose inner structure has checksums, so that damage is an error, not a crash
    file = h5py.File(path, "w", libver=("v110", "v110"))
    try:
        yield file
    except BaseException as error:
        # On a full disk HDF5 cannot flush, therefore not close, and would keep the space until the process ends. The
        # file is thrown away: give its space back first, and closing works.
        os.truncate(path, 0)
        for number in (errno.ENOSPC, errno.EDQUOT):
            if f"errno = {number}," in str(error):  # some of HDF5's errors carry it in their text alone
                raise OSError(number, os.strerror(number)) from error
        raise
    finally:
        file.close()


def write_shard(
    path: str | os.PathLike,
    targetid: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    attrs: Mapping[str, str | int | float] | None = None,
    units: Mapping[str, str] | None = None,
    compression: str = "none",
) -> None:
    """Write a whole shard from arrays in memory: targetid (n,), arrays name -> (n, ...); see `shard_writer`."""
    with shard_writer(path, attrs, units, compression) as writer:
        writer.append(np.asarray(targetid), **arrays)


def verify(path: str | os.PathLike) -> str:
    """Read every byte of a shard, compare it with the checksums inside, and return its content SHA-256.

    Raises
    ------
    BadInput : the file is damaged, or is not a shard.
    """
    with _open(path) as file:
        for name, dataset in file.items():
            digest = hashlib.sha256()
            try:
                for start in range(0, len(dataset), 256):
                    digest.update(np.ascontiguousarray(dataset[start : start + 256]).data)
            except _BROKEN as error:
                raise _damaged(path, f"dataset {name} cannot be read") from error
            if digest.hexdigest() != _attribute(dataset, "sha256"):
                raise _damaged(path, f"the bytes of dataset {name} do not match their checksum")
        return _attribute(file, "content_sha256")


class Shards:
    """Samples of many shards as one sequence, in the order of `paths`.

    Files are opened when first read, at most OPEN at a time, in each process for itself: an object made before a fork
    (a DataLoader worker, torchrun) or sent to another process opens its own handles there. Memory: 8 bytes a sample
    for `targetid`.

    Parameters
    ----------
    paths : shards of one modality, all with the same datasets and sample shapes

    Raises
    ------
    BadInput : a shard is damaged, lacks a dataset, or differs in shape from the first.

    Attributes
    ----------
    targetid : (N,) int64, TARGETID of every sample
    names : datasets besides targetid
    shapes : name -> shape of one sample
    content_sha256 : one digest per shard
    """

    def __init__(self, paths: Sequence[str | os.PathLike]):
        self.paths = [Path(path) for path in paths]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.content_sha256: list[str] = []
        self.attrs: dict[str, object] = {}
        self._files: collections.OrderedDict[int, h5py.File] = collections.OrderedDict()  # the last used at the end
        self._process = os.getpid()
        identifiers = [self._describe(path) for path in self.paths]
        self.targetid = np.concatenate([np.zeros(0, "i8"), *identifiers])
        self._starts = np.cumsum([0, *map(len, identifiers)])

    def _describe(self, path: Path) -> np.ndarray:
        """Check one shard against the first, note its checksum, and return its (n,) targetid."""
        with _open(path) as file:
            shapes = {name: dataset.shape[1:] for name, dataset in file.items() if name != "targetid"}
            if self.content_sha256 and shapes != self.shapes:
                raise BadInput(f"{path}: datasets {shapes}, expected {self.shapes} as in {self.paths[0]}")
            self.shapes = shapes
            self.attrs = self.attrs or {key: _attribute(file, key) for key in file.attrs}
            self.content_sha256.append(_attribute(file, "content_sha256"))
            return file["targetid"][:]

    @property
    def names(self) -> list[str]:
        return list(self.shapes)

    def __len__(self) -> int:
        return len(self.targetid)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_files": collections.OrderedDict()}

    def rows(self, targetid: np.ndarray) -> np.ndarray:
        """Sample numbers, (n,) int64, of the given identifiers; -1 where there is no such sample."""
        if not len(self):
            return np.full(len(targetid), -1)
        order = np.argsort(self.targetid, kind="stable")
        place = np.searchsorted(self.targetid, targetid, sorter=order).clip(max=len(self) - 1)
        return np.where(self.targetid[order[place]] == targetid, order[place], -1)

    def read(self, indices: np.ndarray, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Read samples.

        Parameters
        ----------
        indices : (n,) sample numbers in 0..len-1, any order, repeats allowed
        names : datasets to read; all when None

        Returns
        -------
        dict : name -> (n, ...) float32, rows in the order of `indices`; also `targetid` (n,) int64

        Raises
        ------
        BadInput : a name that the shards do not have, or a chunk that cannot be read.
        """
        indices = np.asarray(indices, "i8")
        names = self.names if names is None else list(names)
        for name in names:
            if name not in self.shapes:
                raise BadInput(f"{self.paths[0]}: no dataset {name}; the shard holds {', '.join(self.names)}")
        batch = {name: np.empty((len(indices), *self.shapes[name]), "f4") for name in names}
        shard_of = np.searchsorted(self._starts, indices, side="right") - 1
        order = np.argsort(indices, kind="stable")  # neighbours on disk are read one after the other
        for shard in np.unique(shard_of):
            places = order[shard_of[order] == shard]
            self._fill(batch, int(shard), places, indices[places] - self._starts[shard])
        batch["targetid"] = self.targetid[indices]
        return batch

    def _fill(self, batch: dict[str, np.ndarray], shard: int, places: np.ndarray, rows: np.ndarray) -> None:
        file = self._file(shard)
        for name, values in batch.items():
            dataset = file[name]
            try:
                for place, row in zip(places.tolist(), rows.tolist(), strict=True):
                    # a plain integer takes h5py's short path: ten times faster than a list of rows
                    values[place] = dataset[row]
            except _BROKEN as error:
                raise _damaged(self.paths[shard], f"dataset {name} cannot be read") from error

    def _file(self, shard: int) -> h5py.File:
        if os.getpid() != self._process:
            # handles inherited by a fork belong to the HDF5 state of the parent: forget them, open anew
            self._files, self._process = collections.OrderedDict(), os.getpid()
        if shard not in self._files:
            self._files[shard] = _open(self.paths[shard])
            if len(self._files) > OPEN:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(shard)
        return self._files[shard]

    def close(self) -> None:
        """Close the open files; a later read opens them again."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _open(path: str | os.PathLike) -> h5py.File:
    """Open a shard for reading after checking that it is one: format, checksums, equal lengths."""
    if not Path(path).is_file():
        raise BadInput(f"{path}: no such shard; run the tokenize rule that makes it")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, "it is truncated or is not HDF5") from error
    try:
        _check(path, file)
    except BaseException:
        file.close()
        raise
    return file


def _check(path: str | os.PathLike, file: h5py.File) -> None:
    try:
        version = _attribute(file, "skyloom_format") if "skyloom_format" in file.attrs else None
        if version != FORMAT:
            raise BadInput(f"{path}: skyloom_format is {version}, expected {FORMAT}; delete it and rerun")
        if "targetid" not in file or "content_sha256" not in file.attrs:
            raise _damaged(path, "dataset targetid or attribute content_sha256 is missing")
        rows = len(file["targetid"])
        for name, dataset in file.items():
            if len(dataset) != rows or "sha256" not in dataset.attrs:
                raise _damaged(path, f"dataset {name} has {len(dataset)} rows, expected {rows} and a checksum")
        if _content(file) != _attribute(file, "content_sha256"):
            raise _damaged(path, "its datasets are not those it was written with")
    except _BROKEN as error:
        raise _damaged(path, "its header cannot be read") from error


def _content(file: h5py.File) -> str:
    """SHA-256 over names, types, shapes and checksums of all datasets: the identity of a shard's content."""
    datasets = [(name, file[name]) for name in sorted(file)]
    parts = [f"{name} {data.dtype.str} {data.shape} {_attribute(data, 'sha256')}" for name, data in datasets]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _write_attribute(owner: h5py.Group | h5py.Dataset, key: str, value: str | int | float) -> None:
    # text of fixed length lies in the object's header, which has a checksum; h5py's default (the global heap) has none
    owner.attrs[key] = np.bytes_(value.encode()) if isinstance(value, str) else value


def _attribute(owner: h5py.Group | h5py.Dataset, key: str) -> str | int | float:
    value = owner.attrs[key]
    return value.decode() if isinstance(value, bytes) else value


def _damaged(path: str | os.PathLike, what: str) -> BadInput:
    return BadInput(f"{path}: the shard is damaged ({what}); delete it and rerun")
