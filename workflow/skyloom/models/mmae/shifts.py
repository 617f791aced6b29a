"""What a spectrum says of the redshift and what a redshift says of the spectrum: rest-frame templates, moved.

On a grid of equal velocity a redshift is a shift. What is shown of a spectrum is compared with learned templates at
every shift; what is hidden is drawn with templates that lie where the redshift, as far as it is known, puts them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.mmae import Config
from skyloom.nn.correlation import correlate
from skyloom.nn.line_features import convolutions, features_of
from skyloom.nn.log_grid import LogGrid
from skyloom.nn.redshift_grid import Grid

BROAD = 112_600.0
"""km/s, width of the running mean that the continuum itself is compared with."""
KINDS = 3
"""Sets of templates: a spectrum is compared with each, whichever kind of galaxy or quasar it learns."""
WIDTH, CHANNELS = 9, 24
"""Of the convolutions: bins that one sees, and channels."""


class Match(nn.Module):
    """How well what is shown of spectra agrees with rest-frame templates at each redshift of a grid."""

    def __init__(self, config: Config, bins: LogGrid, redshifts: Grid):
        super().__init__()
        self.near, self.far = (bins.odd_bins_of(width) for width in (config.continuum, BROAD))
        self.layers = convolutions(CHANNELS, config.templates, WIDTH)
        length = bins.bins + redshifts.count - 1
        self.templates = nn.Parameter(0.01 * torch.randn(KINDS, config.templates, length))

    def forward(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """ln of how likely each redshift makes what is seen, but for a constant, (B, Z), of spectra (B, bins); the same
        for all redshifts where nothing is seen (ivar 0)."""
        found = features_of(self.layers, flux, ivar, self.near, self.far)
        with torch.autocast(found.device.type, enabled=False):
            return correlate(found.float(), self.templates).flip(-1).logsumexp(1)


class Moved(nn.Module):
    """Rest-frame templates where redshifts put them."""

    def __init__(self, config: Config, bins: LogGrid, redshifts: Grid):
        super().__init__()
        self.bins = bins.bins
        length = bins.bins + redshifts.count - 1
        self.templates = nn.Parameter(0.01 * torch.randn(config.templates, 1, length))

    def forward(self, probability: Tensor) -> Tensor:
        """(B, templates, bins) of the probability of each redshift, (B, Z): the mean over it."""
        with torch.autocast(probability.device.type, enabled=False):
            return correlate(probability.flip(1)[:, None].float(), self.templates)


def tokens_of(moved: Tensor, size: int) -> Tensor:
    """(B, templates, bins) -> (B, tokens, templates, size), the last token filled up with zeros."""
    return functional.pad(moved, (0, -moved.shape[2] % size)).unflatten(2, (-1, size)).transpose(1, 2)
