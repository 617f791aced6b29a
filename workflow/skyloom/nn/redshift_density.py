"""A density of the redshift: a mixture of Gaussians in ln(1+z), from the 3 K numbers that a network's head gives."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from skyloom.nn import distributed

LABELS = ("z", "zwarn")
"""Columns of galaxies.parquet that a redshift is learned from."""
HIGHEST = 6.0
"""Largest redshift of the grid on which quantiles are found."""
STEP, BINS = 0.001, 1800
"""Of `posterior`, in ln(1+z) from 0: to redshift 5."""
LOG_SCALE = [STEP / 2, STEP, BINS]
"""What a table of predictions says of its column `posterior`: the middle of the first bin, the step, how many."""
_POINTS, _HALVINGS = 400, 10


def mixture(out: Tensor) -> MixtureSameFamily:
    """Distributions of ln(1+z), a batch of B, of what a head gives (B, 3 K)."""
    weight, mean, spread = out.float().chunk(3, 1)
    centre = _centres(weight.shape[1], out.device)
    return MixtureSameFamily(Categorical(logits=weight), Normal(centre + mean, (spread - 2).clamp(-8, 2).exp()))


def _centres(components: int, device: torch.device) -> Tensor:
    return torch.linspace(0.1, 1.4, components, device=device)  # z .1 to 3: they start apart


def averaged(outs: Sequence[Tensor]) -> Tensor:
    """What a head would give whose density is the mean of the densities of several, (B, 3 K) each."""
    if len(outs) == 1:
        return outs[0]
    weights, means, spreads = (torch.cat(part, 1) for part in zip(*map(_plain, outs), strict=True))
    return torch.cat([weights, means - _centres(means.shape[1], means.device), spreads], 1)


def _plain(out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weight, mean, spread = out.float().chunk(3, 1)
    return weight.log_softmax(1), mean + _centres(mean.shape[1], out.device), spread


def log_density(out: Tensor, z: Tensor) -> Tensor:
    """Log of the density in ln(1+z), (B,), at redshifts (B,)."""
    return mixture(out).log_prob(torch.log1p(z))


def below(out: Tensor, z: Tensor) -> Tensor:
    """Probability that the redshift is below z, (B, Z), for z (B, Z)."""
    return mixture(out).cdf(torch.log1p(z).T).T


def posterior(out: Tensor) -> Tensor:
    """Probability of each bin of ln(1+z), (B, BINS), adding up to one; what lies beyond counts at the ends."""
    edges = STEP * torch.arange(1, BINS, device=out.device).expand(len(out), -1)
    under = torch.nn.functional.pad(mixture(out).cdf(edges.T).T, (1, 0))
    return torch.nn.functional.pad(under, (0, 1), value=1.0).diff(dim=1).clamp(min=0)  # rounding may fall


def quantiles(out: Tensor, levels: list[float]) -> Tensor:
    """Redshifts (B, L) below which the probability is at each level, between 0 and HIGHEST."""
    grid = torch.expm1(torch.linspace(0, math.log1p(HIGHEST), _POINTS, device=out.device))
    chance = below(out, grid.expand(len(out), -1)).contiguous()
    wanted = torch.tensor(levels, device=out.device).expand(len(out), -1).contiguous()
    place = torch.searchsorted(chance, wanted).clamp(1, _POINTS - 1)
    low, high = grid[place - 1], grid[place]
    for _ in range(_HALVINGS):  # a line may be narrower than the grid
        middle = (low + high) / 2
        under = below(out, middle) < wanted
        low, high = torch.where(under, middle, low), torch.where(under, high, middle)
    return (low + high) / 2


def said(out: Tensor, level: float) -> dict[str, Tensor]:
    """Columns of a table of predictions, (B,) each but for `posterior` (B, BINS): `z`, the median, and `z_lower`,
    `z_upper`, between which the probability is `level`."""
    tail = (1 - level) / 2
    lower, middle, upper = quantiles(out, [tail, 0.5, 1 - tail]).unbind(1)
    return {"z": middle, "z_lower": lower, "z_upper": upper, "posterior": posterior(out)}


def learned(labels: Mapping[str, Tensor]) -> Tensor:
    """The redshifts (B,) that are learned: NaN where the catalogue warns of its own."""
    z = labels["z"]
    return torch.where(labels["zwarn"] > 0, torch.nan, z) if "zwarn" in labels else z


def loss(out: Tensor, z: Tensor, known: Tensor) -> Tensor:
    """Minus the mean log density of the redshifts that are known, (B,) bool, of all processes' galaxies."""
    each = log_density(out, torch.where(known, z, 0))
    return -(each * known).sum() / counted(known)


def counted(known: Tensor) -> Tensor:
    """What a sum over the known numbers of this process is divided by, so that the mean over processes is the mean over
    all numbers."""
    return distributed.mean(known.sum().float()).clamp(min=torch.finfo(torch.float32).tiny)
