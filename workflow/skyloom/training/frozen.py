"""What never changes of the samples while a model is trained, computed once: tokens of frozen backbones."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from skyloom.training.data import Samples

log = logging.getLogger(__name__)

RESIDENT_TOKENS = 2 * 2**30  # bytes held in memory; more go to a file


@torch.no_grad()
def hold_tokens(objective: nn.Module, samples: "Samples", folder: Path, rank: int, tell: Callable[[str], None]) -> None:
    """Replace the samples of training and validation by what the objective computes of them (half precision).

    Parameters
    ----------
    objective : with `precompute` (`skyloom.training.objective`)
    folder : where files go, one a process
    tell : is called with a line about the progress
    """
    indices = samples.learnt()
    objective.eval()
    held: dict[str, dict[str, Tensor]] = {}
    start = time.monotonic()
    for rows in np.array_split(np.arange(len(indices)), math.ceil(len(indices) / 64)):
        part = objective.precompute(samples.batch(indices[rows]))
        for modality, datasets in part.items():
            room = held.setdefault(modality, {})
            for name, tensor in datasets.items():
                if name not in room:
                    path = folder / f"tokens-{modality}-{name}-{rank}.f2"
                    room[name] = room_for((len(indices), *tensor.shape[1:]), samples.device, path)
                room[name][torch.from_numpy(rows)] = tensor.to(torch.float16).to(room[name].device)
        done = int(rows[-1]) + 1
        tell(f"tokens of {done} of {len(indices)} galaxies, {time.monotonic() - start:.0f} s")
    samples.hold(held, indices)
    size = sum(tensor.nbytes for part in held.values() for tensor in part.values()) / 2**20
    log.info("tokens of %d galaxies: %.0f MiB in %.0f s", len(indices), size, time.monotonic() - start)


def room_for(shape: tuple[int, ...], device: str, path: Path) -> Tensor:
    """Where tokens are kept: on the device, or in a file when they are many."""
    if 2 * math.prod(shape) <= RESIDENT_TOKENS:
        return torch.empty(shape, dtype=torch.float16, device=device)
    path.parent.mkdir(parents=True, exist_ok=True)
    return torch.from_numpy(np.memmap(path, np.float16, "w+", shape=shape))
