"""Tables by galaxy: a part for each shard, streamed, and the whole joined from them by rising targetid.

A part and a whole have the columns targetid, split, and what a model says of the galaxy: numbers, or vectors as
fixed-size lists. In the metadata of the schema, under ``skyloom``, a JSON object says which model it is of. The bytes
of a whole depend on the shards and on nothing else: not on how many jobs made the parts.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.tokens.splits import read_splits

ROWS_PER_GROUP = 8192
"""Of a whole."""
ROWS_PER_PART_GROUP = 512
"""Of a part: joining holds one such group of each part in memory."""
METADATA = b"skyloom"


def write_part(
    out_path: str | os.PathLike,
    targetid: np.ndarray,
    splits_path: str | os.PathLike,
    values: Callable[[np.ndarray], dict[str, np.ndarray]],
    blank: dict[str, np.ndarray],
    metadata: dict,
) -> None:
    """Write the table of one shard.

    Parameters
    ----------
    targetid : (N,) int64 in rising order
    values : places (n,) in `targetid` -> column -> (n,) or (n, D); called for a few hundred at a time
    blank : what `values` gives, of any galaxies: the columns and their types
    metadata : which model and what of it

    Raises
    ------
    BadInput : a galaxy has no split.
    """
    split = split_of(targetid, splits_path)
    schema = schema_of(blank, metadata)
    with atomic(out_path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for first in range(0, len(targetid), ROWS_PER_PART_GROUP):
            places = np.arange(first, min(first + ROWS_PER_PART_GROUP, len(targetid)))
            found = values(places)
            columns = [targetid[places], split.take(pa.array(places)), *(column_of(found[name]) for name in blank)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROWS_PER_PART_GROUP)


def split_of(targetid: np.ndarray, splits_path: str | os.PathLike) -> pa.Array:
    """The split of each galaxy, (N,) string; BadInput for one that has none."""
    splits = read_splits(splits_path)
    place = np.searchsorted(splits.targetid, targetid).clip(max=max(0, len(splits.targetid) - 1))
    missing = targetid[splits.targetid[place] != targetid] if len(splits.targetid) else targetid
    if len(missing):
        raise BadInput(
            f"{splits_path}: {len(missing)} galaxies of the shards have no split, e.g. targetid {missing[0]}"
        )
    codes = pa.array(splits.code[place] if len(targetid) else np.zeros(0, "i1"))
    return pa.DictionaryArray.from_arrays(codes, pa.array(splits.names, pa.string())).cast(pa.string())


def schema_of(blank: dict[str, np.ndarray], metadata: dict) -> pa.Schema:
    """Columns of a table, and in its metadata which model made it."""
    fields = [pa.field("targetid", pa.int64(), nullable=False), pa.field("split", pa.string(), nullable=False)]
    fields += [pa.field(name, column_of(values).type, nullable=False) for name, values in blank.items()]
    return pa.schema(fields, metadata={METADATA: json.dumps(metadata, sort_keys=True)})


def column_of(values: np.ndarray) -> pa.Array:
    """(n,) numbers, or (n, D) as lists of fixed size."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), values.shape[1])


def gather_parts(part_paths: Sequence[str | os.PathLike], out_path: str | os.PathLike) -> None:
    """Join the parts of all shards by rising targetid.

    Memory: about 140 bytes a galaxy, and one row group of each part. Only one part is open at a time.

    Raises
    ------
    BadInput : a part is damaged or of another model than the first, or a galaxy is in two of them.
    """
    parts = [_Part(path) for path in part_paths]
    for part in parts[1:]:
        if not part.schema.equals(parts[0].schema, check_metadata=True):
            raise BadInput(f"{part.path}: not of the model, or not of the columns, of {parts[0].path}; delete both")
    targetid = np.concatenate([part.read_targetid() for part in parts])
    order = np.argsort(targetid, kind="stable")
    owner = np.repeat(np.arange(len(parts), dtype="i4"), [part.rows for part in parts])[order]
    targetid = targetid[order]
    twice = np.flatnonzero(targetid[1:] == targetid[:-1])
    if len(twice):
        a, b = (parts[owner[i]].path for i in (twice[0], twice[0] + 1))
        raise BadInput(f"{a}: targetid {targetid[twice[0]]} is in {b} too; expected each galaxy in one shard")
    with atomic(out_path) as temporary, pq.ParquetWriter(temporary, parts[0].schema, compression="zstd") as writer:
        for first in range(0, len(owner), ROWS_PER_GROUP):
            group = owner[first : first + ROWS_PER_GROUP]
            taken = [parts[p].take(int(n)) for p, n in enumerate(np.bincount(group, minlength=len(parts))) if n]
            # within a part the order is that of the whole: the rows of part p go to the places where p is the owner
            place = np.empty(len(group), "i8")
            place[np.argsort(group, kind="stable")] = np.arange(len(group))
            writer.write_table(pa.concat_tables(taken).take(pa.array(place)), row_group_size=ROWS_PER_GROUP)


class _Part:
    """A part that is read from front to back."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._group, self._held = 0, None
        with self._open() as file:
            self.schema, self.rows, self._groups = file.schema_arrow, file.metadata.num_rows, file.num_row_groups
        if METADATA not in (self.schema.metadata or {}):
            raise BadInput(f"{self.path}: does not say which model it is of; delete it and rerun")

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> BadInput:
        return BadInput(f"{self.path}: cannot be read as Parquet ({str(error).splitlines()[0]}); delete it and rerun")

    def read_targetid(self) -> np.ndarray:
        """(rows,) int64, in rising order."""
        try:
            found = pq.read_table(self.path, columns=["targetid"])["targetid"].to_numpy()
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(error) from error
        if (np.diff(found) <= 0).any():
            raise BadInput(f"{self.path}: column targetid does not rise; delete it and rerun")
        return found

    def take(self, count: int) -> pa.Table:
        """The next `count` rows."""
        held = [self._held] if self._held is not None else []
        while sum(map(len, held)) < count:
            try:
                with self._open() as file:
                    held.append(file.read_row_group(self._group))
            except (OSError, pa.ArrowException) as error:
                raise self._damaged(error) from error
            self._group += 1
        table = pa.concat_tables(held)
        self._held = table.slice(count)
        return table.slice(0, count)
