"""What the network says of a number, and how it is scored: a mean, or quantiles and how numbers vary together.

Quantiles are a median and steps away from it, so that they never cross. Between and beyond them the normal score of a
value (the standard normal's value at the same probability) is a straight line: a distribution function that can be
inverted. How numbers vary together is a Gaussian copula of few factors: the normal scores of the hidden numbers are
jointly normal, with correlations l_i . l_j; in draws what is left of neighbours in a vector correlates too.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.models.mosaic import Config

LEVELS = (0.025, 0.05, 0.16, 0.25, 0.5, 0.75, 0.84, 0.95, 0.975)
MIDDLE = LEVELS.index(0.5)
SCORES = torch.special.ndtri(torch.tensor(LEVELS, dtype=torch.float64)).float()
"""Of LEVELS, standard normal."""
FARTHEST = 6.0
"""Largest normal score; beyond it a value counts as at it."""


def outputs(config: Config) -> int:
    """Numbers that a head gives for each number of a galaxy."""
    return len(LEVELS) + config.factors if config.says == "quantiles" else 1


def quantiles(out: Tensor) -> Tensor:
    """Rising quantiles (..., LEVELS) of what a head gives (..., LEVELS + factors)."""
    middle = out[..., MIDDLE : MIDDLE + 1]
    below = functional.softplus(out[..., :MIDDLE]).flip(-1).cumsum(-1).flip(-1)
    above = functional.softplus(out[..., MIDDLE + 1 : len(LEVELS)]).cumsum(-1)
    return torch.cat([middle - below, middle, middle + above], -1)


def loadings(out: Tensor) -> Tensor:
    """Loadings (..., factors) with |l| < 1 of what a head gives."""
    raw = out[..., len(LEVELS) :]
    return raw / (1 + raw.square().sum(-1, keepdim=True)).sqrt()


def pinball(quantile: Tensor, value: Tensor) -> Tensor:
    """Mean over LEVELS of twice the pinball loss, (...): of the median alone it is the absolute error."""
    level = torch.tensor(LEVELS, device=value.device)
    error = value[..., None] - quantile
    return 2 * torch.maximum(level * error, (level - 1) * error).mean(-1)


def score(value: Tensor, quantile: Tensor) -> Tensor:
    """Normal scores (...) of values (...) under quantiles (..., LEVELS): linear between them, and on beyond."""
    scores = SCORES.to(value)
    place = (value[..., None] > quantile).sum(-1).clamp(1, len(LEVELS) - 1)  # of the quantile above
    low, high = (quantile.gather(-1, (place - i)[..., None])[..., 0] for i in (1, 0))
    share = (value - low) / (high - low).clamp(min=1e-6)
    return (scores[place - 1] + share * (scores[place] - scores[place - 1])).clamp(-FARTHEST, FARTHEST)


def value_at(scores: Tensor, quantile: Tensor) -> Tensor:
    """The inverse of `score`: values (..., K) at normal scores (..., K)."""
    knots = SCORES.to(quantile)
    place = torch.bucketize(scores.contiguous(), knots).clamp(1, len(LEVELS) - 1)
    low, high = (quantile.gather(-1, place - i) for i in (1, 0))
    below, above = knots[place - 1], knots[place]
    return low + (high - low) * (scores - below) / (above - below)


def copula(scores: Tensor, load: Tensor, counted: Tensor) -> Tensor:
    """Minus the log density (B,) of a Gaussian copula a number, over the independent one.

    Parameters
    ----------
    scores : (B, D) normal scores
    load : (B, D, R); the correlation matrix is load load^T + diag(1 - |load|^2)
    counted : (B, D) bool, the numbers that count
    """
    load, z, rest, scaled, inner = _factored(scores, load, counted)
    factor = torch.linalg.cholesky(inner)
    half = torch.linalg.solve_triangular(factor, scaled.transpose(1, 2) @ z[..., None], upper=False)[..., 0]
    determinant = rest.log().sum(1) + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    square = (z.square() / rest).sum(1) - half.square().sum(1)
    return 0.5 * (determinant + square - z.square().sum(1)) / counted.float().sum(1).clamp(min=1)


def _factored(scores: Tensor, load: Tensor, counted: Tensor) -> tuple[Tensor, ...]:
    """Of the numbers that count: loadings (B, D, R), scores and variances of their own (B, D), loadings over these, and
    I + load^T load / variances (B, R, R), by which the correlation matrix is inverted (Woodbury)."""
    one = counted.float()
    load, z = load * one[..., None], scores * one
    rest = (1 - load.square().sum(-1)).clamp(min=1e-3)  # 1 where a number does not count
    scaled = load / rest[..., None]
    return load, z, rest, scaled, torch.eye(load.shape[-1], device=z.device) + load.transpose(1, 2) @ scaled


def neighbours(scores: Tensor, load: Tensor, counted: Tensor) -> float:
    """Correlation, 0 to .99, of neighbouring numbers' normal scores that is left when the factors are taken off.

    Parameters
    ----------
    scores : (B, D) normal scores of a vector
    load : (B, D, R)
    counted : (B, D) bool, the numbers that are known
    """
    load, z, rest, scaled, inner = _factored(scores, load, counted)
    one = counted.float()
    factors = torch.linalg.solve(inner, scaled.transpose(1, 2) @ z[..., None])  # their mean, given the scores
    left = (z - (load @ factors)[..., 0]) / rest.sqrt() * one
    both = one[:, 1:] * one[:, :-1]
    first, second = left[:, :-1] * both, left[:, 1:] * both
    size = (first.square().sum() * second.square().sum()).sqrt()
    return float(((first * second).sum() / size.clamp(min=1e-9)).clamp(0, 0.99))


def joint_scores(
    load: Tensor, common: Tensor, own: Tensor, near: Mapping[str, float], sizes: Mapping[str, int]
) -> Tensor:
    """Normal scores (B, D, K) of the copula of loadings (B, D, R), from standard normal numbers.

    What a number does not share with all others it shares with its neighbours in the same vector: the rest is a chain
    in which neighbours correlate by `near`; each score is standard normal all the same.

    Parameters
    ----------
    common, own : (B, R, K) and (B, D, K) standard normal
    near : modality -> correlation of neighbours (`neighbours`), 0 without an entry
    sizes : modality -> numbers, in the order of D
    """
    chained = []
    for name, part in zip(sizes, own.split(list(sizes.values()), 1), strict=True):
        rho = near.get(name, 0.0)
        steps = [part[:, 0]]
        for place in range(1, part.shape[1]):
            steps.append(rho * steps[-1] + math.sqrt(1 - rho**2) * part[:, place])
        chained.append(torch.stack(steps, 1) if rho else part)
    return load @ common + (1 - load.square().sum(-1, keepdim=True)).clamp(min=0).sqrt() * torch.cat(chained, 1)
