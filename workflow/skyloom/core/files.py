"""Files that are either whole or not there: write in a temporary folder beside the target, then rename."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from skyloom.core.errors import SkyloomError

PARTIAL = re.compile(r"\.partial-(?P<host>.+)-(?P<process>\d+)-[a-z0-9_]{8}")


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path for `path`; on success it becomes `path`, on any error it is removed.

    The temporary file has the name of the final one, since libraries choose a format by it and archives keep it inside.
    It lies in a folder of its own beside `path`, called ``.partial-HOST-PROCESS-xxxxxxxx``: two writers of the same
    result never mix, and `sweep` can tell whose writer is dead. Raises SkyloomError with one line when the disk is
    full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".partial-{socket.gethostname()}-{os.getpid()}-", dir=path.parent))
    temporary = folder / path.name
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        free = shutil.disk_usage(path.parent).free  # before the temporary file gives its room back
        # HDF5 hides errno behind messages of its own: a write that failed on a full disk failed for that.
        if is_disk_full(error) or (isinstance(error, OSError | RuntimeError) and free < 2**20):
            raise SkyloomError(
                f"{path}: the disk is full ({free / 2**20:.1f} MiB left); nothing half-written stays"
            ) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike, last: str) -> Iterator[Path]:
    """Yield a temporary folder; on success what is in it replaces all that is in the folder `path`, on any error it is
    removed.

    The file `last` goes first and comes last: where it is, the folder is whole. Other than a file, a folder cannot be
    replaced at once. Raises SkyloomError as `atomic` does.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        with scratch(path.parent, path.name) as temporary:
            yield temporary
            _replace_all(path, temporary, last)
    except BaseException as error:
        if is_disk_full(error):
            raise SkyloomError(f"{path}: the disk is full; nothing half-written stays") from error
        raise


@contextlib.contextmanager
def scratch(folder: str | os.PathLike, name: str) -> Iterator[Path]:
    """Yield a new folder `name` for files that go in the end, in one of those that `sweep` removes if they cannot."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    outer = Path(tempfile.mkdtemp(prefix=f".partial-{socket.gethostname()}-{os.getpid()}-", dir=folder))
    try:
        (outer / name).mkdir()
        yield outer / name
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _replace_all(path: Path, new: Path, last: str) -> None:
    """See `atomic_folder`."""
    (path / last).unlink(missing_ok=True)
    for old in path.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for entry in sorted(new.iterdir(), key=lambda entry: (entry.name == last, entry.name)):
        os.replace(entry, path / entry.name)


def sweep(folder: str | os.PathLike) -> list[Path]:
    """Remove what killed writers left under `folder`: temporary folders of `atomic` whose process is dead.

    Those of live processes stay, and those of other hosts, whose processes cannot be seen from here. Returns what was
    removed.
    """
    host, removed = socket.gethostname(), []
    for parent, folders, _ in os.walk(folder):
        for name in [name for name in folders if name.startswith(".partial-")]:
            folders.remove(name)
            found = PARTIAL.fullmatch(name)
            if found and found["host"] == host and not _is_alive(int(found["process"])):
                shutil.rmtree(Path(parent, name), ignore_errors=True)
                removed.append(Path(parent, name))
    return removed


def _is_alive(process: int) -> bool:
    """True if a process of this number runs on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


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
