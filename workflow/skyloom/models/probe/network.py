"""An attentive probe: properties from the tokens of a frozen encoder, found by learned queries (few-shot).

What a mean over tokens blurs, attention can find; the encoder stays as it is. Learned queries attend to its tokens, and
a linear layer reads all properties from what they find. Tokens are computed once (`Objective.precompute`).
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.probe import Config
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import CrossAttention, init_by_depth
from skyloom.nn.draws import Draws

LEAST = 2  # training galaxies of which a property must be known


class Probe(nn.Module):
    """Tokens of one frozen backbone to properties.

    Parameters
    ----------
    config : the head
    backbones : modality -> network with `tokens(batch)`, (B, T, width); one
    """

    def __init__(self, config: Config, backbones: dict[str, nn.Module]):
        super().__init__()
        if len(backbones) > 1:
            raise BadConfig(f"backbones: {', '.join(backbones)} is not allowed; a probe has one")
        self.config, self.width = config, config.dim
        ((self.modality, backbone),) = backbones.items()
        self.backbones = nn.ModuleDict({self.modality: backbone}).requires_grad_(False)
        self.query = nn.Parameter(torch.randn(1, config.queries, config.dim))
        self.attention = CrossAttention(config.dim, backbone.width, config.heads)
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.queries * config.dim, len(config.properties))
        for part in (self.attention, self.head):
            init_by_depth(part, 0.5)
        self.register_buffer("mean", torch.zeros(len(config.properties)))
        self.register_buffer("deviation", torch.ones(len(config.properties)))
        self.inputs = {self.modality: backbone.inputs[self.modality]}

    def tokens(self, batch: Batch) -> Tensor:
        """Output tokens of the frozen backbone, (B, T, its width)."""
        with torch.no_grad():
            return self.backbones[self.modality].eval().tokens(batch)

    def pool(self, tokens: Tensor) -> Tensor:
        """What every query finds in tokens (B, T, width), (B, queries * dim)."""
        return self.norm(self.attention(self.query.expand(len(tokens), -1, -1), tokens)).flatten(1)

    def predict(self, batch: Batch, query: str) -> dict[str, Tensor]:
        """Every property in its own unit, (B,) each."""
        values = self.head(self.pool(self.tokens(batch))).double() * self.deviation + self.mean
        return dict(zip(self.config.properties, values.unbind(1), strict=True))


class Objective(nn.Module):
    """Mean squared error of the properties that are known of a galaxy, in units of their variance."""

    frozen = ("model.backbones.",)  # never changes: not part of a checkpoint

    def __init__(self, model: Probe):
        super().__init__()
        self.model, self.inputs = model, model.inputs
        self.labels = tuple(model.config.properties)
        self.register_buffer("weight", torch.ones(len(self.labels)))

    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Take mean and deviation of every property from the training split, and how rare it is.

        Raises
        ------
        BadInput : a property that is not known of LEAST training galaxies.
        """
        for place, name in enumerate(self.labels):
            known = labels[name][torch.isfinite(labels[name])].double()
            if len(known) < LEAST:
                there = [other for other in self.labels if int(torch.isfinite(labels[other]).sum()) >= LEAST]
                raise BadInput(
                    f"a probe learns {name}, which {len(known)} training galaxies have; expected {LEAST} at least. "
                    f"Known are {', '.join(there) or 'none of its properties'}"
                )
            self.model.mean[place], self.model.deviation[place] = known.mean(), known.std().clamp(min=1e-12)
            self.weight[place] = len(labels[name]) / len(known)

    def precompute(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Tokens of the frozen backbone, {"tokens": (B, T, d)}."""
        return {self.model.modality: {"tokens": self.model.tokens(batch)}}

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model = self.model
        given = batch[model.modality]
        tokens = given["tokens"].float() if "tokens" in given else model.tokens(batch)
        labels = torch.stack([batch.labels[name] for name in self.labels], 1)
        known = torch.isfinite(labels)
        pooled = model.pool(tokens)
        if self.training and model.config.dropout:
            share = model.config.dropout
            pooled = pooled * (draws.uniform(pooled.shape[1]) >= share) / (1 - share)
        truth = (labels.nan_to_num() - model.mean) / model.deviation
        each = ((model.head(pooled) - truth).square() * known * self.weight).mean(0)
        return each.mean(), dict(zip(self.labels, each, strict=True))
