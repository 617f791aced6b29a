"""Answers as files: Parquet, VOTable, CSV."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from skyloom.core.errors import BadConfig
from skyloom.core.files import atomic
from skyloom.formats import votables

FORMS = (".parquet", ".vot", ".csv")
"""Endings of the names of answers."""


def write_answers(table: pa.Table, path: str | os.PathLike) -> None:
    """Write a table of answers in the form that its name ends in; BadConfig for another ending."""
    path = Path(path)
    if path.suffix not in FORMS:
        raise BadConfig(f"{path}: answers are written to files that end in {', '.join(FORMS)}")
    if path.suffix == ".vot":
        votables.write_votable(path, "answers", _words(table), _batches(table), table.schema)
        return
    with atomic(path) as temporary:
        if path.suffix == ".parquet":
            pq.write_table(table, temporary, compression="zstd")
        else:
            pyarrow.csv.write_csv(table, temporary)


def votable_bytes(table: pa.Table, name: str, infos: Mapping[str, str] | None = None) -> bytes:
    """A table as a VOTable.

    Parameters
    ----------
    infos : what it says of itself, name -> value
    """
    with tempfile.TemporaryDirectory(prefix="skyloom-") as folder:
        path = Path(folder, "table.vot")
        votables.write_votable(path, name, _words(table), _batches(table), table.schema, infos or {})
        return path.read_bytes()


def _batches(table: pa.Table) -> votables.Batches:
    def batches(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        yield table if columns is None else table.select(columns)

    return batches


def _words(table: pa.Table) -> str:
    about = {key.decode(): word.decode() for key, word in (table.schema.metadata or {}).items()}
    return f"Galaxies of {about.get('survey', 'a survey')}" + (
        f", neighbours in {about['embedding']}" if "embedding" in about else ""
    )
