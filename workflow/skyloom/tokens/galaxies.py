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
    Table with columns targetid, file, row

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
        table = pq.read_table(galaxies_path, columns=list(columns), filters=[("shard", "=", shard)])
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{galaxies_path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    table = table.rename_columns([columns[name] for name in table.column_names])
    observed = table.filter(pc.not_equal(table["file"], ""))
    if len(observed) < len(table):
        log.info("shard %d: %d of %d galaxies have no %s", shard, len(table) - len(observed), len(table), prefix)
    return observed.sort_by([("file", "ascending"), ("row", "ascending")])


def blocks(
    rows: pa.Table, paths: Sequence[str | os.PathLike], size: int
) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Yield (path, targetid (n,), row (n,)) with at most `size` rows of one file at a time.

    Raises
    ------
    BadInput : a file that the galaxies name is not among `paths`, or one path is given twice.
    """
    found = by_name(paths)
    files = np.asarray(rows["file"].to_pylist(), dtype=object)
    targetid, row = rows["targetid"].to_numpy(), rows["row"].to_numpy()
    for name in dict.fromkeys(files):
        path = named(found, name)
        places = np.flatnonzero(files == name)
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
