"""Embedding files: read, write, check."""

import dataclasses
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet

from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import atomic

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What a network says about each galaxy: `values` (N, d) float32, rows sorted by targetid."""

    model: str
    modality: str
    targetid: np.ndarray
    split: np.ndarray
    values: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.model}-{self.modality}"

    def of(self, targetid: np.ndarray) -> np.ndarray:
        """Rows (len(targetid), d) of these galaxies; BadInput if one is missing."""
        position = np.searchsorted(self.targetid, targetid).clip(max=len(self.targetid) - 1)
        missing = self.targetid[position] != targetid
        if missing.any():
            raise BadInput(f"{self.name}: no embedding for targetid {np.asarray(targetid)[missing][0]}")
        return self.values[position]

    def select(self, mask: np.ndarray) -> "Embedding":
        """The galaxies where `mask` (N,) is true."""
        return dataclasses.replace(self, targetid=self.targetid[mask], split=self.split[mask], values=self.values[mask])


def read_embedding(path: str | os.PathLike) -> Embedding:
    """Read `{model}-{modality}.parquet`; rows with a non-finite value raise BadInput."""
    path = Path(path)
    model, separator, modality = path.stem.rpartition("-")
    if not separator:
        raise BadInput(f"{path}: an embedding file is named MODEL-MODALITY.parquet")
    try:
        table = pyarrow.parquet.read_table(path, columns=["targetid", "split", "embedding"])
    except pyarrow.ArrowInvalid as error:
        raise BadInput(f"{path}: expected Parquet columns targetid, split, embedding ({error})") from error
    missing = {"targetid", "split", "embedding"} - set(table.column_names)
    if missing:
        raise BadInput(f"{path}: no column {sorted(missing)[0]!r}; expected targetid, split, embedding")
    column = table["embedding"].combine_chunks()
    if not pyarrow.types.is_fixed_size_list(column.type):
        raise BadInput(f"{path}: column embedding is {column.type}; expected a fixed-size list of float")
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(table), -1)
    if not np.isfinite(values).all():
        bad = table["targetid"][int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])]
        raise BadInput(f"{path}: the embedding of targetid {bad} is not finite")
    targetid = table["targetid"].to_numpy()
    order = np.argsort(targetid, kind="stable")
    repeated = np.flatnonzero(np.diff(targetid[order]) == 0)
    if len(repeated):
        raise BadInput(
            f"{path}: targetid {targetid[order][repeated[0]]} occurs more than once; expected one row a galaxy"
        )
    split = table["split"].to_numpy(zero_copy_only=False).astype(str)
    return Embedding(model, modality, targetid[order], split[order], values[order])


def write_embedding(path: str | os.PathLike, targetid: np.ndarray, split: np.ndarray, values: np.ndarray) -> None:
    """Write columns targetid, split and embedding (fixed-size list of float32)."""
    flat = pyarrow.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
    embedding = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    columns = {"targetid": np.asarray(targetid, np.int64), "split": pyarrow.array(list(split)), "embedding": embedding}
    with atomic(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)


def read_embeddings(paths: Iterable[str | os.PathLike]) -> list[Embedding]:
    """All embeddings, ordered by modality and model."""
    return sorted((read_embedding(path) for path in paths), key=lambda e: (e.modality, e.model))


def selected(paths, names: list[str], section: str) -> list[Embedding]:
    """The embeddings with these names, in their order; all when `names` is empty."""
    found = {e.name: e for e in read_embeddings(paths)}
    for name in names:
        if name not in found:
            raise BadConfig(f"{section}: embeddings: {name!r} is not there; allowed: {', '.join(found)}")
    return [found[name] for name in names or found]


def common_galaxies(embeddings: list[Embedding], galaxies: pandas.DataFrame) -> np.ndarray:
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
