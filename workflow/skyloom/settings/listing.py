"""The list of a survey's raw files that only its catalogue can tell: written once, then read by the Snakefile.

``results/{survey}/raw/files.json`` holds the files by role and what they were chosen by; a list that was made by other
settings counts as none. ``wanted.parquet`` beside it has the galaxies, a row each.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from skyloom.core.files import write_json

FILES, WANTED = "files.json", "wanted.parquet"


@dataclass(frozen=True)
class Listed:
    """A raw file with wanted galaxies: its role, its name below the raw folder, how many galaxies, the coadd whose
    galaxies they are, and which (a digest of what of them the file is made of; empty where the archive has the file as
    it is), and what it is made of (the `parts` of its kind of survey turn that into names of raw files)."""

    role: str
    file: str
    galaxies: int = 0
    coadd: str = ""
    digest: str = ""
    parts: tuple[str, ...] = ()


def key(values: Mapping) -> str:
    """What a list was chosen by, in short."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write(path: str | os.PathLike, chosen_by: str, files: Sequence[Listed]) -> None:
    """Write the list."""
    entries = [{name: value for name, value in asdict(file).items() if value} for file in files]
    write_json(path, {"chosen_by": chosen_by, "files": entries})


def read(path: str | os.PathLike, chosen_by: str) -> tuple[Listed, ...] | None:
    """The list; None if there is none, or one that other settings made."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    found, files = _read(str(path), state.st_mtime_ns, state.st_size, state.st_ino)
    return files if found == chosen_by else None


@functools.lru_cache(maxsize=16)
def _read(path: str, *state: int) -> tuple[str, tuple[Listed, ...]]:
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        files = (Listed(**{**entry, "parts": tuple(entry.get("parts", ()))}) for entry in values["files"])
        return values["chosen_by"], tuple(files)
    except (ValueError, KeyError, TypeError):
        return "", ()
