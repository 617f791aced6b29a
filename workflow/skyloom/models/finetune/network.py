"""Labels from the tokens of a trained encoder: a head, and what of the encoder learns with it.

Notable:
- with `unfrozen: 0` this is the attentive probe of AION-1: learned queries attend to the tokens of the frozen encoder,
  and a linear layer reads all labels from what they find
- with n exactly the last n blocks learn: norms, positions and what comes before stay bit for bit, without dropout
- how sure a number is, is learned beside it by a layer whose gradient goes nowhere else (Stirn et al. 2023, AISTATS,
  "Faithful heteroscedastic regression"), so that the number is that of least squares; intervals and probabilities of
  classes are set right on the validation split (`Objective.finish`)
"""

import math

import torch
from torch import Tensor, nn

from skyloom.core.errors import BadConfig
from skyloom.models.finetune import ALL, Config
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import CrossAttention, init_by_depth
from skyloom.nn.unfreezing import last_blocks, rest_in_evaluation

NARROWEST = 1e-3  # smallest deviation, in units of that of the label


class FineTuned(nn.Module):
    """Tokens of one encoder to labels.

    Parameters
    ----------
    config : labels, what learns, head
    backbones : modality -> network with `tokens(batch)`, (B, T, width), and `blocks` if some are to learn; one
    """

    def __init__(self, config: Config, backbones: dict[str, nn.Module]):
        super().__init__()
        if len(backbones) > 1:
            raise BadConfig(f"backbones: {', '.join(backbones)} is not allowed; one encoder is fine-tuned")
        self.config, count = config, len(config.labels)
        ((self.modality, backbone),) = backbones.items()
        self.backbones = nn.ModuleDict({self.modality: backbone}).requires_grad_(config.unfrozen == ALL)
        for block in self.learning:
            block.requires_grad_(True)
        wide = backbone.width
        if config.pooling == "attention":
            self.query = nn.Parameter(torch.randn(1, config.queries, config.dim))
            self.attention = CrossAttention(config.dim, wide, config.heads)
            wide = config.dim
        self.norm = nn.LayerNorm(wide)
        wide *= config.queries if config.pooling == "attention" else 1
        self.head = nn.Linear(wide, len(config.names) or count)
        for part in (*([self.attention] if config.pooling == "attention" else []), self.head):
            init_by_depth(part, 0.5)
        if config.classes:
            self.register_buffer("temperature", torch.ones(()))
        else:
            self.spread = nn.Linear(wide, count)
            nn.init.zeros_(self.spread.weight)
            nn.init.zeros_(self.spread.bias)
            self.register_buffer("mean", torch.zeros(count))
            self.register_buffer("deviation", torch.ones(count))
            half = math.sqrt(2) * torch.erfinv(torch.tensor(config.level))
            self.register_buffer("reach", half.repeat(count))  # width of an interval, in deviations
        self.inputs = {self.modality: backbone.inputs[self.modality]}

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.backbones[self.modality]

    @property
    def learning(self) -> list[nn.Module]:
        """The blocks that learn, but for `unfrozen: all`; BadConfig if the encoder has fewer."""
        wanted = self.config.unfrozen
        return [] if wanted == ALL else last_blocks(self.backbone, wanted)

    def train(self, mode: bool = True) -> "FineTuned":
        """As usual, but what is frozen stays in evaluation: no dropout there."""
        super().train(mode)
        if self.config.unfrozen != ALL:
            rest_in_evaluation(self.backbone, self.learning, mode)
        return self

    def tokens(self, batch: Batch) -> Tensor:
        """Output tokens of the encoder, (B, T, its width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.unfrozen != 0):
            return self.backbone.tokens(batch)

    def pool(self, tokens: Tensor) -> Tensor:
        """What the head reads of tokens (B, T, width), (B, n)."""
        if self.config.pooling == "attention":
            return self.norm(self.attention(self.query.expand(len(tokens), -1, -1), tokens)).flatten(1)
        return self.norm(tokens.mean(1) if self.config.pooling == "mean" else tokens[:, 0])

    def spreads(self, pooled: Tensor) -> Tensor:
        """Deviation of each number about what is said, (B, labels), in units of that of the label in the training."""
        return nn.functional.softplus(self.spread(pooled.detach()).float() + math.log(math.e - 1)) + NARROWEST

    def predict(self, batch: Batch, query: str) -> dict[str, Tensor]:
        """What is said of every galaxy.

        Returns
        -------
        of a number: column -> (B,) in its own unit, and column_lower, column_upper, between which it is with
        probability `level`. Of a class: column, the place in `classes`, (B,) int64; column_probability (B,) that it is
        this one; column_probabilities (B, classes)
        """
        pooled = self.pool(self.tokens(batch))
        if self.config.classes:
            (name,) = self.config.labels
            probabilities = (self.head(pooled).float() / self.temperature).softmax(1)
            most, place = probabilities.max(1)
            return {name: place, f"{name}_probability": most, f"{name}_probabilities": probabilities}
        values = self.head(pooled).double() * self.deviation + self.mean
        half = self.spreads(pooled).double() * self.reach * self.deviation
        found = {}
        for place, name in enumerate(self.config.labels):
            found[name] = values[:, place]
            found[f"{name}_lower"] = values[:, place] - half[:, place]
            found[f"{name}_upper"] = values[:, place] + half[:, place]
        return found

    def about(self, query: str) -> dict:
        """What a table of answers says of its columns: the classes, or the probability of an interval."""
        s = self.config
        words = {"classes": s.names} if s.classes else {"level": s.level}
        return {"labels": list(s.labels), "table": s.table or "", "unfrozen": s.unfrozen, **words}
