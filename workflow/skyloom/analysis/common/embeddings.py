"""Embedding files: read, write, check. Values are read where they are needed and held once."""

import dataclasses
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import atomic

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
COLUMNS = ("targetid", "split", "embedding")
_ROWS = 8192  # read, and written as a row group, at once


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What a network says about each galaxy: `values` (N, d) float32, rows sorted by targetid.

    `traits` is what the file says of its model (kind, trained, ordered, shared_space ...); empty where it says nothing.
    """

    model: str
    modality: str
    targetid: np.ndarray
    split: np.ndarray
    values: np.ndarray
    traits: dict = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.model}-{self.modality}"

    @property
    def width(self) -> int:
        return self.values.shape[1]

    def of(self, targetid: np.ndarray) -> np.ndarray:
        """Rows (len(targetid), d) of these galaxies; BadInput if one is missing."""
        return self.values[_places(self, targetid)]

    def select(self, mask: np.ndarray) -> "Embedding":
        """The galaxies where `mask` (N,) is true."""
        return dataclasses.replace(self, targetid=self.targetid[mask], split=self.split[mask], values=self.values[mask])


@dataclasses.dataclass(frozen=True)
class EmbeddingFile:
    """An embedding whose values stay in the file: 24 bytes a galaxy are held. Fields as those of `Embedding`.

    `row` (N,) is where in the file a galaxy of `targetid` is.
    """

    path: Path
    model: str
    modality: str
    targetid: np.ndarray
    split: np.ndarray
    row: np.ndarray
    width: int
    traits: dict

    @property
    def name(self) -> str:
        return f"{self.model}-{self.modality}"

    def of(self, targetid: np.ndarray) -> np.ndarray:
        """Read the rows (len(targetid), d) float32 of these galaxies, in this order; the only array made of them.

        BadInput if a galaxy is missing, or if one of the values asked for is not finite.
        """
        targetid = np.asarray(targetid)
        row = self.row[_places(self, targetid)]
        order = np.argsort(row, kind="stable")
        values = np.empty((len(row), self.width), np.float32)
        with pyarrow.parquet.ParquetFile(self.path) as file:
            first = 0
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                begin, end = np.searchsorted(row, [first, last], sorter=order)
                if begin < end:
                    self._fill(values, file, group, order[begin:end], row[order[begin:end]] - first)
                first = last
        with np.errstate(invalid="ignore"):
            # in double precision, where no sum of finite single-precision numbers overflows
            finite = np.isfinite(values.sum(axis=1, dtype=np.float64))
        if not finite.all():
            raise BadInput(f"{self.path}: the embedding of targetid {targetid[~finite][0]} is not finite")
        return values

    def _fill(self, values: np.ndarray, file, group: int, places: np.ndarray, row: np.ndarray) -> None:
        """Read rows (n,), ascending, of a row group into `values` at `places`."""
        first = 0
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=["embedding"], use_threads=False):
            column = batch.column(0)
            if column.null_count:
                raise BadInput(f"{self.path}: column embedding has {column.null_count} empty rows; expected none")
            begin, end = np.searchsorted(row, [first, first + len(column)])
            found = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), self.width)
            values[places[begin:end]] = found[row[begin:end] - first]
            first += len(column)

    def read(self, targetid: np.ndarray | None = None) -> Embedding:
        """With its values, of all galaxies or of those named (sorted)."""
        targetid = self.targetid if targetid is None else np.sort(np.asarray(targetid))
        split = self.split[_places(self, targetid)]
        return Embedding(self.model, self.modality, targetid, split, self.of(targetid), self.traits)


def _places(embedding: Embedding | EmbeddingFile, targetid: np.ndarray) -> np.ndarray:
    """Where (n,) these galaxies are among the sorted ones of an embedding; BadInput if one is missing."""
    targetid = np.asarray(targetid)
    if not len(embedding.targetid) and len(targetid):
        raise BadInput(f"{embedding.name}: no embedding for targetid {targetid[0]}")
    position = np.searchsorted(embedding.targetid, targetid).clip(max=len(embedding.targetid) - 1)
    missing = embedding.targetid[position] != targetid
    if missing.any():
        raise BadInput(f"{embedding.name}: no embedding for targetid {targetid[missing][0]}")
    return position


def open_embedding(path: str | os.PathLike) -> EmbeddingFile:
    """Everything of an embedding file but its values.

    Model and modality are what its metadata say (`skyloom`, JSON), or else its name, `{model}-{modality}.parquet`.
    BadInput for a file without the columns targetid, split, embedding (a fixed-size list), or with a galaxy twice.
    """
    path = Path(path)
    try:
        schema = pyarrow.parquet.read_schema(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except pyarrow.ArrowInvalid as error:
        raise BadInput(f"{path}: expected Parquet columns {', '.join(COLUMNS)} ({error})") from error
    for column in COLUMNS:
        if column not in schema.names:
            raise BadInput(f"{path}: no column {column!r}; expected {', '.join(COLUMNS)}")
    kind = schema.field("embedding").type
    if not pyarrow.types.is_fixed_size_list(kind):
        raise BadInput(f"{path}: column embedding is {kind}; expected a fixed-size list of float")
    traits = _traits(path, schema)
    table = pyarrow.parquet.read_table(path, columns=["targetid", "split"], read_dictionary=["split"])
    targetid = table["targetid"].to_numpy()
    order = np.argsort(targetid, kind="stable")
    targetid = targetid[order]
    repeated = np.flatnonzero(np.diff(targetid) == 0)
    if len(repeated):
        raise BadInput(f"{path}: targetid {targetid[repeated[0]]} occurs more than once; expected one row a galaxy")
    split = pyarrow.compute.dictionary_encode(table["split"]).combine_chunks()
    # objects: eight bytes a galaxy, three strings in all
    split = split.dictionary.to_numpy(zero_copy_only=False)[split.indices.to_numpy()][order]
    return EmbeddingFile(path, traits["model"], traits["modality"], targetid, split, order, kind.list_size, traits)


def _traits(path: Path, schema: pyarrow.Schema) -> dict:
    """What the metadata say of the model, and its name and modality in any case."""
    try:
        traits = json.loads((schema.metadata or {}).get(b"skyloom", b"{}"))
    except ValueError as error:
        raise BadInput(f"{path}: metadata skyloom is not JSON ({error}); delete the file and rerun") from error
    if {"model", "modality"} <= set(traits):
        return traits
    model, separator, modality = path.stem.rpartition("-")
    if not separator:
        raise BadInput(f"{path}: an embedding file is named MODEL-MODALITY.parquet")
    return {"model": model, "modality": modality, **traits}


def read_embedding(path: str | os.PathLike, targetid: np.ndarray | None = None) -> Embedding:
    """Read an embedding file, or of it these galaxies alone; rows with a non-finite value raise BadInput."""
    return open_embedding(path).read(targetid)


def write_embedding(path: str | os.PathLike, targetid: np.ndarray, split: np.ndarray, values: np.ndarray) -> None:
    """Write columns targetid, split and embedding (fixed-size list of float32)."""
    flat = pyarrow.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
    embedding = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    columns = {"targetid": np.asarray(targetid, np.int64), "split": pyarrow.array(list(split)), "embedding": embedding}
    with atomic(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary, row_group_size=_ROWS)


def open_embeddings(paths: Iterable[str | os.PathLike]) -> list[EmbeddingFile]:
    """All embeddings without their values, ordered by modality and model."""
    return sorted(map(open_embedding, paths), key=lambda e: (e.modality, e.model))


def read_embeddings(paths: Iterable[str | os.PathLike]) -> list[Embedding]:
    """All embeddings, ordered by modality and model."""
    return [embedding.read() for embedding in open_embeddings(paths)]


def selected(paths, names: list[str], section: str) -> list[Embedding]:
    """The embeddings with these names, in their order; all when `names` is empty."""
    found = {e.name: e for e in open_embeddings(paths)}
    for name in names:
        if name not in found:
            raise BadConfig(f"{section}: embeddings: {name!r} is not there; allowed: {', '.join(found)}")
    return [found[name].read() for name in names or found]


def common_galaxies(embeddings: list[Embedding] | list[EmbeddingFile], galaxies: pandas.DataFrame) -> np.ndarray:
    """Sorted targetids that every embedding and the galaxy table have: models are compared on the same galaxies."""
    common = np.sort(galaxies.index.to_numpy())
    for embedding in embeddings:
        kept = np.intersect1d(common, embedding.targetid, assume_unique=True)
        if len(kept) < len(common):
            log.info("%s has no embedding for %d galaxies: left out", embedding.name, len(common) - len(kept))
        common = kept
    if not len(common):
        raise BadInput(f"no galaxy is in all of: {', '.join(e.name for e in embeddings)} and the galaxy table")
    return common
