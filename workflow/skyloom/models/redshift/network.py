"""The network: features of the observed spectrum, correlated with learned rest-frame templates at every shift."""

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from skyloom.models.redshift import CLASSES, Config
from skyloom.nn.batch import Batch
from skyloom.nn.log_grid import LogGrid, Rebin, running_mean


class RedshiftNet(nn.Module):
    """Spectra to a posterior over class and ln(1+z). Takes flux and ivar, both (B, pixels), of its modality."""

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config = config
        (self.modality,) = takes
        self.inputs = {self.modality: ("flux", "ivar")}
        first, last = config.grid.span
        self.grid = LogGrid.over(first, last, config.velocity)
        self.rebin = Rebin(config.grid.start, config.grid.step, config.grid.pixels, self.grid)
        ranges = [config.galaxy_redshifts, config.quasar_redshifts]
        bounds = [[round(math.log1p(z) / self.grid.step) for z in pair] for pair in ranges]
        self.lowest, self.highest = min(b[0] for b in bounds), max(b[1] for b in bounds)
        shifts = torch.arange(self.lowest, self.highest + 1)
        allowed = torch.stack([(shifts >= low) & (shifts <= high) for low, high in bounds])
        self.register_buffer("log_prior", torch.where(allowed, 0.0, -torch.inf), persistent=False)
        self.register_buffer("log_scale", shifts * self.grid.step, persistent=False)
        c = config
        self.layers = nn.Sequential(
            nn.Conv1d(4, c.channels, c.width, padding=c.width // 2),
            nn.GELU(),
            nn.Conv1d(c.channels, c.channels, c.width, padding=c.width // 2),
            nn.GELU(),
            nn.Conv1d(c.channels, c.features, 1),
        )
        length = self.grid.bins + len(shifts) - 1
        self.fast = next_fast_len(length, real=True)
        self.templates = nn.Parameter(torch.randn(len(CLASSES), c.features, length) * 0.01)

    @property
    def shifts(self) -> int:
        """How many redshifts are compared."""
        return self.highest - self.lowest + 1

    def binned(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Flux and inverse variance in bins of equal velocity, (B, bins) each."""
        spectra = batch[self.modality]
        return self.rebin(spectra["flux"], spectra["ivar"])

    def channels(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """What the layers see, (B, 4, bins): lines and broad features in units of their noise, continuum, mask."""
        c = self.config
        seen = (ivar > 0).float()
        near, near_ivar = running_mean(flux, ivar, c.continuum)
        far, _ = running_mean(flux, ivar, c.broad)
        lines = torch.asinh((flux - near) * ivar.sqrt() / 1.5)
        broad = torch.asinh((near - far) * near_ivar.sqrt() / 10) / 3
        scale = (near.abs() * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
        shape = torch.tanh(near / scale.clamp(min=1e-30) - 1)
        return torch.stack([lines * seen, broad * seen, shape * seen, seen], 1)

    def features(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """(B, features, bins), zero where nothing was measured."""
        return self.layers(self.channels(flux, ivar)) * (ivar > 0)[:, None]

    def scores(self, features: Tensor) -> Tensor:
        """Agreement with the templates of each class at each shift, (B, classes, shifts)."""
        with torch.autocast(features.device.type, enabled=False):
            observed = torch.fft.rfft(features.float(), self.fast)  # (B, C, F)
            rest = torch.fft.rfft(self.templates.float(), self.fast)  # (K, C, F)
            product = torch.einsum("bcf,kcf->bkf", observed.conj(), rest)
            lags = torch.fft.irfft(product, self.fast)[..., : self.shifts]
        return lags.flip(-1)

    def logits(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """Log posterior but for a constant, (B, classes, shifts); -inf outside the range of a class."""
        return self.scores(self.features(flux, ivar)) + self.log_prior
