"""The checksum manifest of a survey's raw files."""

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.core.provenance import digest
from skyloom.settings.names import LISTED

COLUMNS = ["file", "bytes", "sha256"]


def write_manifest(
    files: Iterable[str | os.PathLike],
    manifest: str | os.PathLike,
    others: Iterable[str | os.PathLike] = (),
) -> None:
    """Write ``file, bytes, sha256`` for each raw file, sorted by name, names relative to the manifest's folder; the
    lines of `others`, manifests in the same folder, are among them."""
    folder = Path(manifest).parent
    rows = [[os.path.relpath(path, folder), str(os.path.getsize(path)), digest(path)] for path in files]
    rows += [row for other in others for row in _rows(other)]
    with atomic(manifest) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows))


def files_of(manifest: str | os.PathLike) -> list[str]:
    """The files that a manifest lists, as paths; BadInput when one is no longer there."""
    paths = [str(Path(manifest).parent / row[0]) for row in _rows(manifest)]
    gone = [path for path in paths if not os.path.exists(path)]
    if gone:
        raise BadInput(
            f"{gone[0]}: no longer there ({len(gone)} of the {len(paths)} files of {manifest}); delete the manifest and"
            " rerun, then they are made again"
        )
    return paths


def files_or_listed(paths: Iterable[str | os.PathLike]) -> list[str]:
    """Files as they are given, or, if it is a manifest, those that it lists."""
    given = [str(path) for path in paths]
    return files_of(given[0]) if len(given) == 1 and given[0].endswith(".csv") else given


def files_by_role(inputs: Mapping[str, Iterable[str | os.PathLike]]) -> dict[str, list[str]]:
    """The raw files of each role, given those files or, for the roles of LISTED, the manifest of them."""
    return {
        role: [path for given in paths for path in (files_of(given) if role in LISTED else [str(given)])]
        for role, paths in inputs.items()
    }


def _rows(manifest: str | os.PathLike) -> list[list]:
    with open(manifest, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if next(reader, None) != COLUMNS:
            raise BadInput(f"{manifest}: first line must be {','.join(COLUMNS)}; delete it and rerun")
        return list(reader)
