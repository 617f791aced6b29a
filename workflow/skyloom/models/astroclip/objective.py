"""How modalities are brought into one space: every two of them, each over the galaxies that have both.

Where no block of the backbones learns, their tokens are computed once (`Objective.precompute`). In validation a galaxy
is compared with its batch alone, whatever waits in the queue.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from skyloom.models.astroclip.losses import FAR, Beyond, info_nce, sigmoid, strangers
from skyloom.models.astroclip.network import AstroCLIP
from skyloom.nn import distributed
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.queue import Queue, in_order
from skyloom.nn.unfreezing import fixed

LARGEST = 100.0
"""Inverse temperature beyond which a learned one does not go (Radford et al. 2021)."""
BIAS = -10.0
"""Bias of the sigmoid loss at the start (Zhai et al. 2023)."""
BEGIN = 1024


class Objective(Queue):
    """The mean loss over all pairs of modalities, and what is kept of each.

    A batch holds what the backbones take, or what `precompute` made of it.
    """

    def __init__(self, model: AstroCLIP):
        config = model.config
        super().__init__(torch.zeros(config.queue, len(model.modalities) * config.dim))
        self.model, self.inputs = model, model.inputs
        self.rates = {"model.backbones": config.rate} if model.learning else {}
        if config.temperature == "learned":
            self.log_scale = nn.Parameter(torch.tensor([math.log(config.logit_scale)]))  # a row: so it can be sharded
        if config.loss == "sigmoid":
            self.bias = nn.Parameter(torch.tensor([BIAS]))
        self.owns = nn.ModuleDict()
        self.begin_samples = BEGIN if config.kept else 0
        self.waiting: tuple[Tensor, Tensor] | None = None
        if not model.learning:
            self.precompute = self._precompute

    @property
    def frozen(self) -> tuple[str, ...]:
        """What never changes of the backbones is not part of a checkpoint."""
        return fixed(self.model.backbones, self.model.learning, "model.backbones.")

    @torch.no_grad()
    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Take from some training galaxies means and deviations of the embeddings whose neighbours are kept."""
        self.eval()
        found: dict[str, list[Tensor]] = {m: [] for m in self.model.config.kept}
        for batch in batches:
            for m, parts in found.items():
                parts.append(self.model.backbones[m].embed(batch, m)[batch.present[m]].float())
        for m, parts in found.items():
            self.owns[m] = Own(torch.cat(parts))

    def _precompute(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Tokens of the frozen backbones, modality -> {"tokens": (B, views, T, d)}; "own" (B, D) where neighbours
        are kept."""
        held = {m: {"tokens": self.tokens(batch, m)} for m in self.model.modalities}
        for m in self.owns:
            held[m]["own"] = self.own(batch, m)
        return held

    def tokens(self, batch: Batch, modality: str) -> Tensor:
        """Tokens of every view of one modality, (B, views, T, d)."""
        views = range(self.model.views(modality))
        shown = (self.model.view(batch, modality, number) for number in views)
        return torch.stack([self.model.tokens(view, modality) for view in shown], 1)

    def shown(self, batch: Batch, modality: str, draws: Draws) -> Tensor:
        """Tokens of the view that each galaxy is shown in, (B, T, d): one by chance in training, else the first."""
        given, count = batch[modality], self.model.views(modality)
        view = draws.integers(0, count) if self.training and count > 1 else None
        if "tokens" in given:
            return given["tokens"][torch.arange(len(batch), device=batch.device), 0 if view is None else view]
        return self.model.tokens(batch if view is None else self.turned(batch, modality, view), modality)

    def turned(self, batch: Batch, modality: str, view: Tensor) -> Batch:
        """The batch with every sample of a modality shown in a way of its own, `view` (B,)."""
        found = dict(batch[modality])
        for number in range(1, self.model.views(modality)):
            other = self.model.view(batch, modality, number)[modality]
            for name, values in found.items():
                rows = (view == number).view(-1, *[1] * (values.ndim - 1))
                found[name] = torch.where(rows, other[name], values)
        return batch.changed(modality, **found)

    def own(self, batch: Batch, modality: str) -> Tensor:
        """The backbone's own embedding, whose neighbours are kept, (B, D), standardised."""
        with torch.no_grad():
            return self.owns[modality](self.model.backbones[modality].embed(batch, modality).float())

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model, embedded, present = self.model, {}, {}
        for m in model.modalities:
            tokens = self.shown(batch, m, draws)
            own = model.pool(self.augment(tokens.float(), draws), m)
            embedded[m], present[m] = distributed.gather(own), distributed.gather_mask(batch.present[m])
        galaxies = distributed.gather_mask(self.of(batch))
        if self.training and len(self.queue):
            rows = torch.cat([(embedded[m] * present[m][:, None]).detach() for m in model.modalities], 1)
            self.waiting = distributed.own_rows(rows), self.of(batch)
        losses, found = [], []
        for a, b in combinations(model.modalities, 2):
            both = present[a] & present[b]
            if both.any():
                beyond = self.beyond(embedded[a][both], embedded[b][both], a, b, galaxies[both])
                loss, similarity = self.compare(embedded[a][both], embedded[b][both], beyond)
                losses.append(loss)
                found.append((similarity.argmax(1) == torch.arange(len(similarity), device=loss.device)).float().mean())
        if not losses:  # no galaxy with two modalities in this batch: nothing to learn, but every parameter takes part
            learned = [embedded[m].sum() for m in model.modalities] + [p.sum() for p in self.parameters(recurse=False)]
            losses, found = [sum(learned) * 0], [torch.zeros((), device=batch.device)]
        loss, metrics = sum(losses) / len(losses), {"top1": sum(found) / len(found)}
        if model.config.temperature == "learned":
            metrics["scale"] = self.scale.detach().squeeze()
        for m in self.owns:
            own = batch[m]["own"].float() if "own" in batch[m] else self.own(batch, m)
            rows = present[m]
            lost = strangers(embedded[m][rows], distributed.gather_mask(own)[rows], model.config.logit_scale)
            metrics[f"strangers_{m}"] = lost
            loss = loss + model.config.keep[m] * lost
        return loss, metrics

    @property
    def scale(self) -> Tensor | float:
        """Inverse temperature."""
        c = self.model.config
        return self.log_scale.exp().clamp(max=LARGEST) if c.temperature == "learned" else c.logit_scale

    def compare(self, a: Tensor, b: Tensor, beyond: Beyond | None) -> tuple[Tensor, Tensor]:
        """The loss of the configuration over pairs (B, d), and their similarities."""
        if self.model.config.loss == "sigmoid":
            return sigmoid(a, b, self.scale, self.bias, beyond)
        return info_nce(a, b, self.scale, beyond)

    def beyond(self, a: Tensor, b: Tensor, of_a: str, of_b: str, galaxies: Tensor) -> Beyond | None:
        """Similarities with what waits in the queue, but for the same galaxies and for what lacks the modality."""
        if not self.training or not len(self.queue):
            return None
        waiting, same, found = self.queue.unflatten(1, (-1, a.shape[1])), self.same(galaxies), []
        for own, other in ((a, of_b), (b, of_a)):
            rows = waiting[:, self.model.modalities.index(other)]
            there = rows.any(1)  # an embedding has length 1; one that is not there is zero
            found.append((own @ rows.T).masked_fill(same | ~there, FAR))
        return tuple(found)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """The batch takes the place of the oldest pairs of the queue."""
        if self.waiting is not None:
            self.put(*map(in_order, self.waiting))
            self.waiting = None

    def augment(self, tokens: Tensor, draws: Draws) -> Tensor:
        """In training: leave tokens out (the same number in every sample), zero channels, add noise."""
        config = self.model.config
        if not self.training:
            return tokens
        if config.token_dropout:
            kept = max(1, round(tokens.shape[1] * (1 - config.token_dropout)))
            chosen = draws.uniform(tokens.shape[1]).argsort(1)[:, :kept, None]
            tokens = tokens.gather(1, chosen.expand(-1, -1, tokens.shape[2]))
        if config.dropout:
            tokens = tokens * (draws.uniform(1, tokens.shape[2]) >= config.dropout) / (1 - config.dropout)
        if config.token_noise:
            tokens = tokens + config.token_noise * distributed.deviation(tokens) * draws.normal(*tokens.shape[1:])
        return tokens


class Own(nn.Module):
    """An encoder's own embedding, in units of the deviations of some galaxies, `seen` (N, D)."""

    def __init__(self, seen: Tensor):
        super().__init__()
        self.register_buffer("mean", seen.mean(0))
        self.register_buffer("deviation", seen.std(0).clamp(min=1e-6))

    def forward(self, own: Tensor) -> Tensor:
        return (own - self.mean) / self.deviation
