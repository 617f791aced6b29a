"""Legacy Surveys images as networks for pictures see them: arcsinh RGB, of flux that was changed on the way."""

import torch
from torch import Tensor

# Those of skyloom.tokens.images, which reads files and so is not imported here; a test holds the two together
GAINS = (6.0, 3.4, 2.2)
OFFSET = 0.03
SOFTENING = 20.0


def arcsinh_rgb(flux: Tensor) -> Tensor:
    """Flux (B, 3, H, W) in nanomaggy, order g, r, z, as red (z), green (r), blue (g) in 0..1.

    The stretch of the Legacy Surveys viewer and of AstroCLIP: see `skyloom.tokens.images.arcsinh_rgb`.
    """
    scaled = flux * flux.new_tensor(GAINS).view(-1, 1, 1) + OFFSET
    intensity = scaled.clamp(min=0).mean(1, keepdim=True)
    stretch = torch.asinh(SOFTENING * intensity) / (SOFTENING**0.5 * intensity.clamp(min=1e-30))
    return (scaled * stretch).clamp(0, 1).flip(1)
