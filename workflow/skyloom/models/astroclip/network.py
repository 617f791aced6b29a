"""AstroCLIP: trained encoders of two or more modalities, each with a pooling head, brought into one space.

Notable:
- any network with `tokens(batch)` and `width` is a backbone, whatever its modality
- a head is one learned query that attends to all output tokens of its backbone (for images: CLS and patches, with
  positions), then LayerNorm and an MLP with a residual, for all modalities alike; or dense layers over the mean of the
  tokens, as the first version has for its ResNet
- two faults of the public code are switches, for its weights: `image_positions`, `image_residual`
- outputs have length 1
- the saved model holds backbones and heads: its folder is all that embedding needs
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.astroclip import Config
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import AttentionPool, init_by_depth
from skyloom.nn.places import Patches, Stretches
from skyloom.nn.unfreezing import last_blocks, rest_in_evaluation
from skyloom.settings.names import IMAGES


class DensePool(nn.Sequential):
    """Dense layers over the mean of tokens, (B, T, width) -> (B, dim): those of MoCo-v2's head (4.5M weights of a
    ResNet-50), and `own`, the backbone's, as they are if they have this shape (AstroCLIP v1, 3.2)."""

    def __init__(self, width: int, dim: int, own: nn.Module | None):
        super().__init__(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
        init_by_depth(self, 0.5)
        theirs = own.state_dict() if own is not None else {}
        if {n: t.shape for n, t in theirs.items()} == {n: t.shape for n, t in self.state_dict().items()}:
            self.load_state_dict(theirs)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.mean(1))


class AstroCLIP(nn.Module):
    """Several modalities to one embedding space.

    Parameters
    ----------
    config : heads and loss
    backbones : modality -> network with `tokens(batch)`, (B, T, width), and `blocks` if some are to learn
    """

    def __init__(self, config: Config, backbones: dict[str, nn.Module]):
        super().__init__()
        self.config, self.width = config, config.dim
        self.modalities = tuple(sorted(backbones))
        self.backbones = nn.ModuleDict({m: backbones[m] for m in self.modalities}).requires_grad_(False)
        for block in self.learning:
            block.requires_grad_(True)
        self.pools = nn.ModuleDict({m: self._pool(m) for m in self.modalities if not self._dense(m)})
        init_by_depth(self.pools, 0.5)
        for m in self.modalities:
            if self._dense(m):
                own = getattr(backbones[m], "head", None)
                self.pools[m] = DensePool(backbones[m].width, config.dim, own)
        self.inputs = {m: backbones[m].inputs[m] for m in self.modalities}

    def _dense(self, modality: str) -> bool:
        return self.config.heads_by.get(modality) == "dense"

    def _pool(self, modality: str) -> AttentionPool:
        c, width = self.config, self.backbones[modality].width
        residual = c.image_residual or modality not in IMAGES
        return AttentionPool(width, c.dim, c.heads, c.dim, c.mlp_ratio, residual)

    @property
    def learning(self) -> list[nn.Module]:
        """The blocks of backbones that learn on; BadConfig if one has fewer."""
        of = self.config.unfrozen
        return [block for m in self.modalities for block in last_blocks(self.backbones[m], of.get(m, 0))]

    def train(self, mode: bool = True) -> "AstroCLIP":
        """As usual, but what is frozen stays in evaluation."""
        super().train(mode)
        rest_in_evaluation(self.backbones, self.learning, mode)
        return self

    def bare(self, modality: str) -> bool:
        """Its head sees patches without positions."""
        return not self.config.image_positions and hasattr(self.backbones[modality], "bare_tokens")

    def tokens(self, batch: Batch, modality: str) -> Tensor:
        """Output tokens of a backbone, (B, T, its width)."""
        backbone = self.backbones[modality]
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.unfrozen.get(modality, 0) > 0):
            return backbone.bare_tokens(batch) if self.bare(modality) else backbone.tokens(batch)

    def views(self, modality: str) -> int:
        """In how many ways the samples of a modality are shown in training: what its backbone offers, or 1."""
        return min(self.config.image_views, getattr(self.backbones[modality], "views", 1))

    def view(self, batch: Batch, modality: str, number: int) -> Batch:
        """The batch with a modality shown in one of its ways."""
        return self.backbones[modality].view(batch, number) if number else batch

    def pool(self, tokens: Tensor, modality: str) -> Tensor:
        """Tokens of the backbone to embeddings of length 1, (B, dim)."""
        return functional.normalize(self.pools[modality](tokens).float(), dim=-1)

    @property
    def attending(self) -> tuple[str, ...]:
        """The modalities whose tokens are pooled by attention."""
        return tuple(m for m in self.modalities if not self._dense(m))

    def attention(self, batch: Batch, name: str) -> Tensor:
        """How much the query of one of `attending` attends to each token of its backbone, (B, heads, T), 1 in sum."""
        return self.pools[name].weights(self.tokens(batch, name))

    def places(self, name: str) -> Patches | Stretches | None:
        """What these tokens show; None where the backbone does not say."""
        backbone = self.backbones[name]
        found = backbone.places() if hasattr(backbone, "places") else None
        return dataclasses.replace(found, first=0, others={}) if found and self.bare(name) else found

    def embed(self, batch: Batch, name: str) -> Tensor:
        """Embeddings of length 1 of one modality, (B, dim)."""
        return self.pool(self.tokens(batch, name), name)
