"""Photometry of what an image shows: how much light lies within circles, its colours, how it grows outwards.

A network is slow to find colours in numbers that are large and alike, and in half precision it cannot: these are
differences, standardised by those of whole training images, in single precision.
"""

import torch
from torch import Tensor, nn

from skyloom.formats.hsc import BANDS, PIXEL_SCALE
from skyloom.models.mmae import Config
from skyloom.nn import photometry
from skyloom.nn.images import HSC_SOFTENING


class Light(nn.Module):
    """Flux that is shown (B, T, 5, patch^2), nanomaggy, to a vector (B, dim) and the numbers behind it."""

    def __init__(self, config: Config):
        super().__init__()
        self.register_buffer("circles", circles(config), persistent=False)
        bands, radii = len(BANDS), len(config.apertures)
        count = radii * (2 * bands - 1) + (radii - 1) * bands
        self.standard = photometry.Standard(count)
        self.embed = nn.Sequential(
            nn.Linear(count + radii + bands, config.dim), nn.GELU(), nn.Linear(config.dim, config.dim)
        )

    def measured(self, flux: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Arcsinh of the light over its noise within each circle, of what is shown, (B, T) bool; the differences of
        neighbouring bands, and of neighbouring circles: (B, numbers). And which share of the circle is shown,
        (B, circles)."""
        each = torch.einsum("btnp,atp->btna", flux, self.circles.to(flux.dtype))
        total = (each * shown[:, :, None, None]).sum(1)  # (B, bands, circles)
        pixels = self.circles.sum(2).to(flux.dtype).T
        count = shown.to(flux.dtype) @ pixels
        numbers = photometry.stretched(total, count, HSC_SOFTENING)
        return numbers, count / pixels.sum(0).clamp(min=1)

    def forward(self, flux: Tensor, shown: Tensor, bands: Tensor) -> Tensor:
        """(B, dim), of bands that are there, (B, 5) bool; zero where no token is shown, (B, T) bool."""
        with torch.autocast(flux.device.type, enabled=False):
            numbers, share = self.measured(flux.float(), shown)
            radii = share.shape[1]
            pairs = bands[:, 1:] & bands[:, :-1]
            there = [part[:, :, None].expand(-1, -1, radii).flatten(1) for part in (bands, pairs)]
            there.append(bands[:, :, None].expand(-1, -1, radii - 1).flatten(1))
            numbers = self.standard(numbers) * torch.cat(there, 1)
            found = self.embed(torch.cat([numbers, (share + 0.01).log(), bands.to(numbers.dtype)], 1))
            return found * shown.any(1, keepdim=True)


def circles(config: Config) -> Tensor:
    """Which pixels of each token lie within each circle, (circles, T, patch^2)."""
    inside = photometry.circles(config.image_size, [radius / PIXEL_SCALE for radius in config.apertures])
    side, patch = config.image_size // config.patch, config.patch
    return inside.unflatten(2, (side, patch)).unflatten(1, (side, patch)).transpose(2, 3).flatten(3).flatten(1, 2)
