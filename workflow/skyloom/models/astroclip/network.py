"""AstroCLIP: frozen encoders of two or more modalities, each with a trained pooling head, brought into one space.

Notable:
- any network with `tokens(batch)` and `width` is a backbone, whatever its modality
- a head is one learned query that attends to all output tokens of its backbone (for images: CLS and patches, with
  positions), then LayerNorm and an MLP with a residual, for all modalities alike
- the loss is symmetric InfoNCE with a fixed logit scale, the mean over all pairs of modalities, each over the galaxies
  that have both; outputs have length 1
- backbones never change, so their tokens can be computed once (`Objective.precompute`) instead of in every epoch
- the saved model holds backbones and heads: its folder is all that embedding needs
"""

from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.astroclip import Config
from skyloom.nn import distributed
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import AttentionPool, init_by_depth
from skyloom.nn.draws import Draws
from skyloom.nn.places import Patches, Stretches


class AstroCLIP(nn.Module):
    """Several modalities to one embedding space.

    Parameters
    ----------
    config : heads and loss
    backbones : modality -> network with `tokens(batch)`, (B, T, width)
    """

    def __init__(self, config: Config, backbones: dict[str, nn.Module]):
        super().__init__()
        self.config, self.width = config, config.dim
        self.modalities = tuple(sorted(backbones))
        self.backbones = nn.ModuleDict({m: backbones[m] for m in self.modalities}).requires_grad_(False)
        self.pools = nn.ModuleDict(
            {
                m: AttentionPool(backbones[m].width, config.dim, config.heads, config.dim, config.mlp_ratio)
                for m in self.modalities
            }
        )
        init_by_depth(self.pools, 0.5)
        self.inputs = {m: backbones[m].inputs[m] for m in self.modalities}

    def tokens(self, batch: Batch, modality: str) -> Tensor:
        """Output tokens of the frozen backbone, (B, T, its width)."""
        with torch.no_grad():
            return self.backbones[modality].eval().tokens(batch)

    def views(self, modality: str) -> int:
        """In how many ways the samples of a modality are shown in training: what its backbone offers, or 1."""
        return min(self.config.image_views, getattr(self.backbones[modality], "views", 1))

    def view(self, batch: Batch, modality: str, number: int) -> Batch:
        """The batch with a modality shown in one of its ways."""
        return self.backbones[modality].view(batch, number) if number else batch

    def pool(self, tokens: Tensor, modality: str) -> Tensor:
        """Tokens of the backbone to embeddings of length 1, (B, dim)."""
        return functional.normalize(self.pools[modality](tokens).float(), dim=-1)

    def attention(self, batch: Batch, name: str) -> Tensor:
        """How much the query of a modality attends to each token of its backbone, (B, heads, T), 1 in sum."""
        return self.pools[name].weights(self.tokens(batch, name))

    def places(self, name: str) -> Patches | Stretches | None:
        """What these tokens show; None where the backbone does not say."""
        backbone = self.backbones[name]
        return backbone.places() if hasattr(backbone, "places") else None

    def embed(self, batch: Batch, name: str) -> Tensor:
        """Embeddings of length 1 of one modality, (B, dim)."""
        return self.pool(self.tokens(batch, name), name)


class Objective(nn.Module):
    """Symmetric InfoNCE between the embeddings of each galaxy.

    A batch holds what the backbones take, or what `precompute` made of it.
    """

    frozen = ("model.backbones.",)  # never changes: not part of a checkpoint

    def __init__(self, model: AstroCLIP):
        super().__init__()
        self.model = model
        self.inputs = model.inputs

    def precompute(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Tokens of the frozen backbones, modality -> {"tokens": (B, views, T, d)}."""
        return {m: {"tokens": self.tokens(batch, m)} for m in self.model.modalities}

    def tokens(self, batch: Batch, modality: str) -> Tensor:
        """Tokens of every view of one modality, (B, views, T, d)."""
        if "tokens" in batch[modality]:
            return batch[modality]["tokens"]
        views = range(self.model.views(modality))
        shown = (self.model.view(batch, modality, number) for number in views)
        return torch.stack([self.model.tokens(view, modality) for view in shown], 1)

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        embedded, present = {}, {}
        for m in self.model.modalities:
            tokens = self.tokens(batch, m)
            several = self.training and tokens.shape[1] > 1
            view = draws.integers(0, tokens.shape[1]) if several else 0
            tokens = tokens[torch.arange(len(tokens), device=tokens.device), view]
            own = self.model.pool(self.augment(tokens.float(), draws), m)
            embedded[m], present[m] = distributed.gather(own), distributed.gather_mask(batch.present[m])
        losses, found = [], []
        for a, b in combinations(self.model.modalities, 2):
            both = present[a] & present[b]
            if both.any():
                loss, similarity = info_nce(embedded[a][both], embedded[b][both], self.model.config.logit_scale)
                losses.append(loss)
                found.append((similarity.argmax(1) == torch.arange(len(similarity), device=loss.device)).float().mean())
        if not losses:  # no galaxy with two modalities in this batch: nothing to learn, but every parameter takes part
            nothing = sum(values.sum() for values in embedded.values()) * 0
            return nothing, {"top1": nothing.detach()}
        return sum(losses) / len(losses), {"top1": sum(found) / len(found)}

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


def info_nce(a: Tensor, b: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of finding b for a and a for b, and the similarities (B, B).

    Rows of a and b, (B, d) of length 1, are pairs.
    """
    similarity = a @ b.T
    truth = torch.arange(len(a), device=a.device)
    logits = scale * similarity
    return (functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)) / 2, similarity
