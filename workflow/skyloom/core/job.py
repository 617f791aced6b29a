"""What surrounds every rule's script: log, error line, provenance, and a guard against leftovers of a killed run."""

import contextlib
import fcntl
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from skyloom.core import provenance
from skyloom.core.errors import SkyloomError

log = logging.getLogger("skyloom")


@contextlib.contextmanager
def job(snakemake) -> Iterator[None]:
    """Run a rule's body: everything it prints goes to the rule's log, an error becomes one line for the terminal.

    Parameters
    ----------
    snakemake
        The object Snakemake hands to a script (input, output, params, log, rule, wildcards).

    A traceback is kept in the log; the terminal gets ``rule: message``. When the body ends well, every declared output
    gets a provenance record (see `skyloom.core.provenance`).
    """
    terminal = os.fdopen(os.dup(2), "w")
    start = time.monotonic()
    with _own_log(Path(snakemake.log[0]), terminal):
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
        logging.captureWarnings(True)
        log.info("%s %s", snakemake.rule, " ".join(f"{k}={v}" for k, v in snakemake.wildcards.items()))
        try:
            yield
            provenance.record(snakemake)
        except Exception as error:
            log.exception("failed")
            message = str(error) if isinstance(error, SkyloomError) else f"{type(error).__name__}: {error}"
            print(f"{snakemake.rule}: {message}", file=terminal, flush=True)
            sys.exit(1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        log.info("done in %.1f s, peak memory %.0f MiB", time.monotonic() - start, peak)


def progress(text: str) -> None:
    """Tell the terminal how far the running job is."""


@contextlib.contextmanager
def _own_log(path: Path, terminal) -> Iterator[None]:
    """Point file descriptors 1 and 2 at the log and hold its lock.

    A Snakemake killed with SIGKILL leaves its jobs running. The lock makes the rerun of a job wait for such a leftover,
    so that two processes never write the same outputs or checkpoints; the kernel drops it when a process ends, however.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for an earlier run of the same job to end (it still writes {path})", file=terminal, flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Snakemake may have removed the log while this process waited: then the path names nothing any more.
    if not path.exists():
        os.close(descriptor)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.close(descriptor)


@contextlib.contextmanager
def only_run(folder: str = ".snakemake") -> Iterator[None]:
    """Hold the lock of this working folder, so that two workflows do not write the same results.

    Snakemake's own lock survives a SIGKILL and then has to be removed by hand; this one ends with its process. Raises
    SkyloomError when another run holds it.
    """
    Path(folder).mkdir(exist_ok=True)
    path = Path(folder) / "skyloom.lock"
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise SkyloomError(
                f"another run works in this folder (process {file.read().strip()}); wait for it or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
