"""Locks that end with their process, however it ends: advisory locks of the kernel (flock) on small files."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# What file systems without such locks answer (NFS without a lock daemon, Lustre mounted without `flock`).
UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
MISSING = "no file locks on this file system"


@contextlib.contextmanager
def waiting_lock(
    path: str | os.PathLike, say: Callable[[str], None], warn: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock file `path`, after whoever holds it now.

    The file is removed at the end. A waiter may therefore hold the lock of a file that is gone, as after somebody
    deleted it by hand: it looks whether `path` is still the file it locked, and begins anew if not.

    Parameters
    ----------
    say
        Gets one line when the lock is taken and this process has to wait.
    warn
        Gets one line when the file system has no locks: then the body runs without one. `say` unless given.
    """
    path = Path(path)
    said = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not said and not try_lock(descriptor):
                say(f"waiting for an earlier run of the same job to end (it holds {path})")
                said = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # of a lock already held: nothing
        except OSError as error:
            os.close(descriptor)
            if error.errno not in UNSUPPORTED:
                raise
            (warn or say)(f"{path}: {MISSING}; do not start a run while jobs of a killed one still work")
            yield
            return
        if _is_named(descriptor, path):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file without waiting; False if another process holds it. Raises OSError where locks are missing."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_if_possible(descriptor: int) -> bool:
    """Lock an open file, after whoever holds it; False where locks are missing."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    """True if `path` is the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
