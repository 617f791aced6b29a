"""What a spectrum meets in training besides what its survey did to it: noise, redshift and masks drawn anew."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.models.redshift import Config
from skyloom.nn.draws import Draws
from skyloom.nn.log_grid import LogGrid

BLOCK = 3000.0  # km/s that are hidden together
SMOOTHEST = (62.5, 437.5)  # km/s, least and largest sigma of the smoothing
RADIUS = 1000.0  # km/s, its reach


def augment(flux: Tensor, ivar: Tensor, config: Config, grid: LogGrid, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Spectra on a logarithmic grid, (B, bins) flux and ivar, made worse and moved; `moved` (B,) int64 in bins of
    ln(1+z)."""
    c = config.augment
    flux, ivar = miscalibrated(flux, ivar, c.calibration, grid.places(c.arms), draws)
    flux, ivar = noisier(flux, ivar, c.noise, draws)
    flux, ivar = smoothed(flux, ivar, c.smoothed, grid, draws)
    ivar = ivar * torch.exp(c.calibration * draws.normal(1))
    flux, ivar, moved = shifted(flux, ivar, int(c.shift / grid.step), draws)
    ivar = ivar * ~hidden(ivar.shape[1], c.masked, c.cropped, grid.bins_of(BLOCK), draws)
    return torch.where(ivar > 0, flux, 0), ivar, moved


def miscalibrated(
    flux: Tensor, ivar: Tensor, size: float, arms: Sequence[float], draws: Draws
) -> tuple[Tensor, Tensor]:
    """Times a smooth curve, with small steps where a spectrograph's arms meet (in bins)."""
    x = torch.linspace(-1, 1, flux.shape[1], device=flux.device)
    curve = size * (draws.normal(3) @ torch.stack([x, x * x - 1 / 3, torch.cos(3 * x)]))
    arm = torch.bucketize(torch.arange(flux.shape[1], device=flux.device), torch.tensor(arms, device=flux.device))
    curve = curve + 0.3 * size * draws.normal(len(arms) + 1)[:, arm]
    return flux * curve.exp(), ivar * (-2 * curve).exp()


def noisier(flux: Tensor, ivar: Tensor, most: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Half of the spectra with more noise, up to `most` times their own on top."""
    factor = draws.uniform(1) * most * (draws.uniform(1) < 0.5)
    sigma = torch.where(ivar > 0, ivar.clamp(min=1e-30).rsqrt(), 0)
    return flux + factor * sigma * draws.normal(flux.shape[1]), ivar / (1 + factor.square())


def smoothed(flux: Tensor, ivar: Tensor, share: float, grid: LogGrid, draws: Draws) -> tuple[Tensor, Tensor]:
    """Some spectra smoothed, as archives and users do; what their ivar says then is anybody's guess: all is tried."""
    least, most = (sigma / grid.velocity for sigma in SMOOTHEST)
    width = least + (most - least) * draws.uniform(1)  # bins
    radius = grid.bins_of(RADIUS)
    offset = torch.arange(-radius, radius + 1, device=flux.device)
    kernel = torch.exp(-0.5 * (offset / width).square())
    kernel = kernel / kernel.sum(1, keepdim=True)
    smooth = functional.conv1d(flux[None], kernel[:, None], padding=radius, groups=len(flux))[0]
    guess = torch.exp(2 * draws.uniform(1) * width.log1p())
    chosen = draws.uniform(1) < share
    return torch.where(chosen, smooth, flux), torch.where(chosen, ivar * guess, ivar)


def shifted(flux: Tensor, ivar: Tensor, most: int, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Most spectra at another redshift, by up to `most` bins; what comes into view from outside is masked."""
    count, bins = flux.shape
    moved = draws.integers(-most, most + 1) * (draws.uniform() < 0.7)
    source = torch.arange(bins, device=flux.device) - moved[:, None]
    inside = (source >= 0) & (source < bins)
    source = source.clamp(0, bins - 1)
    return flux.gather(1, source), ivar.gather(1, source) * inside, moved


def hidden(bins: int, share: float, cropped: float, block: int, draws: Draws) -> Tensor:
    """(B, bins) bool: a share of the bins, `block` at a time, and of some spectra the ends, down to two fifths."""
    blocks = draws.uniform(math.ceil(bins / block)) < share
    keep = 0.4 + 0.6 * draws.uniform(1)
    begin = draws.uniform(1) * (1 - keep)
    place = torch.linspace(0, 1, bins, device=blocks.device)
    outside = ((place < begin) | (place > begin + keep)) & (draws.uniform(1) < cropped)
    return blocks.repeat_interleave(block, 1)[:, :bins] | outside


def blanked(flux: Tensor, ivar: Tensor, share: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Some spectra with nothing but noise in place of the flux, and which they are, (B,) bool."""
    blank = draws.uniform() < share
    sigma = torch.where(ivar > 0, ivar.clamp(min=1e-30).rsqrt(), 0)
    return torch.where(blank[:, None], sigma * draws.normal(flux.shape[1]), flux), blank
