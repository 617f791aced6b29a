"""What surrounds every rule's script: log, error line, progress, provenance, a wait for leftovers of killed runs."""

import contextlib
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from skyloom.core import provenance
from skyloom.core.errors import SkyloomError
from skyloom.core.locks import MISSING, UNSUPPORTED, try_lock, waiting_lock

log = logging.getLogger("skyloom")
STATE = ".snakemake"  # the folder, in the one the workflow runs in, of what is not a result
ERRORS = "skyloom.errors"  # in it: the error lines of the jobs of this run


class _Terminal:
    """Where the running job may speak, and when it last did."""

    stream: TextIO | None = None
    name = ""
    spoke = -float("inf")  # s, time.monotonic


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
    path = Path(snakemake.log[0])
    name = " ".join([snakemake.rule, *(str(value) for _, value in snakemake.wildcards.items())])

    def say(line: str) -> None:
        print(f"{name}: {line}", file=terminal, flush=True)

    lacking: list[str] = []  # for the log: the run has told the terminal (`only_run`)
    with terminal, waiting_lock(lock_path(path), say, lacking.append), _own_log(path):
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
        logging.captureWarnings(True)
        for line in lacking:
            log.warning(line)
        log.info("%s %s", snakemake.rule, " ".join(f"{k}={v}" for k, v in snakemake.wildcards.items()))
        _Terminal.stream, _Terminal.name = terminal, name
        try:
            inputs = provenance.inputs_of(snakemake)
            yield
            for changed in provenance.record(snakemake, inputs):
                log.warning("%s changed while this job ran", changed)
                say(f"{changed} changed while this job read it; the next run makes its results again")
        except Exception as error:
            log.exception("failed")
            message = str(error) if isinstance(error, SkyloomError) else f"{type(error).__name__}: {error}"
            print(f"{snakemake.rule}: {message}", file=terminal, flush=True)
            _keep(f"{name}: {message} (log: {path})")
            sys.exit(1)
        finally:
            _Terminal.stream = None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        log.info("done in %.1f s, peak memory %.0f MiB", time.monotonic() - start, peak)


def progress(text: str, every: float = 15.0) -> None:
    """Tell the terminal how far the running job is, at most once in `every` seconds; nothing outside a `job`.

    Whole lines, not one that is overwritten: several jobs and Snakemake itself share the terminal.
    """
    now = time.monotonic()
    if _Terminal.stream is not None and now - _Terminal.spoke >= every:
        _Terminal.spoke = now
        print(f"{_Terminal.name}: {text}", file=_Terminal.stream, flush=True)


def lock_path(log_path: str | os.PathLike) -> Path:
    """``results/mock/logs/x.log`` -> ``results/.locks/mock/logs/x.log.lock``, a file that Snakemake does not know.

    A Snakemake killed with SIGKILL leaves its jobs running. The lock makes the rerun of a job wait for such a leftover,
    so that two processes never write the same outputs or checkpoints. It cannot be on the log: Snakemake deletes that
    before it starts a job again, and the rerun would lock a new file.
    """
    path = Path(log_path)
    top = path.parent if path.is_absolute() else Path(*path.parts[:1] if len(path.parts) > 1 else ())
    return top / ".locks" / path.relative_to(top).with_name(f"{path.name}.lock")


@contextlib.contextmanager
def _own_log(path: Path) -> Iterator[None]:
    """Point file descriptors 1 and 2 at the log, emptied."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _keep(line: str) -> None:
    """Keep an error line for the end of the run."""
    with contextlib.suppress(OSError), open(Path(STATE, ERRORS), "a") as file:
        file.write(line.replace("\n", " ") + "\n")


def errors(folder: str = STATE) -> list[str]:
    """The error lines of the jobs of this run, to be shown again when Snakemake's own have scrolled them away."""
    path = Path(folder, ERRORS)
    return list(dict.fromkeys(path.read_text().splitlines())) if path.exists() else []


@contextlib.contextmanager
def only_run(folder: str = STATE) -> Iterator[None]:
    """Hold the lock of this working folder, so that two workflows do not write the same results, and begin a run.

    Snakemake's own lock survives a SIGKILL and then has to be removed by hand; this one ends with its process. Raises
    SkyloomError when another run holds it.
    """
    Path(folder).mkdir(exist_ok=True)
    with open(Path(folder) / "skyloom.lock", "a+") as file:
        try:
            if not try_lock(file.fileno()):
                file.seek(0)
                raise SkyloomError(
                    f"another run works in this folder (process {file.read().strip()}); wait for it or stop it"
                )
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            print(
                f"{MISSING}: do not start two runs in this folder, nor one while jobs of a killed one still work",
                file=sys.stderr,
                flush=True,
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        Path(folder, ERRORS).unlink(missing_ok=True)
        yield
