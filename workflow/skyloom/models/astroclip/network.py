"""AstroCLIP: a frozen image encoder and a frozen spectrum encoder, each with a trained pooling head, brought into one
space.

Notable:
- a head is one learned query that attends to all output tokens of its backbone (for images: CLS and patches, with
  positions), then LayerNorm and an MLP with a residual, for both modalities alike
- the loss is symmetric InfoNCE with a fixed logit scale; outputs have length 1
- backbones never change, so their tokens can be computed once (`Objective.precompute`) instead of in every epoch
- the saved model holds backbones and heads: its folder is all that embedding needs
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.nn import distributed
from skyloom.nn.blocks import AttentionPool, init_by_depth
from skyloom.nn.draws import Draws


@dataclass(frozen=True)
class Config:
    """Heads, loss and augmentations of an AstroCLIP.

    Attributes
    ----------
    dim : length of an embedding
    heads, mlp_ratio : the pooling heads
    logit_scale : fixed inverse temperature of the InfoNCE loss
    token_dropout : fraction of tokens left out at random in training
    token_noise : noise added to tokens in training, in units of their standard deviation
    dropout : fraction of the channels of the tokens set to zero in training
    image_views : 1, or how many of the 8 flips and rotations of an image are used in training
    """

    dim: int = 128
    heads: int = 4
    mlp_ratio: float = 4.0
    logit_scale: float = 15.5
    token_dropout: float = 0.0
    token_noise: float = 0.0
    dropout: float = 0.0
    image_views: int = 1


PUBLISHED = {"dim": 1024}
TRAINING = {
    "steps": 500,
    "batch_size": 256,
    "learning_rate": 5e-4,
    "weight_decay": 0.05,
    "clip": 1.0,
    "select": "best",
}
MODALITIES = ("image", "spectrum")


class AstroCLIP(nn.Module):
    """Images and spectra to one embedding space.

    Parameters
    ----------
    config : see Config
    backbones : modality -> model with `tokens(batch)` and `config.dim`
    """

    def __init__(self, config: Config, backbones: dict[str, nn.Module]):
        super().__init__()
        self.config = config
        self.backbones = nn.ModuleDict(backbones).requires_grad_(False)
        self.pools = nn.ModuleDict(
            {
                m: AttentionPool(backbones[m].config.dim, config.dim, config.heads, config.dim, config.mlp_ratio)
                for m in backbones
            }
        )
        init_by_depth(self.pools, 0.5)
        self.inputs = {m: names for backbone in backbones.values() for m, names in backbone.inputs.items()}

    def tokens(self, batch: dict[str, Tensor], modality: str) -> Tensor:
        """Output tokens of the frozen backbone, (B, T, backbone dim)."""
        with torch.no_grad():
            return self.backbones[modality].eval().tokens(batch)

    def pool(self, tokens: Tensor, modality: str) -> Tensor:
        """Tokens of the backbone to embeddings of length 1, (B, dim)."""
        return functional.normalize(self.pools[modality](tokens).float(), dim=-1)

    def embed(self, batch: dict[str, Tensor], modality: str) -> Tensor:
        """Embeddings of length 1, (B, dim)."""
        return self.pool(self.tokens(batch, modality), modality)


class Objective(nn.Module):
    """Symmetric InfoNCE between the two embeddings of each galaxy.

    A batch holds what the backbones take, or what `precompute` made of it.
    """

    frozen = ("model.backbones.",)  # never changes: not part of a checkpoint

    def __init__(self, model: AstroCLIP):
        super().__init__()
        self.model = model
        self.inputs = model.inputs

    def precompute(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tokens of the frozen backbones: image (B, views, T, d) and spectrum (B, T, d)."""
        views = [
            self.model.tokens({**batch, "rgb": dihedral(batch["rgb"], view)}, "image")
            for view in range(self.model.config.image_views)
        ]
        return {"image": torch.stack(views, 1), "spectrum": self.model.tokens(batch, "spectrum")}

    def forward(self, batch: dict[str, Tensor], draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = batch if "image" in batch else self.precompute(batch)
        view = draws.integers(0, tokens["image"].shape[1]) if self.training else 0
        image = tokens["image"][torch.arange(len(tokens["image"]), device=tokens["image"].device), view]
        embedded = {"image": self.model.pool(self.augment(image.float(), draws), "image")}
        embedded["spectrum"] = self.model.pool(self.augment(tokens["spectrum"].float(), draws), "spectrum")
        image, spectrum = (distributed.gather(embedded[m]) for m in MODALITIES)
        loss, similarity = info_nce(image, spectrum, self.model.config.logit_scale)
        truth = torch.arange(len(similarity), device=similarity.device)
        return loss, {"top1": (similarity.argmax(1) == truth).float().mean()}

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
            tokens = tokens + config.token_noise * tokens.std() * draws.normal(*tokens.shape[1:])
        return tokens


def info_nce(a: Tensor, b: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of finding b for a and a for b, and the similarities (B, B).

    Rows of a and b, (B, d) of length 1, are pairs.
    """
    similarity = a @ b.T
    truth = torch.arange(len(a), device=a.device)
    logits = scale * similarity
    return (functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)) / 2, similarity


def dihedral(images: Tensor, view: int) -> Tensor:
    """One of the 8 flips and rotations of (B, 3, S, S); 0 leaves them alone."""
    images = images.flip(3) if view & 1 else images
    images = images.flip(2) if view & 2 else images
    return images.transpose(2, 3) if view & 4 else images
