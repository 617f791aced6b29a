"""Peaks of a posterior on a grid of classes and shifts."""

import torch
from torch import Tensor


def highest(log_p: Tensor, count: int, apart: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` highest peaks of (B, classes, shifts), each class's own at least `apart` bins from each other.

    Returns class, shift and ln p, (B, count) each, highest first.
    """
    left = log_p.clone()
    shifts = log_p.shape[2]
    rows = torch.arange(log_p.shape[0], device=log_p.device)[:, None]
    around = torch.arange(-apart, apart + 1, device=log_p.device)
    found = []
    for _ in range(count):
        value, best = left.flatten(1).max(1)
        kind, shift = best // shifts, best % shifts
        left[rows, kind[:, None], (shift[:, None] + around).clamp(0, shifts - 1)] = -torch.inf
        found.append((kind, shift, value))
    kind, shift, value = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
    return kind, shift, value


def within(marginal: Tensor, place: Tensor, reach: int) -> Tensor:
    """Probability within `reach` bins of places (B, n), given that of every bin (B, shifts)."""
    total = torch.nn.functional.pad(marginal.double().cumsum(1), (1, 0))
    upper, lower = (place + reach + 1).clamp(max=marginal.shape[1]), (place - reach).clamp(min=0)
    return (total.gather(1, upper) - total.gather(1, lower)).clamp(0, 1).float()


def spread(marginal: Tensor, place: Tensor, reach: int) -> Tensor:
    """Root mean square distance (B,), in bins, from a place (B,) of the posterior within `reach` bins of it; that of a
    single bin is 1/sqrt(12)."""
    offset = torch.arange(-reach, reach + 1, device=place.device)
    index = place[:, None] + offset
    inside = (index >= 0) & (index < marginal.shape[1])
    near = marginal.double().gather(1, index.clamp(0, marginal.shape[1] - 1)) * inside
    return ((near * offset.square()).sum(1) / near.sum(1).clamp(min=1e-30) + 1 / 12).sqrt()


def elsewhere(log_scale: Tensor, apart: float) -> Tensor:
    """Which of the other peaks (B, n - 1) mean another redshift than the first of (B, n) ln(1+z)."""
    return (log_scale[:, 1:] - log_scale[:, :1]).abs() > apart
