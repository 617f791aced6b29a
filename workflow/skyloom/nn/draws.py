"""Random numbers of a step as a pure function of (seed, step): the same after a restart and on any number of ranks."""

import contextlib
import contextvars
import hashlib
from collections.abc import Iterator

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

    def shared(self, *shape: int) -> Tensor:
        """(*shape) uniform in [0, 1), one draw for all samples of the batch, the same on every rank."""
        return torch.rand(*shape, generator=self._generator, device=self.device)

    def of_rows(self, count: int) -> Tensor | None:
        """(count,) uniform in [0, 1) for several views of the samples laid end to end; None if they are no such."""
        own = len(range(self.total)[self.rows])
        if not own or count % own:
            return None
        return self.uniform(count // own).T.flatten()


_drawing: contextvars.ContextVar[Draws | None] = contextvars.ContextVar("draws", default=None)


@contextlib.contextmanager
def drawing(draws: Draws) -> Iterator[None]:
    """Let the layers of a network take what they draw (`uniform_rows`) from `draws`."""
    token = _drawing.set(draws)
    try:
        yield
    finally:
        _drawing.reset(token)


def uniform_rows(count: int, device: torch.device) -> Tensor:
    """(count,) uniform in [0, 1), a number for each row that a layer of a network sees.

    Under `drawing` a sample gets the same number on any number of ranks. Rows that are not whole views of the batch
    (some samples of it only) get numbers of torch's own generator.
    """
    draws = _drawing.get()
    found = draws.of_rows(count) if draws else None
    return torch.rand(count, device=device) if found is None else found.to(device)


def number(*parts: object) -> int:
    """A 63-bit seed made of several values."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1
