"""What a SpecFormer sees of spectra and what it predicts: slices of flux as published, or of bins of equal velocity.

An input has `sees` and `predicts`, the numbers of a token that goes in and of one that is predicted, and

- ``read(batch)`` : flux and ivar, (B, W) each, on the grid that is cut into slices
- ``truth(flux, ivar)`` : (B, T, predicts), what the network is to predict
- ``seen(flux, ivar, mask)`` : (B, T, sees), the tokens as they enter the network; those of `mask` (B, T) bool, if
  given, are hidden from it: zero, and nothing in the others is made of what they alone show, but for token 0
- ``weights(flux, ivar)`` : (B, T, predicts), weight of every value in the loss
- ``drawn(predicted, flux, ivar, mask, noise)`` : (B, W), the flux that predicted tokens mean, where `mask` hides it
- ``wavelength`` : (W,) Angstrom, of what is cut into slices

Token 0 holds what is known of the spectrum as a whole in its first `STATISTICS_CHANNELS` numbers, and has no others.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.specformer import Config, published
from skyloom.nn.log_grid import LogGrid, Rebin, channels, running_mean
from skyloom.nn.spectra import (
    STATISTICS_CHANNELS,
    hidden_pixels,
    slices,
    specformer_tokens,
    token_shrinkage,
    token_weights,
    unslice,
    untokenize,
)

SEEN, PREDICTED = 4, 3  # of `nn.log_grid.channels`: all, and all but the one that says where there are data
ALMOST = 0.999  # of the shape of a continuum, a hyperbolic tangent


class Pixels(nn.Module):
    """Slices of the flux on the survey's own grid, z-scored; see `nn.spectra`."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.sees = self.predicts = STATISTICS_CHANNELS + config.size
        self.wavelength = config.grid.start + config.grid.step * np.arange(config.grid.pixels)

    def read(self, spectra: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return spectra["flux"], spectra["ivar"]

    def truth(self, flux: Tensor, ivar: Tensor, hidden: Tensor | None = None) -> Tensor:
        c = self.config
        if c.published:
            return published.tokens(flux, c)
        return specformer_tokens(
            flux, ivar, c.size, c.stride, c.std_floor, weighted=c.normalise == "ivar", hidden=hidden
        )

    def seen(self, flux: Tensor, ivar: Tensor, mask: Tensor | None = None) -> Tensor:
        """Bad pixels of visible tokens are filled from visible pixels alone, or shrunk to zero, if so configured."""
        c = self.config
        if c.published:
            tokens = self.truth(flux, ivar)
        elif c.normalise == "zscore":
            hidden = None if mask is None else hidden_pixels(mask[:, 1:], flux.shape[1], c.size, c.stride)
            tokens = self.truth(flux, ivar, hidden)
        else:
            tokens = self.truth(flux, ivar)
            tokens[:, 1:, STATISTICS_CHANNELS:] *= token_shrinkage(ivar, c.size, c.stride)
        return tokens if mask is None else tokens.masked_fill(mask[..., None], 0)

    def weights(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """All alike, or inverse variances."""
        c = self.config
        if c.loss_weight == "none":
            return flux.new_ones(1, 1, 1).expand(len(flux), c.token_count, self.predicts)
        own = token_weights(ivar, c.size, c.stride, c.weight_cap)
        return with_statistics(own, own.new_ones(len(own), STATISTICS_CHANNELS))

    def drawn(self, predicted: Tensor, flux: Tensor, ivar: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """In units of the spectrum's own mean and deviation, which the first token tells the network."""
        tokens = torch.cat([self.truth(flux, ivar)[:, :1], predicted[:, 1:]], 1)
        return untokenize(tokens, flux.shape[1], self.config.stride)[0]


class Bins(nn.Module):
    """Slices of bins of equal velocity, where a redshift is a shift: lines and broad features in units of their noise,
    the shape of the continuum, and where there are data (`nn.log_grid.channels`).

    The first token says how bright the spectrum is. What is hidden counts in neither continuum nor noise of what is
    seen; in the first token it does.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.sees, self.predicts = (STATISTICS_CHANNELS + n * config.size for n in (SEEN, PREDICTED))
        grid = config.grid
        bins = LogGrid.over(*grid.span, config.velocity)
        self.rebin = Rebin(grid.start, grid.step, grid.pixels, bins)
        self.wavelength = bins.centres
        self.widths = bins.odd_bins_of(config.continuum), bins.odd_bins_of(config.broad)

    def read(self, spectra: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.rebin(spectra["flux"], spectra["ivar"])

    def truth(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """All channels but the last."""
        return self.seen(flux, ivar)[..., : self.predicts]

    def seen(self, flux: Tensor, ivar: Tensor, mask: Tensor | None = None) -> Tensor:
        """In each slice one channel after the other, made of what is not hidden."""
        c, shown = self.config, ivar
        if mask is not None:
            shown = ivar * ~hidden_pixels(mask[:, 1:], flux.shape[1], c.size, c.stride)
        made = channels(flux, shown, *self.widths)
        parts = [slices(made[:, number], c.size, c.stride) for number in range(SEEN)]
        tokens = with_statistics(torch.cat(parts, 2), brightness(flux, ivar))
        return tokens if mask is None else tokens.masked_fill(mask[..., None], 0)

    def weights(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """1 where there are data: every channel is in units of its own noise or spread. The first token weighs as much
        as any other."""
        c = self.config
        own = slices((ivar > 0).to(flux.dtype), c.size, c.stride).repeat(1, 1, PREDICTED)
        return with_statistics(own, own.new_full((len(own), STATISTICS_CHANNELS), own.shape[2] / STATISTICS_CHANNELS))

    def drawn(self, predicted: Tensor, flux: Tensor, ivar: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """The continuum that is predicted, in units of the spectrum's mean one, and lines on it in units of `noise`.

        That mean is over all bins with data, of the continuum that is seen and, where it is hidden, the predicted one.
        """
        c = self.config
        parts = predicted[:, 1:, STATISTICS_CHANNELS:].split(c.size, 2)
        lines, _, shape = (unslice(part, flux.shape[1], c.stride)[0] for part in parts)
        hidden = hidden_pixels(mask[:, 1:], flux.shape[1], c.size, c.stride)
        shown = ivar * ~hidden
        near, _ = running_mean(flux, shown, self.widths[0])
        relative = 1 + torch.atanh(shape.clamp(-ALMOST, ALMOST))
        missing = (relative * (hidden & (ivar > 0))).sum(1)
        count = torch.maximum((ivar > 0).sum(1) - missing, ((shown > 0).sum(1) / 2).clamp(min=0.5))
        mean = (near.abs() * (shown > 0)).sum(1) / count
        return mean[:, None] * relative + 1.5 * torch.sinh(lines.clamp(-10, 10)) * noise


INPUTS = {"pixels": Pixels, "velocity": Bins}


def brightness(flux: Tensor, ivar: Tensor) -> Tensor:
    """Arcsinh of the mean flux, weighted by ivar, and of its signal-to-noise in a bin, halved: (B, 2), of order one."""
    total, count = ivar.sum(1).clamp(min=1e-30), (ivar > 0).sum(1).clamp(min=1)
    mean = (flux * ivar).sum(1) / total
    return torch.stack([torch.asinh(mean) / 2, torch.asinh(mean * (total / count).sqrt()) / 2], 1)


def with_statistics(tokens: Tensor, first: Tensor) -> Tensor:
    """Tokens (B, T, n) with `first` (B, STATISTICS_CHANNELS) in a token before them, (B, 1 + T, n + its length)."""
    tokens = functional.pad(tokens, (STATISTICS_CHANNELS, 0, 1, 0))
    tokens[:, 0, :STATISTICS_CHANNELS] = first
    return tokens
