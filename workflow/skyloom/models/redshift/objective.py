"""Training: the class and redshift that are known, on spectra made worse and moved; then templates of the fit."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadInput
from skyloom.models.redshift import CLASSES, CLOSE
from skyloom.models.redshift import templates as rest
from skyloom.models.redshift.augment import augment, blanked
from skyloom.models.redshift.network import RedshiftNet
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.settings import names

LABELS = {"truth": ("z_true", "spectype_true"), "catalogue": ("z", "spectype")}
LEAST = 20  # validation spectra of a class from which the scale of its errors is taken


class Objective(nn.Module):
    """Cross-entropy of the posterior with the known class and redshift, a Gaussian of one bin; of blank spectra, with
    every redshift alike."""

    def __init__(self, model: RedshiftNet):
        super().__init__()
        self.model, self.inputs = model, model.inputs
        self.labels = LABELS[model.config.learn_from]
        self.finish_samples = model.config.fit_samples

    def known(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Class (B,) int64, place among the shifts (B,) float64, and which spectra have both, among those searched."""
        model = self.model
        z, kind = (batch.labels[name] for name in self.labels)
        of = torch.tensor([names.CLASSES.index(name) for name in CLASSES], device=kind.device)
        match = kind[:, None] == of
        place = torch.log1p(z.double()) / model.grid.step - model.lowest
        number = match.int().argmax(1)
        nearest = place.nan_to_num(-1).round().long()
        inside = (nearest >= 0) & (nearest < model.shifts)
        there = model.searched[number, nearest.clamp(0, model.shifts - 1)]
        return number, place.nan_to_num(0), match.any(1) & inside & there

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model = self.model
        flux, ivar = model.binned(batch)
        kind, place, there = self.known(batch)
        blank = torch.zeros_like(there)
        if self.training:
            flux, ivar, moved = augment(flux, ivar, model.config, model.grid, draws)
            after = place + moved
            stays = (after < 2) | (after > model.shifts - 3)  # it would leave the range: it is not there then
            there, place = there & ~stays, after
            flux, blank = blanked(flux, ivar, model.config.augment.blank, draws)
        log_p = model.log_posterior(flux, ivar)
        shift = torch.arange(model.shifts, device=flux.device)
        soft = functional.softmax(-0.5 * (shift - place[:, None]).float().square(), 1)
        own = log_p[torch.arange(len(flux), device=flux.device), kind].clamp(min=-50)
        count = there.sum().clamp(min=1)
        likely = (soft * own).sum(1)
        if blank.any():
            anywhere = torch.isfinite(log_p)
            flat = torch.where(anywhere, log_p.clamp(min=-50), 0).sum((1, 2)) / anywhere.sum((1, 2))
            likely = torch.where(blank, flat, likely)
        loss = -(likely * there).sum() / count
        best = log_p.amax(1).argmax(1)
        there, count = there & ~blank, (there & ~blank).sum().clamp(min=1)
        right = ((best - place).abs() * model.grid.step < CLOSE) & there
        return loss, {"right": right.sum() / count}

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch], validation: Iterable[Batch]) -> list[dict]:
        """Fit what is not learned by gradients: templates of the chi2 fit and of the embedding, on training spectra;
        the sharpness of the posterior and what counts as a misfit, on validation spectra.

        Raises BadInput when no class has enough training spectra for its templates.
        """
        model = self.model
        parts = []
        for batch in batches:
            kind, place, there = self.known(batch)
            flux, ivar = model.finely_binned(batch)
            begin = model.rest_place((place + model.lowest) * model.grid.step)
            parts.append([values[there] for values in (flux, ivar, begin, kind)])
        flux, ivar, begin, kind = (torch.cat(values) for values in zip(*parts, strict=True))
        least = 3 * model.config.basis
        for number in range(len(CLASSES)):
            own = kind == number
            model.known[number] = int(own.sum()) >= least
            if model.known[number]:
                d, w, _ = rest.at_rest(flux[own], ivar[own], begin[own], model.rest_bins)
                model.basis[number] = rest.learn(d, w, model.config.basis, model.fine)
        if not model.known.any():
            have = ", ".join(f"{int((kind == number).sum())} {name}" for number, name in enumerate(CLASSES))
            raise BadInput(
                f"the redshift model has {have} with a known redshift to learn from, and needs {least} of a class"
                " (three for each of its templates, `basis`)"
            )
        d, w, _ = rest.at_rest(flux, ivar, begin, model.rest_bins)
        model.rest_basis.copy_(rest.learn(d, w, model.config.dim, model.fine))
        numbers = rest.solve(w, d * w, model.rest_basis)
        spread = 1.4826 * (numbers - numbers.median(0).values).abs().median(0).values
        model.rest_variance.copy_(torch.maximum(spread, 1e-3 * spread.max()).square())
        return self.calibrate(validation)

    def calibrate(self, validation: Iterable[Batch]) -> list[dict]:
        """The temperature with the best log score, the reduced chi2 that few spectra exceed, and by how much errors of
        the fit are too small, class by class."""
        model = self.model
        model.temperature.fill_(1.0)
        model.error_scale.fill_(1.0)  # those of a model that this one started from
        model.misfit.fill_(torch.inf)
        kept = []
        for batch in validation:
            kind, place, there = self.known(batch)
            log_p = model.log_posterior(*model.binned(batch))
            said = model.predict(batch, "redshift")
            z = torch.expm1((place + model.lowest) * model.grid.step)
            dz = said["z"] - z
            close = (dz.abs() < CLOSE * (1 + z)) & (said["class"] == kind) & (said["zerr"] > 0)
            pull = torch.where(close, dz / said["zerr"], torch.nan)
            kept.append([part[there] for part in (log_p, kind, place, said["reduced_chi2"], pull)])
        log_p, kind, place, reduced, pull = (
            (torch.cat(values) for values in zip(*kept, strict=True)) if kept else [()] * 5
        )
        if not len(kind):
            return []
        for number in range(len(CLASSES)):
            own = pull[(kind == number) & torch.isfinite(pull)]
            if len(own) >= LEAST:
                model.error_scale[number] = (1.4826 * own.abs().median()).clamp(min=1)
        model.temperature.fill_(best_temperature(log_p, kind, place))
        row = {"split": "fit", "temperature": float(model.temperature)}
        if model.config.refine:
            model.misfit.fill_(float(reduced.quantile(0.995)) * 1.25)
            row["misfit"] = float(model.misfit)
        return [row | {f"error_{name}": float(scale) for name, scale in zip(CLASSES, model.error_scale, strict=True)}]


def best_temperature(log_p: Tensor, kind: Tensor, place: Tensor) -> float:
    """By what to divide ln p (n, classes, shifts) so that the known class and place, give or take a bin, are as
    probable as can be."""
    rows = torch.arange(len(kind), device=kind.device)
    near = (place.round().long()[:, None] + torch.arange(-1, 2, device=kind.device)).clamp(0, log_p.shape[2] - 1)
    best = (math.inf, 1.0)
    for temperature in torch.logspace(-0.6, 0.6, 49).tolist():
        scaled = (log_p / temperature).flatten(1).log_softmax(1).view_as(log_p)
        score = -scaled[rows[:, None], kind[:, None], near].logsumexp(1).clamp(min=-30).mean()
        best = min(best, (float(score), temperature))
    return best[1]
