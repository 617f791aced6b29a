"""A step in parts, whose gradients add up: a batch that does not fit in memory trains as one that does.

Samples, masks and dropped branches of a galaxy are those of the whole batch (`Draws`), so that a loss that is a mean
over galaxies has the same gradient in any number of parts, but for the order of sums.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from skyloom.core.errors import BadConfig
from skyloom.nn.batch import Batch
from skyloom.settings.training import Training


def batch_size(settings: Training, galaxies: int, world: int) -> int:
    """Galaxies in a step of all processes: as many as set, or, of fewer `galaxies`, all that can be shared out.

    Raises
    ------
    BadConfig : the batch cannot be shared out.
    """
    shares = world * settings.accumulate
    if settings.batch_size % shares:
        parts = f"the {world} processes" + (f" times accumulate {settings.accumulate}" * (settings.accumulate > 1))
        raise BadConfig(f"training.batch_size: {settings.batch_size} is not a multiple of {parts}")
    return min(settings.batch_size, galaxies // shares * shares)


def parts(
    wrapped: nn.Module, batch: Batch, count: int, rank: int, world: int
) -> Iterator[tuple[slice, Batch, contextlib.AbstractContextManager]]:
    """The parts of this process's batch: their rows in the batch of all processes, their galaxies, and what to compute
    them in. Processes exchange gradients in the last part alone."""
    size = len(batch) // count
    for part in range(count):
        rows = slice(rank + world * part * size, rank + world * (part + 1) * size, world)
        waits = part < count - 1 and isinstance(wrapped, DistributedDataParallel)
        chosen = batch if count == 1 else batch.rows(slice(part * size, (part + 1) * size))
        yield rows, chosen, wrapped.no_sync() if waits else contextlib.nullcontext()


def means(found: list[dict[str, Tensor]], norm: Tensor) -> dict[str, Tensor]:
    """The mean of each number over parts, loss first, and the `norm` of the gradient."""
    mean = {name: torch.stack([part[name].detach().float() for part in found]).mean() for name in found[0]}
    return {"loss": mean.pop("loss"), "grad_norm": norm, **mean}
