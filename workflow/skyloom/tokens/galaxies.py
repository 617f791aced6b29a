"""What the tokenizers of all modalities share: the galaxies of one shard, their files, and the quarantine list."""

import csv
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.file_names import by_name, named

log = logging.getLogger(__name__)

QUARANTINE_COLUMNS = ("targetid", "file", "row", "reason")


def shard_rows(galaxies_path: str | os.PathLike, shard: int, prefix: str) -> pa.Table:
    """Galaxies of one shard that have data of this modality, sorted by file and row.

    Parameters
    ----------
    galaxies_path : galaxies.parquet
    shard : value of its column `shard`
    prefix : "spectrum" or "image"; columns `{prefix}_file` and `{prefix}_row` say where the data are

    Returns
    -------
    Table with columns targetid, file (an Arrow dictionary), row

    Raises
    ------
    BadInput : the file is not Parquet or lacks a column.
    """
    columns = {"targetid": "targetid", f"{prefix}_file": "file", f"{prefix}_row": "row"}
    try:
        present = pq.read_schema(galaxies_path).names
        for name in (*columns, "shard"):
            if name not in present:
                raise BadInput(f"{galaxies_path}: no column {name}; expected {', '.join(columns)}, shard")
        table = of_shard(galaxies_path, list(columns), shard)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{galaxies_path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    table = table.rename_columns([columns[name] for name in table.column_names])
    files = table["file"].combine_chunks()
    names, code = files.dictionary.to_numpy(zero_copy_only=False), files.indices.to_numpy()
    observed = np.flatnonzero((names != "")[code])
    if len(observed) < len(table):
        log.info("shard %d: %d of %d galaxies have no %s", shard, len(table) - len(observed), len(table), prefix)
    place = np.argsort(np.argsort(names))[code[observed]]  # of the name among the sorted ones
    return table.take(observed[np.lexsort((table["row"].to_numpy()[observed], place))])


def of_shard(path: str | os.PathLike, columns: list[str], shard: int) -> pa.Table:
    """Rows of one shard, a row group of the file at a time; texts as numbers of an Arrow dictionary."""
    texts = [name for name in columns if name.endswith("_file")]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        parts = []
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, [*columns, "shard"], use_threads=False)
            parts.append(part.filter(pc.equal(part["shard"], shard)).select(columns))
        empty = file.schema_arrow.empty_table().select(columns)
    return pa.concat_tables(parts or [empty]).unify_dictionaries()


def blocks(
    rows: pa.Table, paths: Sequence[str | os.PathLike], size: int
) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Yield (path, targetid (n,), row (n,)) with at most `size` rows of one file at a time.

    Raises
    ------
    BadInput : a file that the galaxies name is not among `paths`, or one path is given twice.
    """
    found = by_name(paths)
    targetid, row = rows["targetid"].to_numpy(), rows["row"].to_numpy()
    files = rows["file"].combine_chunks()
    number = files.indices.to_numpy()
    for code in dict.fromkeys(number.tolist()):  # in the order of the rows
        path = named(found, files.dictionary[code].as_py())
        places = np.flatnonzero(number == code)
        for start in range(0, len(places), size):
            block = places[start : start + size]
            yield path, targetid[block], row[block]


class Quarantine:
    """Broken samples of one shard: counted by reason, written as csv (targetid, file, row, reason)."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, int, str]] = []

    def add(self, path: Path, targetid: np.ndarray, row: np.ndarray, reasons: np.ndarray) -> np.ndarray:
        """Note every sample whose reason is not empty; return the (n,) mask of good samples."""
        good = reasons == ""
        for i in np.flatnonzero(~good):
            self.rows.append((int(targetid[i]), path.name, int(row[i]), str(reasons[i])))
        return good

    def write(self, path: str | os.PathLike) -> None:
        """Write the csv (a header alone when nothing was broken) and say the counts in the log."""
        write_quarantine(path, self.rows)
        for reason in sorted({row[3] for row in self.rows}):
            log.warning("quarantined %d: %s (see %s)", sum(row[3] == reason for row in self.rows), reason, path)


def write_quarantine(path: str | os.PathLike, rows: Sequence[Sequence]) -> None:
    """Write rows of (targetid, file, row, reason) as csv, atomically."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(QUARANTINE_COLUMNS)
        writer.writerows(rows)
