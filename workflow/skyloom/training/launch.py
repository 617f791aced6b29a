"""Training with the GPUs that a job was given: in its own process, or by torchrun in one process a GPU."""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from skyloom.core.errors import SkyloomError
from skyloom.settings import kinds
from skyloom.training.run import train

log = logging.getLogger(__name__)


def asked(resources: Mapping[str, object]) -> int:
    """GPUs that a job asked for: `gpu`, or Slurm's generic resources, `gres` as `gpu`, `gpu:4` or `gpu:h100:4`."""
    generic = re.fullmatch(r"gpu(:[A-Za-z_][\w.]*)?(:(?P<count>\d+))?", str(resources.get("gres", "")))
    return max(int(resources.get("gpu") or 0), int(generic["count"] or 1) if generic else 0)


def processes(asked: int) -> int:
    """How many processes train: one for each GPU asked for that this job may see, and one without any.

    A scheduler says in CUDA_VISIBLE_DEVICES which GPUs are the job's.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        import torch

        return max(1, min(asked, torch.cuda.device_count()))
    return max(1, min(asked, len([name for name in visible.split(",") if name.strip() not in ("", "-1")])))


def launch(count: int, extensions: Iterable[str] = (), **request: object) -> None:
    """`skyloom.training.run.train` with the arguments `request`, in `count` processes.

    Numbers do not depend on `count` beyond rounding: every process draws for the whole batch and keeps its rows.

    Raises
    ------
    As `train`; SkyloomError with the first process's own line where one of several failed.
    """
    if count == 1:
        kinds.extend(extensions)
        train(**request)
        return
    with tempfile.TemporaryDirectory(prefix="skyloom-") as folder:
        path, said = Path(folder, "request.json"), Path(folder, "error")
        path.write_text(json.dumps({"extensions": list(extensions), "request": _plain(request)}))
        log.info("%d processes, one a GPU", count)
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        done = subprocess.run([sys.executable, *command, "--module", "skyloom.training.launch", str(path)], check=False)
        if done.returncode:
            text = said.read_text() if said.exists() else f"the processes ended with {done.returncode}; see the log"
            raise SkyloomError(text)


def _plain(value: object) -> object:
    """Paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def main() -> None:
    """What torchrun starts: a request from a file; its error goes into the file `error` beside it."""
    path = Path(sys.argv[1])
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(asctime)s %(message)s")
    given = json.loads(path.read_text())
    kinds.extend(given["extensions"])
    try:
        train(**given["request"])
    except SkyloomError as error:
        if first:
            path.with_name("error").write_text(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
