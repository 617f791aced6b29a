"""The checksum manifest of a survey's raw files."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from skyloom.core.files import atomic
from skyloom.core.provenance import digest


def write_manifest(files: Iterable[str | os.PathLike], manifest: str | os.PathLike) -> None:
    """Write ``file, bytes, sha256`` for each raw file, sorted by name, names relative to the manifest's folder."""
    folder = Path(manifest).parent
    rows = sorted((os.path.relpath(path, folder), os.path.getsize(path), digest(path)) for path in files)
    with atomic(manifest) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "bytes", "sha256"])
        writer.writerows(rows)
