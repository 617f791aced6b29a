"""A token that says how much light of a galaxy lies within circles, in each band: what patches add up to."""

import torch
from torch import Tensor, nn

from skyloom.formats.legacy import PIXEL_SCALE
from skyloom.models.astrodino import Config
from skyloom.nn import photometry

SOFTENING = (0.05, 0.05, 0.05)  # of a pixel of RGB, about what the sky is
BANDS = 3


class Light(nn.Module):
    """Images (B, 3, S, S) to numbers, and numbers to a token, (B, dim)."""

    def __init__(self, config: Config):
        super().__init__()
        radii = [radius / PIXEL_SCALE for radius in config.apertures]
        self.register_buffer("circles", photometry.circles(config.image_size, radii).float(), persistent=False)
        count = len(radii) * (2 * BANDS - 1) + (len(radii) - 1) * BANDS
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.embed = nn.Linear(count, config.dim)
        self.dark = nn.Parameter(torch.zeros(config.dim))  # the token of an image of which this is not told

    def measured(self, images: Tensor) -> Tensor:
        """Light within each circle, colours and growth, (B, numbers)."""
        with torch.autocast(images.device.type, enabled=False):
            light = torch.einsum("bcyx,nyx->bcn", images.float(), self.circles)
            return photometry.stretched(light, self.circles.sum((1, 2)), SOFTENING)

    def standardise(self, numbers: Tensor) -> None:
        """Take mean and deviation of the numbers (N, n) of training galaxies."""
        self.mean.copy_(numbers.double().mean(0))
        self.deviation.copy_(numbers.double().std(0, correction=0).clamp(min=1e-3))

    def forward(self, numbers: Tensor, told: Tensor | None = None) -> Tensor:
        """(B, dim); `told` (B,) bool says of which images, all without it."""
        token = self.embed((numbers - self.mean) / self.deviation)
        return token if told is None else torch.where(told[:, None], token, self.dark.to(token.dtype))
