"""A queue of what networks said of galaxies in earlier steps, against which a contrastive loss compares."""

import torch
from torch import Tensor, nn

from skyloom.nn import distributed
from skyloom.nn.batch import Batch

NOBODY = torch.iinfo(torch.int64).min
"""Stands for the targetid of a row that is of no galaxy, or of an unknown one."""


class Queue(nn.Module):
    """What an objective with a queue is: rows of earlier steps, and whose they are; both are part of a checkpoint.

    Parameters
    ----------
    rows : (K, d) what is in the queue at the start, of no galaxy
    """

    def __init__(self, rows: Tensor):
        super().__init__()
        self.register_buffer("queue", rows)
        self.register_buffer("galaxies", torch.full((len(rows),), NOBODY))  # of the rows in the queue
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))  # its place in the queue

    def of(self, batch: Batch) -> Tensor:
        """The targetids of a batch, (B,) int64."""
        if batch.targetid is None:
            return torch.full((len(batch),), NOBODY, device=batch.device)
        return batch.targetid

    def same(self, galaxies: Tensor) -> Tensor:
        """Which rows of the queue are of the same galaxy as each of (B,) targetids, (B, K) bool."""
        return (galaxies[:, None] == self.galaxies) & (galaxies != NOBODY)[:, None]

    @torch.no_grad()
    def put(self, rows: Tensor, galaxies: Tensor) -> None:
        """Rows (B, d) and their targetids (B,) take the place of the oldest ones in the queue."""
        rows, galaxies = rows[-len(self.queue) :], galaxies[-len(self.queue) :]
        places = (self.oldest + torch.arange(len(rows), device=rows.device)) % len(self.queue)
        self.queue[places], self.galaxies[places] = rows.to(self.queue.dtype), galaxies
        self.oldest.copy_((self.oldest + len(rows)) % len(self.queue))


def in_order(rows: Tensor) -> Tensor:
    """Rows of all processes in the order of the global batch, of which each process has every n-th."""
    return torch.stack(distributed.gather_mask(rows).chunk(distributed.world_size()), 1).flatten(0, 1)
