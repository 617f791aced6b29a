"""Files that are either whole or not there: write to a temporary name beside the target, then rename."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from skyloom.core.errors import SkyloomError


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any error it is removed.

    The temporary name keeps the suffix (libraries choose a format by it) and carries the process id, so that two
    processes writing the same result never mix. Raises SkyloomError with one line when the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        free = shutil.disk_usage(path.parent).free  # before the temporary file gives its room back
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        # HDF5 hides errno behind messages of its own: a write that failed on a full disk failed for that.
        if is_disk_full(error) or (isinstance(error, OSError | RuntimeError) and free < 2**20):
            raise SkyloomError(
                f"{path}: the disk is full ({free / 2**20:.1f} MiB left); nothing half-written stays"
            ) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """True if `error`, or what caused it, is the system's "no space left" or "quota exceeded"."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` atomically as sorted, indented JSON (the same value gives the same bytes)."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
