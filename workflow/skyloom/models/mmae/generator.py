"""Draw spectra that may belong to what a network sees: flow matching from noise to spectra (Lipman et al. 2023)."""

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.core.mixing import uniform
from skyloom.models.mmae.layers import Layer
from skyloom.models.mmae.shifts import Moved, tokens_of
from skyloom.nn.blocks import Linear
from skyloom.nn.draws import number

STEPS = 20
"""From noise to a spectrum."""
FREQUENCIES = 16


class Generator(nn.Module):
    """How the numbers of a spectrum's tokens move between noise, at time 0, and a spectrum, at time 1.

    Parameters
    ----------
    tokens, size : of a spectrum, and numbers in one
    dim, heads, layers : of attention, among the tokens and over what is seen
    moved : rest-frame templates of its own, which it is told of at the redshift of the spectrum, or None
    """

    def __init__(self, tokens: int, size: int, dim: int, heads: int, layers: int, moved: Moved | None = None):
        super().__init__()
        self.shape, self.moved = (tokens, size), moved
        told = 0 if moved is None else size * len(moved.templates)
        self.embed, self.out = Linear(size + told, dim), Linear(dim, 2 * size)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, dim))
        self.pattern = nn.Parameter(torch.zeros(3, tokens, size))  # of the instrument: mean, its gain, noise
        self.time = nn.Sequential(Linear(2 * FREQUENCIES, dim), nn.GELU(), Linear(dim, dim))
        self.among = nn.ModuleList(Layer(dim, heads) for _ in range(layers))
        self.over = nn.ModuleList(Layer(dim, heads) for _ in range(layers))

    def templates(self, probability: Tensor) -> Tensor:
        """What it is told of redshifts of which each has a probability, (n, Z): (n, tokens, templates * size)."""
        return tokens_of(self.moved(probability), self.shape[1]).flatten(2)

    def forward(
        self, x: Tensor, time: Tensor, seen: Tensor | None, moved: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What spectra are near x at times (n,), given states of what is seen (n, k, dim), if anything, and
        `templates`: mean and deviation of their numbers, (n, tokens, size) each.

        The noise of a spectrum is each number's own and would hardly pass through a token; a state need not tell it.
        """
        angle = time[:, None] * torch.pi * torch.arange(1, FREQUENCIES + 1, device=x.device) / 2
        told = x if moved is None else torch.cat([x, moved], 2)
        state = self.embed(told) + self.position + self.time(torch.cat([angle.sin(), angle.cos()], 1))[:, None]
        for among, over in zip(self.among, self.over, strict=True):
            state = over(among(state, state), seen)
        mean, spread = self.out(state).float().chunk(2, dim=2)
        offset, gain, noise = self.pattern
        mean = mean * (1 + gain) + offset
        # numbers are arcsinh of flux over its noise: what is bright has less of it, as 1 / cosh
        return mean, (spread + noise).clamp(-4, 2).exp() / mean.clamp(-5, 5).cosh()

    def loss(
        self,
        spectra: Tensor,
        known: Tensor,
        seen: Tensor | None,
        time: Tensor,
        noise: Tensor,
        moved: Tensor | None = None,
    ) -> Tensor:
        """Squared error of the velocity on the straight way from noise to a spectrum, both (n, tokens, size), at times
        (n,), each number that is known, (n, tokens, size) bool, counted: their sum."""
        at = time[:, None, None]
        x = (1 - at) * noise + at * spectra
        found = _velocity(x, at, *self(x, time, seen, moved))
        return ((found - (spectra - noise)).square() * known).sum()

    def draw(self, noise: Tensor, seen: Tensor | None, moved: Tensor | None = None) -> Tensor:
        """A spectrum (n, tokens, size) for each start (n, tokens, size).

        In a step mean and deviation are those of its middle, and numbers of such move as they do exactly: straight
        steps would leave a tenth of the noise of bright spectra out.
        """
        x = noise
        for step in range(STEPS):
            start, middle, end = (x.new_full((len(x),), (step + part) / STEPS) for part in (0, 0.5, 1))
            half = _moved(x, start, middle, *self(x, start, seen, moved))
            x = _moved(x, start, end, *self(half, middle, seen, moved))
        return x


def _velocity(x: Tensor, time: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """The mean of spectrum less noise of numbers that are x at a time, if spectra have this mean and deviation."""
    return mean + (time * sigma.square() - (1 - time)) / _variance(time, sigma) * (x - time * mean)


def _moved(x: Tensor, start: Tensor, end: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Where that velocity takes numbers that are x at times `start` (n,) until `end`."""
    start, end = start[:, None, None], end[:, None, None]
    grown = (_variance(end, sigma) / _variance(start, sigma)).sqrt()
    return end * mean + (x - start * mean) * grown


def _variance(time: Tensor, sigma: Tensor) -> Tensor:
    """Of numbers at a time between noise and spectra of this deviation."""
    return (1 - time).square() + (time * sigma).square()


def chances(targetid: np.ndarray, sample: int) -> Tensor:
    """Numbers (B, 1) between 0 and 1 that are a galaxy's own: at which quantile of the redshift a draw of it lies."""
    return torch.from_numpy(uniform(number("redshift", sample) % 2**31, targetid)).float()[:, None]


def starts(targetid: np.ndarray, sample: int, shape: tuple[int, int]) -> Tensor:
    """Normal numbers (B, *shape) that are a galaxy's own, in each of its draws."""
    seed = number("draw", sample) % 2**31
    chance = np.stack([uniform(seed + place, targetid) for place in range(shape[0] * shape[1])], 1)
    return torch.special.ndtri(torch.from_numpy(chance).clamp(1e-7, 1 - 1e-7)).float().view(-1, *shape)
