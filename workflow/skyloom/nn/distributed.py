"""What several processes need (started by torchrun): a process group, collectives that work with one process too."""

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor


@contextlib.contextmanager
def process_group(device: str) -> Iterator[tuple[int, int]]:
    """Yield (rank, number of processes); under torchrun join the others first (gloo on CPU, nccl on GPU).

    A group that the caller has made is used as it is.
    """
    if dist.is_initialized() or os.environ.get("WORLD_SIZE", "1") == "1":
        yield (dist.get_rank() if dist.is_initialized() else 0), world_size()
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Number of processes; 1 when there is no process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over processes, without gradient."""
    if world_size() == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def total(value: Tensor) -> Tensor:
    """Sum of a tensor over processes, without gradient."""
    return mean(value) * world_size()


def largest(value: Tensor) -> Tensor:
    """Largest of a tensor over processes, element by element, without gradient."""
    found = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return found


def deviation(values: Tensor) -> Tensor:
    """Standard deviation of all values of all processes (as many in each), without gradient."""
    centre = mean(values.mean())
    return mean((values.detach() - centre).square().mean()).sqrt()


def gather(rows: Tensor) -> Tensor:
    """Rows of all processes in the order of ranks, (B, d) -> (B * processes, d).

    Gradients flow to the rows of this process, scaled by the number of processes: every process computes the loss of
    the whole batch from the result, and averaging gradients over processes then gives the gradient of that loss.
    """
    count = world_size()
    if count == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(count)]
    dist.all_gather(parts, rows.detach().contiguous())
    parts[dist.get_rank()] = rows * count - rows.detach() * (count - 1)
    return torch.cat(parts)


def gather_mask(rows: Tensor) -> Tensor:
    """A (B,) bool of each process in the order of ranks, (B * processes,)."""
    count = world_size()
    if count == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(count)]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def own_rows(rows: Tensor) -> Tensor:
    """The rows that this process put into `gather`."""
    return rows if world_size() == 1 else rows.chunk(world_size())[dist.get_rank()]
