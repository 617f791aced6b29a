"""The checksum manifest of a survey's raw files."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.core.provenance import digest

COLUMNS = ["file", "bytes", "sha256"]


def write_manifest(files: Iterable[str | os.PathLike], manifest: str | os.PathLike) -> None:
    """Write ``file, bytes, sha256`` for each raw file, sorted by name, names relative to the manifest's folder."""
    folder = Path(manifest).parent
    rows = sorted((os.path.relpath(path, folder), os.path.getsize(path), digest(path)) for path in files)
    _write(manifest, rows)


def gather_manifests(manifests: Iterable[str | os.PathLike], path: str | os.PathLike) -> None:
    """One manifest of several, sorted by name."""
    _write(path, sorted(row for manifest in manifests for row in _rows(manifest)))


def files_of(manifest: str | os.PathLike) -> list[str]:
    """The files that a manifest lists, as paths."""
    return [str(Path(manifest).parent / row[0]) for row in _rows(manifest)]


def _rows(manifest: str | os.PathLike) -> list[list]:
    with open(manifest, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if next(reader, None) != COLUMNS:
            raise BadInput(f"{manifest}: first line must be {','.join(COLUMNS)}; delete it and rerun")
        return list(reader)


def _write(path: str | os.PathLike, rows: list) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
