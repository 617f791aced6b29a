"""Random numbers of a step as a pure function of (seed, step): the same after a restart and on any number of ranks."""

import hashlib

import torch
from torch import Tensor


class Draws:
    """Random numbers for the samples of one global batch; a rank draws for all of them and keeps its own rows.

    So a run on several ranks masks and augments each sample as a run on one rank does.

    Parameters
    ----------
    seed, step : what the numbers depend on
    total : samples in the global batch
    rows : the samples of this rank
    device : where the numbers are drawn (CPU and GPU generators differ)
    """

    def __init__(self, seed: int, step: int | str, total: int, rows: slice | None = None, device: str = "cpu"):
        self.total, self.rows, self.device = total, rows or slice(0, total), device
        self._generator = torch.Generator(device).manual_seed(number(seed, step))

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) uniform in [0, 1)."""
        return torch.rand(self.total, *shape, generator=self._generator, device=self.device)[self.rows]

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) standard normal."""
        return torch.randn(self.total, *shape, generator=self._generator, device=self.device)[self.rows]

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """(B, *shape) integers, low <= i < high."""
        return torch.randint(low, high, (self.total, *shape), generator=self._generator, device=self.device)[self.rows]


def number(*parts: object) -> int:
    """A 63-bit seed made of several values."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1
