"""How labels are learned: numbers by least squares, classes by cross-entropy, of the galaxies of which they are known.

Where nothing of the encoder learns its tokens are computed once (`Objective.precompute`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadInput
from skyloom.models.finetune import ALL, LEAST
from skyloom.models.finetune.check import few
from skyloom.models.finetune.network import FineTuned
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.unfreezing import fixed

TEMPERATURES = torch.logspace(-1, 1, 81)


class Objective(nn.Module):
    """The loss is a mean over galaxies: squared error in units of the label's variance and minus the log density of
    what is left, or cross-entropy."""

    labelled = True
    finish_samples = 0

    def __init__(self, model: FineTuned):
        super().__init__()
        self.model, self.inputs, config = model, model.inputs, model.config
        self.labels = tuple(config.labels)
        self.classes = {self.labels[0]: config.names} if config.classes else {}
        self.rates = {"model.backbones": config.rate} if config.unfrozen else {}
        self.begin_samples = 2 if config.unfrozen == ALL else 0
        self.register_buffer("weight", torch.ones(len(self.labels)))
        if not config.unfrozen:
            self.precompute = self._precompute

    @property
    def frozen(self) -> tuple[str, ...]:
        """What never changes of the encoder is not part of a checkpoint."""
        if self.model.config.unfrozen == ALL:
            return ()
        return fixed(self.model.backbones, self.model.learning, "model.backbones.")

    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Take mean and deviation of every number from the training split, and how rare labels are; with `unfrozen:
        all` freeze what tokens are not made of.

        Raises
        ------
        BadInput : a label that is not known of LEAST training galaxies, or a class that fewer have.
        """
        for place, name in enumerate(self.labels):
            known = labels[name][torch.isfinite(labels[name])].double()
            if self.classes:
                self._count(name, known.long())
            if len(known) < LEAST:
                there = [other for other in self.labels if int(torch.isfinite(labels[other]).sum()) >= LEAST]
                raise BadInput(
                    f"a model learns {name}, which {len(known)} training galaxies have; expected {LEAST} at least. "
                    f"Known are {', '.join(there) or 'none of its labels'}"
                )
            self.weight[place] = len(labels[name]) / len(known)
            if not self.classes:
                self.model.mean[place], self.model.deviation[place] = known.mean(), known.std().clamp(min=1e-12)
        self.eval()  # without chance
        for batch in batches:
            self.forward(batch, Draws(0, "begin", len(batch), device=str(batch.device)), 0.0)[0].backward()
            for parameter in self.model.backbones.parameters():
                parameter.requires_grad_(parameter.grad is not None)
            self.zero_grad(set_to_none=True)

    def _count(self, name: str, known: Tensor) -> None:
        counts = Counter({word: int((known == place).sum()) for place, word in enumerate(self.classes[name])})
        for word, count in counts.items():
            if count < LEAST:
                raise BadInput(f"classes of {name}: {few(word, count, 'the training galaxies', counts)}")

    def _precompute(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Tokens of the frozen encoder, {"tokens": (B, T, d)}."""
        return {self.model.modality: {"tokens": self.model.tokens(batch)}}

    def pooled(self, batch: Batch) -> Tensor:
        """What the head reads of galaxies, or of their tokens, (B, n)."""
        given = batch[self.model.modality]
        return self.model.pool(given["tokens"].float() if "tokens" in given else self.model.tokens(batch))

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model = self.model
        labels = torch.stack([batch.labels[name] for name in self.labels], 1)
        known = torch.isfinite(labels)
        pooled = self.pooled(batch)
        if self.training and model.config.dropout:
            share = model.config.dropout
            pooled = pooled * (draws.uniform(pooled.shape[1]) >= share) / (1 - share)
        said = model.head(pooled).float()
        if self.classes:
            truth, rows = labels[:, 0].nan_to_num().long(), known[:, 0] * self.weight
            loss = (functional.cross_entropy(said, truth, reduction="none") * rows).mean()
            return loss, {"right": ((said.argmax(1) == truth) * rows).mean()}
        truth = (labels.nan_to_num() - model.mean) / model.deviation
        error, spread = (said - truth).square(), model.spreads(pooled)
        each = (error * known * self.weight).mean(0)
        unsure = ((error.detach() / spread.square() / 2 + spread.log()) * known * self.weight).mean(0)
        return each.mean() + unsure.mean(), dict(zip(self.labels, each, strict=True))

    @torch.no_grad()
    def finish(self, train: Iterable[Batch], validation: Iterable[Batch]) -> list[dict]:
        """Make intervals and probabilities hold on the validation galaxies.

        The width of intervals, in deviations, is the quantile of the normalised errors that split conformal prediction
        takes (Lei et al. 2018, JASA 113, 1094), as long as there are enough galaxies for one; probabilities have the
        temperature of least cross-entropy (Guo et al. 2017, ICML).
        """
        parts = [(self.pooled(batch), [batch.labels[name] for name in self.labels]) for batch in validation]
        if not parts:
            return []
        pooled = torch.cat([part for part, _ in parts])
        labels = torch.stack([torch.cat(values) for values in zip(*(own for _, own in parts), strict=True)], 1)
        known, model = torch.isfinite(labels), self.model
        said = model.head(pooled).float()
        if self.classes:
            rows = known[:, 0]
            if not rows.any():
                return []
            losses = [
                functional.cross_entropy(said[rows] / heat, labels[rows, 0].long()) for heat in TEMPERATURES.to(said)
            ]
            model.temperature.copy_(TEMPERATURES[int(torch.stack(losses).argmin())])
            return [{"split": "fit", "temperature": float(model.temperature)}]
        score = ((labels - model.mean) / model.deviation - said).abs() / model.spreads(pooled)
        row: dict = {"split": "fit"}
        for place, name in enumerate(self.labels):
            own = score[known[:, place], place].sort().values
            number = math.ceil((len(own) + 1) * model.config.level)
            if 0 < number <= len(own):
                model.reach[place] = own[number - 1]
            row[f"reach_{name}"] = float(model.reach[place])
        return [row]
