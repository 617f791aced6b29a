"""Spectra on a grid of equal velocity steps, where a redshift is a shift."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.formats.rebin import shares
from skyloom.settings.survey import SPEED_OF_LIGHT, velocity_bins


@dataclasses.dataclass(frozen=True)
class LogGrid:
    """Bins of equal width in ln(wavelength).

    start : lower edge of the first bin, Angstrom
    step : width of a bin in ln(wavelength)
    bins : how many
    """

    start: float
    step: float
    bins: int

    @classmethod
    def over(cls, first: float, last: float, velocity: float) -> "LogGrid":
        """Bins of `velocity` km/s from the wavelength `first` up to `last` at most."""
        return cls(first, velocity / SPEED_OF_LIGHT, velocity_bins(first, last, velocity))

    @property
    def velocity(self) -> float:
        """Width of a bin, km/s."""
        return self.step * SPEED_OF_LIGHT

    def bins_of(self, velocity: float) -> int:
        """How many bins come closest to a width in km/s, at least one."""
        return max(1, round(velocity / self.velocity))

    def odd_bins_of(self, velocity: float) -> int:
        """The same, the closest odd number: a window around a bin."""
        return 1 + 2 * max(1, round((velocity / self.velocity - 1) / 2))

    def places(self, wavelengths: Iterable[float]) -> list[float]:
        """Where wavelengths (Angstrom) lie, in bins from the middle of the first; without those beyond the grid."""
        found = [math.log(wavelength / self.start) / self.step - 0.5 for wavelength in wavelengths]
        return [place for place in found if 0 < place < self.bins - 1]

    @property
    def edges(self) -> np.ndarray:
        """(bins + 1,) Angstrom."""
        return self.start * np.exp(self.step * np.arange(self.bins + 1))

    @property
    def centres(self) -> np.ndarray:
        """(bins,) Angstrom."""
        return self.start * np.exp(self.step * (np.arange(self.bins) + 0.5))


class Rebin(nn.Module):
    """From pixels of equal width to the bins of a `LogGrid`, by inverse variance.

    A pixel's weight, its inverse variance, goes to the bins by the share of the pixel in each, so that no information
    is made: bins narrower than pixels get less inverse variance each.
    """

    def __init__(self, start: float, step: float, pixels: int, grid: LogGrid):
        super().__init__()
        lower = start + step * (np.arange(pixels) - 0.5)
        share, index = shares(lower, lower + step, grid.edges)
        self.register_buffer("index", torch.from_numpy(index), persistent=False)
        self.register_buffer("share", torch.from_numpy(share.astype("f4")), persistent=False)

    def forward(self, flux: Tensor, ivar: Tensor) -> tuple[Tensor, Tensor]:
        """(B, pixels) flux and ivar to (B, bins): the weighted mean (0 where there is nothing) and its ivar."""
        if torch.compiler.is_exporting():  # whose form of the sum below is of one number of spectra only
            total, weight = (torch.stack([flux * ivar, ivar])[..., self.index] * self.share).sum(-1)
        else:
            both = torch.cat([flux * ivar, ivar]).T.contiguous()
            sums = functional.embedding_bag(self.index, both, per_sample_weights=self.share, mode="sum")
            total, weight = sums.T.contiguous().chunk(2)
        return torch.where(weight > 0, total / weight.clamp(min=1e-30), 0), weight


def running_mean(flux: Tensor, ivar: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Means of (B, N) flux over `width` neighbouring bins (odd) weighted by ivar, and the ivar of each mean."""
    both = torch.stack([flux * ivar, ivar]).double()  # differences of sums: single precision would not do
    sums = functional.pad(both, (width // 2 + 1, width // 2)).cumsum(-1)
    total, weight = (sums[..., width:] - sums[..., :-width]).float()
    weight = torch.where(weight > 1e-9 * ivar.amax(-1, keepdim=True), weight, 0)
    return torch.where(weight > 0, total / weight.clamp(min=1e-30), 0), weight


def channels(flux: Tensor, ivar: Tensor, continuum: int, broad: int) -> Tensor:
    """What a network sees of (B, bins) spectra, (B, 4, bins): lines and broad features in units of their noise, the
    shape of the continuum, and where there are data; zero where there are none.

    Without the continuum, errors of calibration that a mock lacks are hidden, and in units of the noise bright and
    faint spectra are alike.

    Parameters
    ----------
    continuum, broad : bins (odd) of the running mean that is taken off, and of the one that this is compared with
    """
    seen = (ivar > 0).float()
    near, near_ivar = running_mean(flux, ivar, continuum)
    far, _ = running_mean(flux, ivar, broad)
    lines = torch.asinh((flux - near) * ivar.sqrt() / 1.5)
    wide = torch.asinh((near - far) * near_ivar.sqrt() / 10) / 3
    scale = (near.abs() * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
    shape = torch.tanh(near / scale.clamp(min=1e-30) - 1)
    return torch.stack([lines, wide, shape, torch.ones_like(seen)], 1) * seen[:, None]
