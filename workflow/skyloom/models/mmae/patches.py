"""Images and spectra as the numbers of tokens, and which of them are known."""

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.core.errors import BadInput
from skyloom.formats.galaxiesml import COUNTS_PER_NANOMAGGY
from skyloom.models.mmae import Config
from skyloom.nn.images import arcsinh_flux

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


def spectrum_patches(flux: Tensor, ivar: Tensor, config: Config) -> Tensor:
    """Spectra (B, W) -> tokens (B, T, slice) of averages over `pooled` pixels; the last one is filled up with zeros."""
    pooled = functional.avg_pool1d(standardise(flux, ivar)[:, None], config.pooled)[:, 0]
    return functional.pad(pooled, (0, -pooled.shape[1] % config.slice)).unflatten(1, (-1, config.slice))


def counts(config: Config) -> tuple[int, int, int]:
    """Tokens of an image, tokens of a spectrum, averages in a spectrum."""
    pooled = config.grid.pixels // config.pooled
    return (config.image_size // config.patch) ** 2, -(-pooled // config.slice), pooled
