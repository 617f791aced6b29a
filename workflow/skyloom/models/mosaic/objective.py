"""Training: hide numbers as the paper does, and say all of them, the visible ones too (Xia et al. 2025, appendix C)."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from skyloom.models.mosaic import distribution as said
from skyloom.models.mosaic import masks
from skyloom.models.mosaic.network import Mosaic
from skyloom.models.mosaic.numbers import choose
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws

FEW = 6
"""Numbers of a token all of which are always looked at."""


class Objective(nn.Module):
    """The mean over modalities of the mean over all their numbers: squared error, or pinball loss of quantiles.

    As published visible numbers count as hidden ones do; with the setting `visible` they count less.

    With factors the copula of the hidden numbers is added, which leaves quantiles as they are.
    """

    def __init__(self, model: Mosaic):
        super().__init__()
        self.model, self.inputs = model, model.inputs
        self.begin_samples, self.finish_samples = 4000, 0

    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Before the first step: the means and deviations of the training split."""
        self.model.standardise(statistics, batches)

    def visible(self, known: Mapping[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Which numbers the network sees, modality -> (B, size) bool."""
        model = self.model
        if model.config.given:
            shown = choose(model.config.given, model.sizes, model.axes, "model.given")
            none = {name: torch.zeros(size, dtype=torch.bool) for name, size in model.sizes.items()}
            shown = none | {name: torch.from_numpy(mask) for name, mask in shown.items()}
            return {name: known[name] & shown[name].to(known[name].device) for name in model.sizes}
        hidden = masks.draw(draws, model.sizes, model.config.masks)
        return {name: known[name] & ~hidden[name] for name in model.sizes}

    def scored(self, draws: Draws) -> dict[str, Tensor]:
        """The places in a token that the loss looks at in this step, the same in every token, so that numbers far
        apart are seen together; modality -> (n,), all of them in validation and of tokens of a few numbers."""
        found = {}
        for name, patch in self.model.patches.items():
            some = math.ceil(patch * self.model.config.scored) if self.training else patch
            found[name] = draws.shared(patch).argsort()[: max(some, min(patch, FEW))].sort().values
        return found

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model = self.model
        values, known = model.scaled(batch)
        visible = self.visible(known, draws)
        places = self.scored(draws)
        out = model(values, visible, places)
        values, known, visible = (
            {name: model.at_places(name, part[name], places[name]) for name in model.sizes}
            for part in (values, known, visible)
        )
        quantiles = {name: said.quantiles(out[name]) for name in out} if model.config.says == "quantiles" else {}
        losses = {}
        for name in model.sizes:
            if quantiles:
                each = said.pinball(quantiles[name], values[name])
            else:
                each = (out[name][..., 0] - values[name]).square()
            weight = known[name] * torch.where(visible[name], model.config.visible, 1.0)
            losses[name] = (each * weight).sum() / weight.sum().clamp(min=1e-6)
        loss = torch.stack(list(losses.values())).mean()
        if model.config.factors and quantiles:
            counted = {name: known[name] & ~visible[name] for name in model.sizes}
            together = self.copula(out, quantiles, values, counted)
            return loss + 0.1 * together, {"loss_numbers": loss, "loss_copula": together, **losses}
        return loss, losses

    def copula(self, out: dict, quantiles: dict, values: dict, counted: dict) -> Tensor:
        """How badly the factors say how the hidden numbers vary together."""
        scores = [said.score(values[m], quantiles[m].detach()).clamp(-3, 3) for m in out]  # outliers say little
        parts = (
            torch.cat(scores, 1),
            torch.cat([said.loadings(x) for x in out.values()], 1),
            torch.cat([*counted.values()], 1),
        )
        with torch.autocast(parts[0].device.type, enabled=False):  # a matrix is factored: single precision
            return said.copula(*parts).mean()

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch], validation: Iterable[Batch]) -> list[dict]:
        """Keep validation galaxies, by which the model sets the intervals of any query."""
        parts = list(validation)
        for name, size in self.model.sizes.items():
            kept = self.model.get_buffer(f"kept_{name}")
            rows = [
                torch.where(b.present[name][:, None], b[name]["values"], torch.nan)
                if name in b
                else kept.new_full((len(b), size), torch.nan)
                for b in parts
            ]
            rows = torch.cat(rows)[: len(kept)] if rows else kept[:0]
            kept.fill_(torch.nan)  # of the model that this one started from
            kept[: len(rows)] = rows
        return []
