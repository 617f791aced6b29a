"""Images and spectra as the numbers of tokens, and which of them are known."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadInput
from skyloom.formats.hsc import COUNTS_PER_NANOMAGGY
from skyloom.models.mmae import Config
from skyloom.nn.images import HSC_SOFTENING, arcsinh_flux
from skyloom.nn.log_grid import LogGrid, Rebin, running_mean

SPIKE = 100.0
"""Deviations beyond which the first and last pixel of a spectrum count as the median, as in the public code."""


def image_patches(flux: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """(B, 5, S, S) nanomaggy -> patches (B, T, 5 * patch^2) of its middle, and which bands are there, (B, 5) bool.

    A band of which no pixel is finite, or all are zero, is missing: its numbers are zero.
    """
    edge = (flux.shape[-1] - config.image_size) // 2
    if edge < 0:
        raise BadInput(f"images of {flux.shape[-1]} pixels; the model sees {config.image_size} (image_size)")
    flux = flux[..., edge : edge + config.image_size, edge : edge + config.image_size]
    finite = flux.isfinite()
    flux = torch.where(finite, flux, 0)
    there = (flux != 0).flatten(2).any(2)
    flux = flux * COUNTS_PER_NANOMAGGY if config.stretch == "counts" else arcsinh_flux(flux)
    side, patch = config.image_size // config.patch, config.patch
    parts = flux.unflatten(3, (side, patch)).unflatten(2, (side, patch))  # (B, 5, side, patch, side, patch)
    return parts.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), there


def image_of(patches: Tensor, config: Config) -> Tensor:
    """The inverse: patches (B, T, 5 * patch^2) -> (B, 5, size, size)."""
    side, patch = config.image_size // config.patch, config.patch
    parts = patches.unflatten(1, (side, side)).unflatten(3, (-1, patch, patch))
    return parts.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def standardise(flux: Tensor, ivar: Tensor) -> Tensor:
    """Spectra (B, W) less their mean over their rms, both weighted by ivar; 0 where ivar is 0, spikes at the ends
    clipped. As the public code has it, but for pixels whose flux is exactly 0, which it leaves out."""
    good = ivar > 0
    weight = torch.where(good, ivar, 0).double()
    total = weight.sum(1, keepdim=True).clamp(min=1e-30)
    clean = torch.where(good, flux, 0).double()
    mean = (clean * weight).sum(1, keepdim=True) / total
    rms = ((clean - mean).square() * weight).sum(1, keepdim=True).div(total).sqrt()
    values = torch.where(good, (clean - mean) / torch.where(rms > 0, rms, 1), 0).float()
    middle = torch.where(good, values, torch.nan).nanmedian(1).values.nan_to_num()
    for end in (0, -1):
        values[:, end] = torch.where(values[:, end].abs() > SPIKE, middle, values[:, end])
    return values


def flux_of(patches: Tensor, config: Config) -> Tensor:
    """Nanomaggy (B, T, 5, patch^2) of patches (B, T, 5 * patch^2)."""
    each = patches.unflatten(2, (-1, config.patch**2))
    if config.stretch == "counts":
        return each / COUNTS_PER_NANOMAGGY
    return torch.sinh(each) * each.new_tensor(HSC_SOFTENING)[:, None]


class Spectra(nn.Module):
    """Spectra (B, W) as numbers of tokens: averages of pixels as published, or bins of equal velocity.

    Attributes
    ----------
    numbers, tokens : of a spectrum
    wavelength : (numbers,) Angstrom in vacuum
    step : of bins of equal velocity, in ln(wavelength); otherwise 0
    grid : these bins, or None
    """

    def __init__(self, config: Config):
        super().__init__()
        grid, self.config, self.grid = config.grid, config, None
        if config.spectra == "velocity":
            bins = LogGrid.over(*grid.span, config.velocity)
            self.rebin = Rebin(grid.start, grid.step, grid.pixels, bins)
            self.wavelength, self.near = bins.centres, bins.odd_bins_of(config.continuum)
            self.step, self.grid = bins.step, bins
        else:
            middles = config.pooled * np.arange(grid.pixels // config.pooled) + (config.pooled - 1) / 2
            self.wavelength, self.step = grid.start + grid.step * middles, 0.0
        self.numbers = len(self.wavelength)
        self.tokens = -(-self.numbers // config.slice)

    def bins(self, flux: Tensor, ivar: Tensor) -> tuple[Tensor, Tensor]:
        """What values are made of, flux and ivar, (B, numbers) each, or spectra as they are."""
        return self.rebin(flux, ivar) if self.config.spectra == "velocity" else (flux, ivar)

    def forward(self, flux: Tensor, ivar: Tensor) -> tuple[Tensor, Tensor]:
        """Of `bins`: values (B, tokens, slice) and which of them count, bool: all as published, else those with data;
        the last token is filled up with zeros that do not."""
        if self.config.spectra == "velocity":
            values, known = torch.asinh(flux * ivar.sqrt()), ivar > 0
        else:
            values = functional.avg_pool1d(standardise(flux, ivar)[:, None], self.config.pooled)[:, 0]
            known = torch.ones_like(values, dtype=torch.bool)
        return tuple(self.cut(x) for x in (values, known))

    def seen(self, values: Tensor, bins: tuple[Tensor, Tensor], shown: Tensor) -> Tensor:
        """What enters the network of tokens (B, tokens, slice) -> (B, tokens, sees): of those that are not shown,
        (B, tokens) bool, nothing is in the others."""
        if not self.lines:
            return values
        flux, ivar = bins
        near, _ = running_mean(*self.of_shown(bins, shown), self.near)
        return torch.cat([values, self.cut(torch.asinh((flux - near) * ivar.sqrt() / 1.5))], 2)

    def of_shown(self, bins: tuple[Tensor, Tensor], shown: Tensor) -> tuple[Tensor, Tensor]:
        """Flux and ivar (B, numbers), ivar 0 in tokens that are not shown, (B, tokens) bool."""
        left = shown[..., None].expand(-1, -1, self.config.slice).flatten(1)[:, : self.numbers]
        return bins[0], bins[1] * left

    @property
    def lines(self) -> bool:
        """Whether lines are told from the continuum."""
        return self.config.lines and self.config.spectra == "velocity"

    @property
    def sees(self) -> int:
        """Numbers of a token that enter the network."""
        return self.config.slice * (2 if self.lines else 1)

    def cut(self, values: Tensor) -> Tensor:
        """(B, numbers) -> (B, tokens, slice)."""
        return functional.pad(values, (0, -self.numbers % self.config.slice)).unflatten(1, (-1, self.config.slice))
