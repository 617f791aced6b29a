"""SHA-256 of files, taken once for each content: a cache that trusts a file only while nothing about it has changed."""

import contextlib
import hashlib
import json
import os
import threading
import time
from pathlib import Path

from skyloom.core.files import sha256

CACHE = Path(".snakemake", "skyloom", "digests")  # beside Snakemake's own notes; removing it costs time only
TICK = 20_000_000  # ns; the kernel's clock of files ticks every 1 to 10 ms


def digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file, from the cache if its size, times and inode are those of when it was taken.

    The time of change (ctime) is among them, which no copying program can set: `rsync -a` and `cp -p` bring other
    content with an older time of modification, even with the same. Raises OSError when the file cannot be read.
    """
    before = _state(path)
    if (known := cached(path)) is not None:
        return known
    started = time.time_ns()
    value = sha256(path)
    # A file changed within the last tick could change once more without its times showing it.
    if _state(path) == before and started - before[2] > TICK:
        remember(path, value)
    return value


def cached(path: str | os.PathLike) -> str | None:
    """The SHA-256 in the cache, None if the file is not what it was then."""
    try:
        *state, value = json.loads(_entry(path).read_text())
    except (OSError, ValueError):
        return None
    return value if state == _state(path) else None


def remember(path: str | os.PathLike, value: str) -> None:
    """Put the SHA-256 of a file as it is now into the cache. An unwritable cache is none."""
    entry = _entry(path)
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_name(f"{entry.name}-{os.getpid()}-{threading.get_ident()}")
        temporary.write_text(json.dumps([*_state(path), value]))  # with the umask's mode: others may read it
        os.replace(temporary, entry)


def _state(path: str | os.PathLike) -> list[int]:
    """Size, times of modification and change (ns) and inode of the file that a path leads to."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _entry(path: str | os.PathLike) -> Path:
    """Where the cache keeps a file's digest."""
    key = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return CACHE / key[:2] / key
