"""Weights over processes: whole in each of them (DDP), or a part in each (FSDP2), by `training.sharding`.

What is kept of a training, checkpoints and models, holds whole tensors in either case: neither the number of processes
nor how they share the weights can be told from a file.
"""

import contextlib
import copy
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from skyloom.core.errors import BadConfig
from skyloom.nn import distributed
from skyloom.nn.blocks import Block


def sharded(objective: nn.Module, sharding: str) -> nn.Module:
    """What this process trains of an objective: itself, or a copy with a part of every parameter (FSDP2).

    Blocks of transformers (`skyloom.nn.blocks.Block`) are put together one at a time when they compute, all else as
    one. The copy's parameters have the names of the whole ones.

    Raises
    ------
    BadConfig : a parameter is a single number, which cannot be parted.
    """
    if sharding == "none" or distributed.world_size() == 1:
        return objective
    for name, parameter in objective.named_parameters():
        if not parameter.ndim:
            raise BadConfig(f"training.sharding: full is not allowed; {name} is a single number, expected an array")
    from torch.distributed.device_mesh import init_device_mesh  # these take a while to import
    from torch.distributed.fsdp import fully_shard

    objective = copy.deepcopy(objective)
    mesh = init_device_mesh(next(objective.parameters()).device.type, (distributed.world_size(),))
    for part in [*(module for module in objective.modules() if isinstance(module, Block)), objective]:
        # after every use: what is left whole would be out of date once its parts are changed
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    return objective


def communicating(objective: nn.Module) -> nn.Module:
    """What to call in training, so that gradients become the mean over processes."""
    if distributed.world_size() == 1 or any(map(is_part, objective.parameters())):
        return objective
    # find_unused_parameters also keeps gradients in the buckets of the first step. Else they are put into others in the
    # second step after every start, and sums of three processes and more have other roundings after a restart.
    return DistributedDataParallel(objective, forward_sync_buffers=False, find_unused_parameters=True)


def unfinished(wrapped: nn.Module) -> contextlib.AbstractContextManager:
    """Around a part of a step that is not its last: gradients that each process has whole need not meet yet."""
    return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else contextlib.nullcontext()


def release(whole: nn.Module) -> None:
    """Give back the memory of an objective's parameters while its sharded copy is trained."""
    for parameter in whole.parameters():
        parameter.data = parameter.data.new_empty(0)


def restore(whole: nn.Module, parts: nn.Module) -> None:
    """Give an objective the parameters and buffers of its sharded copy, put together; all processes call it."""
    found = dict(parts.named_parameters())
    for name, parameter in whole.named_parameters():
        parameter.data = complete(found[name].detach())
    for buffer, other in zip(whole.buffers(), parts.buffers(), strict=True):
        buffer.copy_(other)


def complete(tensor: Tensor) -> Tensor:
    """A tensor put together from all processes, which all call it; the tensor itself where each has it whole."""
    return tensor.full_tensor() if is_part(tensor) else tensor


def collected(tensors: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Whole tensors in the memory of the first process; all call it. One after another, so that a device has room."""
    found = {}
    for name, tensor in tensors.items():
        whole = complete(tensor.detach())
        if not rank:
            found[name] = whole.cpu()
    return found


def parted(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of `like`, and shared among processes as that is."""
    tensor = tensor.to(like.device)
    if not is_part(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def is_part(tensor: Tensor) -> bool:
    """Whether processes have parts of a tensor each."""
    return hasattr(tensor, "full_tensor")
