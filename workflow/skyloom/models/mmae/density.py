"""A density of the redshift: a mixture of Gaussians in ln(1+z)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

HIGHEST = 6.0
"""Largest redshift of the grid on which quantiles are found."""
_POINTS, _HALVINGS = 400, 10


def parts(out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of weights, means and logarithms of deviations, (B, K) each, of what a head gives (B, 3 K)."""
    weight, mean, spread = out.float().chunk(3, 1)
    centre = torch.linspace(0.1, 1.4, weight.shape[1], device=out.device)  # z .1 to 3: they start apart
    return weight.log_softmax(1), centre + mean, (spread - 2).clamp(-8, 2)


def log_density(out: Tensor, z: Tensor) -> Tensor:
    """Log of the density in ln(1+z), (B,), at redshifts (B,)."""
    weight, mean, spread = parts(out)
    pull = (torch.log1p(z)[:, None] - mean) / spread.exp()
    return torch.logsumexp(weight - 0.5 * pull.square() - spread - 0.5 * math.log(2 * math.pi), 1)


def below(out: Tensor, z: Tensor) -> Tensor:
    """Probability that the redshift is below z, (B, Z), for z (Z,)."""
    weight, mean, spread = (part[:, None] for part in parts(out))
    pull = (torch.log1p(z)[None, :, None] - mean) / spread.exp()
    return (weight.exp() * torch.special.ndtr(pull)).sum(2)


def quantiles(out: Tensor, levels: list[float]) -> Tensor:
    """Redshifts (B, L) below which the probability is at each level, between 0 and HIGHEST."""
    grid = torch.expm1(torch.linspace(0, math.log1p(HIGHEST), _POINTS, device=out.device))
    chance = below(out, grid).contiguous()
    wanted = torch.tensor(levels, device=out.device).expand(len(out), -1).contiguous()
    place = torch.searchsorted(chance, wanted).clamp(1, _POINTS - 1)
    low, high = grid[place - 1], grid[place]
    for _ in range(_HALVINGS):  # a line may be narrower than the grid
        middle = (low + high) / 2
        under = torch.stack([below(out, column).diagonal() for column in middle.T], 1) < wanted
        low, high = torch.where(under, middle, low), torch.where(under, high, middle)
    return (low + high) / 2


def loss(out: Tensor, z: Tensor, known: Tensor) -> Tensor:
    """Minus the mean log density of the redshifts that are known, (B,) bool."""
    each = log_density(out, torch.where(known, z, 0))
    return functional.relu(known.float()).mul(-each).sum() / known.sum().clamp(min=1)
