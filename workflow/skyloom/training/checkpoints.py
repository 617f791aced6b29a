"""Checkpoints: one safetensors file each, whole or not there, checked when read; nothing is ever unpickled.

A checkpoint holds named tensors and, in the file's metadata, a JSON state and a SHA-256 over the tensors. A run (`key`:
a hash of config, data and code) has a folder of its own and never touches that of another.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from skyloom.core.files import atomic

log = logging.getLogger(__name__)

KEPT = 2


class Checkpoints:
    """The checkpoints of one run, in ``{parent}/{the first 16 digits of key}``.

    Parameters
    ----------
    parent : where runs have their folders; made when first needed
    key : identity of the run
    """

    def __init__(self, parent: str | os.PathLike, key: str):
        self.folder, self.key = Path(parent, key[:16]), key

    def save(self, step: int, tensors: dict[str, Tensor], state: dict) -> None:
        """Write a checkpoint and remove all but the newest ones."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        metadata = {"key": self.key, "state": json.dumps({**state, "step": step}), "sha256": digest(tensors)}
        written = self.folder / f"step-{step:08d}.safetensors"
        write_tensors(written, tensors, metadata)
        files = self._newest_first()
        place = files.index(written)
        # what is newer than the newest one is damaged
        for needless in files[:place] + files[place + KEPT :]:
            needless.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """Tensors and state of the newest good checkpoint of this run, or None.

        Damaged ones are skipped, which is said in the log, as is that there are checkpoints of other runs.
        """
        others = sum(path.is_dir() and path != self.folder for path in self.folder.parent.glob("*"))
        if others:
            log.info("%s: also of %d runs with another config, data or code, which stay", self.folder.parent, others)
        for path in self._newest_first():
            try:
                tensors, metadata = _read(path)
                if metadata["key"] != self.key:
                    raise ValueError("it is of another run")
                if digest(tensors) != metadata["sha256"]:
                    raise ValueError("its tensors do not match their checksum")
                return tensors, json.loads(metadata["state"])
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                log.warning("%s: the checkpoint is damaged (%s): trying the one before", path, error)
        return None

    def remove(self) -> None:
        """Remove the folder of this run, which is over, and the one above it when nothing else is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 (not a dict)


def write_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write CPU tensors atomically as safetensors, readable by whom the umask allows (the library makes it private)."""
    with atomic(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, metadata)
        temporary.chmod(mode)


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names and bytes of CPU tensors."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
