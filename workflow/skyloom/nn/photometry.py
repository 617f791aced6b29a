"""Photometry in circular apertures, stretched: how much light, its colours, how it grows outwards."""

from collections.abc import Sequence

import torch
from torch import Tensor


def circles(size: int, radii: Sequence[float]) -> Tensor:
    """Which pixels of an image have their middle within each radius, pixels: (A, size, size) bool."""
    place = torch.arange(size) - (size - 1) / 2
    return torch.hypot(place[:, None], place) < torch.tensor(radii).view(-1, 1, 1)


def stretched(flux: Tensor, pixels: Tensor, softening: Sequence[float]) -> Tensor:
    """Arcsinh of the light over its noise, the differences of neighbouring bands, and of neighbouring circles,
    (B, A (2 bands - 1) + (A - 1) bands).

    Parameters
    ----------
    flux : (B, bands, A) nanomaggy within each circle
    pixels : how many that is, (A,) or (B, A)
    softening : noise of a pixel of each band, nanomaggy
    """
    noise = flux.new_tensor(softening)[:, None] * pixels.clamp(min=1).sqrt()[..., None, :]
    light = torch.asinh(flux / noise)
    return torch.cat([light.flatten(1), light.diff(dim=1).flatten(1), light.diff(dim=2).flatten(1)], 1)
