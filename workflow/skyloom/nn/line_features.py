"""Features along spectra on a logarithmic grid, which are then compared with rest-frame templates."""

import torch
from torch import Tensor, nn

from skyloom.nn.correlation import blocks
from skyloom.nn.log_grid import channels


def convolutions(count: int, features: int, width: int) -> nn.Sequential:
    """Layers from the channels of `log_grid.channels` to features, by way of `count` channels; a convolution sees
    `width` bins (odd). Along a line as 2D ones: those are the fast ones with channels last."""
    size, padding = (1, width), (0, width // 2)
    return nn.Sequential(
        *(nn.Conv2d(4, count, size, padding=padding), nn.SiLU()),
        *(nn.Conv2d(count, count, size, padding=padding), nn.SiLU()),
        nn.Conv2d(count, features, 1),
    )


def features_of(layers: nn.Sequential, flux: Tensor, ivar: Tensor, continuum: int, broad: int) -> Tensor:
    """Of spectra (B, bins), (B, features, bins), zero where nothing was measured (ivar 0); `continuum` and `broad` in
    bins, as `log_grid.channels` has them."""
    seen = channels(flux, ivar, continuum, broad)[:, :, None].contiguous(memory_format=torch.channels_last)
    # a few at once stay in the cache of a CPU
    return torch.cat([layers(part)[:, :, 0].contiguous() for part in blocks(seen)]) * (ivar > 0)[:, None]
