"""Photometry in circular apertures, stretched: how much light, its colours, how it grows outwards."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

RADII = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Of apertures, in units of the image's side; a pixel at least."""


class Standard(nn.Module):
    """Numbers (..., count) less their mean, over their deviation, once these are known."""

    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))

    @torch.no_grad()
    def learn(self, numbers: Tensor) -> None:
        """Take mean and deviation of numbers (N, count)."""
        self.mean.copy_(numbers.double().mean(0))
        self.deviation.copy_(numbers.double().std(0, correction=0).clamp(min=1e-3))

    def forward(self, numbers: Tensor) -> Tensor:
        return (numbers - self.mean) / self.deviation


class Apertures(nn.Module):
    """Photometry of images in circles of RADII around the middle.

    Parameters
    ----------
    size : of the images, pixels a side
    softening : noise of a pixel of each band, nanomaggy
    """

    def __init__(self, size: int, softening: Sequence[float]):
        super().__init__()
        self.softening, bands = softening, len(softening)
        self.count = len(RADII) * (2 * bands - 1) + (len(RADII) - 1) * bands
        inside = circles(size, [max(1, share * size) for share in RADII]).flatten(1).T.float()
        self.register_buffer("inside", inside, persistent=False)  # (pixels, apertures)
        self.standard = Standard(self.count)

    def measured(self, flux: Tensor) -> Tensor:
        """Of images (B, bands, S, S) in nanomaggy, finite, (B, count), see `stretched`."""
        with torch.autocast(flux.device.type, enabled=False):
            return stretched(flux.float().flatten(2) @ self.inside, self.inside.sum(0), self.softening)

    def forward(self, flux: Tensor) -> Tensor:
        """The same standardised."""
        return self.standard(self.measured(flux))


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
