"""Training: the class and redshift that the catalogue has, on spectra made worse and moved."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.redshift import CLASSES
from skyloom.models.redshift.network import RedshiftNet
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws


class Objective(nn.Module):
    """Cross-entropy of the posterior with the known class and redshift, one bin wide."""

    labels = ("z", "spectype")

    def __init__(self, model: RedshiftNet):
        super().__init__()
        self.model = model
        self.inputs = model.inputs

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model = self.model
        flux, ivar = model.binned(batch)
        place = torch.log1p(batch.labels["z"].double()) / model.grid.step - model.lowest
        kind = batch.labels["spectype"]
        known = torch.isfinite(place) & torch.isfinite(kind)
        kind = kind.nan_to_num(0).long().clamp(0, len(CLASSES) - 1)
        if self.training:
            flux, ivar, moved = augment(flux, ivar, model.config.augment, model.grid.step, draws, place, model.shifts)
            place = place + moved
        logits = model.logits(flux, ivar).flatten(1)
        shifts = torch.arange(model.shifts, device=flux.device)
        width = (shifts - place.nan_to_num(0)[:, None]).float()
        soft = functional.softmax(-0.5 * width.square(), 1)
        target = torch.zeros(len(flux), len(CLASSES), model.shifts, device=flux.device)
        target[torch.arange(len(flux)), kind] = soft
        log_p = logits.log_softmax(1).clamp(min=-50)
        loss = -(target.flatten(1) * log_p).sum(1)
        best = logits.argmax(1)
        right = ((best % model.shifts) - place).abs() * model.grid.step < 0.003
        loss = (loss * known).sum() / known.sum().clamp(min=1)
        share = (right & known).sum() / known.sum().clamp(min=1)
        return loss, {"right": share.float()}


def augment(flux, ivar, c, step, draws: Draws, place, shifts):
    """Spectra on the log grid made worse: (flux, ivar, moved), `moved` (B,) in bins."""
    count, bins = flux.shape
    device = flux.device
    x = torch.linspace(-1, 1, bins, device=device)
    # wrong calibration: a smooth curve, steps between arms
    curve = c.calibration * (draws.normal(3) @ torch.stack([x, x * x - 1 / 3, torch.cos(3 * x)]))
    arms = torch.bucketize(x, torch.tensor([-0.05, 0.5], device=device))
    curve = curve + 0.3 * c.calibration * draws.normal(3)[:, arms]
    flux, ivar = flux * curve.exp(), ivar * (-2 * curve).exp()
    # more noise
    k = draws.uniform(1) * c.noise * (draws.uniform(1) < 0.5)
    sigma = torch.where(ivar > 0, ivar.clamp(min=1e-30).rsqrt(), 0)
    flux, ivar = flux + k * sigma * draws.normal(bins), ivar / (1 + k * k)
    # smoothed
    radius = 8
    width = 0.5 + 3 * draws.uniform(1)
    offsets = torch.arange(-radius, radius + 1, device=device)
    kernel = torch.exp(-0.5 * (offsets / width) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    smooth = functional.conv1d(flux[None], kernel[:, None], padding=radius, groups=count)[0]
    chosen = draws.uniform(1) < c.smoothed
    flux = torch.where(chosen, smooth, flux)
    ivar = ivar * torch.where(chosen, torch.exp(2 * draws.uniform(1) * width.log1p()), 1)
    ivar = ivar * torch.exp(c.calibration * draws.normal(1))
    # another redshift
    most = int(c.shift / step)
    moved = draws.integers(-most, most + 1) if most else torch.zeros(count, dtype=torch.long, device=device)
    moved = moved * (draws.uniform() < 0.7)
    after = place + moved
    moved = torch.where((after > 2) & (after < shifts - 3), moved, 0)
    source = torch.arange(bins, device=device) - moved[:, None]
    inside = (source >= 0) & (source < bins)
    source = source.clamp(0, bins - 1)
    flux, ivar = flux.gather(1, source), ivar.gather(1, source) * inside
    # hidden blocks and ends
    block = 24
    hidden = draws.uniform(math.ceil(bins / block)) < c.masked
    ivar = ivar * ~hidden.repeat_interleave(block, 1)[:, :bins]
    keep = 0.4 + 0.6 * draws.uniform(1)
    begin = draws.uniform(1) * (1 - keep)
    place01 = torch.linspace(0, 1, bins, device=device)
    crop = (place01 < begin) | (place01 > begin + keep)
    ivar = ivar * ~(crop & (draws.uniform(1) < c.cropped))
    return torch.where(ivar > 0, flux, 0), ivar, moved
