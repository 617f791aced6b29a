"""Batch normalisation over the batch of all processes, so that several train as one does."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from skyloom.nn import distributed


class BatchNorm(nn.Module):
    """Each channel of (B, C, H, W) with mean 0 and deviation 1, times a weight, plus a bias (Ioffe & Szegedy 2015).

    In training mean and variance are those of the whole batch, pixels of all processes included; else running means.
    """

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5):
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        running = self.running_mean, self.running_var
        if not self.training or distributed.world_size() == 1:
            return functional.batch_norm(
                x, *running, self.weight, self.bias, self.training, self.momentum, self.epsilon
            )
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float()
            mean = Mean.apply(wide.mean((0, 2, 3)))
            centred = wide - mean[:, None, None]
            variance = Mean.apply(centred.square().mean((0, 2, 3)))
            count = x.numel() // x.shape[1] * distributed.world_size()
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            factor = self.weight * (variance + self.epsilon).rsqrt()
            return (centred * factor[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class Mean(torch.autograd.Function):
    """Mean of a tensor over processes. Its gradient is the mean of theirs: the loss is the mean over processes too."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return averaged(value)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        return averaged(grad)


def averaged(value: Tensor) -> Tensor:
    """A new tensor, the mean over processes."""
    total = value.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()
