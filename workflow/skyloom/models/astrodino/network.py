"""AstroDINO: a vision transformer for galaxy images, trained without labels by self-distillation (DINO).

Notable:
- input is arcsinh RGB in 0..1 (tokens/images.py)
- positions are learned on the grid of the full image and interpolated by one fixed matrix (deterministic on every
  device)
- in training patches may be hidden (iBOT): a learned token stands in their place; see `objective`
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.models.astrodino import Config
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import Block, init_by_depth, normal
from skyloom.nn.images import LEGACY_SOFTENING, dihedral
from skyloom.nn.photometry import Apertures
from skyloom.nn.places import Patches


class AstroDINO(nn.Module):
    """Images to tokens and embeddings. Takes rgb, (B, 3, H, W) in 0..1, of its modality."""

    views = 8  # flips and rotations that leave the galaxy what it is

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, self.width = config, config.dim
        (self.modality,) = takes
        self.inputs = {self.modality: ("rgb",)}
        self.grid = config.image_size // config.patch
        self.embed_patch = nn.Linear(3 * config.patch**2, config.dim)
        self.first = nn.Parameter(torch.empty(1, 1 + config.registers, config.dim))  # CLS, then registers
        self.position = nn.Parameter(torch.empty(1, self.grid**2, config.dim))
        self.blind = nn.Parameter(torch.zeros(config.dim)) if config.ibot else None  # in place of a hidden patch
        first = config.drop_path if config.drop_path_uniform else 0
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.mlp_ratio, rate, config.layer_scale)
            for rate in np.linspace(first, config.drop_path, config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.light = Light(config) if config.light else None
        init_by_depth(self, 1)  # at the published width about the usual 0.02
        normal(self.first, 0.02)
        normal(self.position, 0.02)

    def patches(self, images: Tensor) -> Tensor:
        """Cut (B, 3, H, W) into flat patches, (B, H/p * W/p, 3 * p * p), row by row."""
        p = self.config.patch
        return images.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)

    def encode(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Output tokens, (B, 1 + registers + patches, dim); CLS first. Of `hidden` patches, (B, patches) bool, the
        network learns only where they are."""
        side = images.shape[-1] // self.config.patch
        position = self.position
        if side != self.grid:
            position = resample(self.grid, side).to(position.device) @ position
        x = self.embed_patch(self.patches((images - self.config.offset) / self.config.scale))
        if hidden is not None:
            x = torch.where(hidden[..., None], self.blind.to(x.dtype), x)
        x = x + position
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def view(self, batch: Batch, number: int) -> Batch:
        """The batch with its images turned in one of `views` ways; 0 leaves them alone."""
        return batch.changed(self.modality, rgb=dihedral(batch[self.modality]["rgb"], number))

    def images(self, batch: Batch, what: str = "rgb") -> Tensor:
        """The central image_size x image_size pixels, (B, 3, H, W), of pictures or of flux."""
        images, size = batch[self.modality][what], self.config.image_size
        if images.shape[-1] < size:
            raise BadConfig(f"image_size: {size} is more than the {images.shape[-1]} pixels of the image tokens")
        margin = (images.shape[-1] - size) // 2
        return images[..., margin : margin + size, margin : margin + size]

    def tokens(self, batch: Batch) -> Tensor:
        """CLS and patch tokens with positions, registers left out, (B, 1 + patches, dim)."""
        return self.shown(self.encode(self.images(batch)))

    def shown(self, x: Tensor) -> Tensor:
        """Output tokens without those of registers."""
        return torch.cat([x[:, :1], x[:, 1 + self.config.registers :]], dim=1) if self.config.registers else x

    def bare_tokens(self, batch: Batch) -> Tensor:
        """Patch tokens that went through the blocks without positions, class token and registers, (B, patches, dim)."""
        x = self.embed_patch(self.patches((self.images(batch) - self.config.offset) / self.config.scale))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def places(self) -> Patches:
        """What `tokens` show."""
        return Patches(1, self.grid, self.config.image_size, {0: "CLS"})

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The CLS token, (B, dim), the mean of the patch tokens, (B, dim), or both, (B, 2 * dim)."""
        tokens, kind = self.tokens(batch), self.config.embedding
        parts = [tokens[:, 0]] * (kind != "patches") + [tokens[:, 1:].mean(1)] * (kind != "cls")
        return torch.cat(parts, 1)


class Light(nn.Module):
    """What is read off a CLS token along a line: fluxes and colours in circular apertures, standardised."""

    def __init__(self, config: Config):
        super().__init__()
        self.truth = Apertures(config.image_size, LEGACY_SOFTENING)
        self.read = nn.Linear(config.dim, self.truth.count)

    def error(self, tokens: Tensor, flux: Tensor) -> Tensor:
        """Mean squared error of what tokens (B, dim) say of images (B, 3, S, S), in units of the variance."""
        return functional.mse_loss(self.read(tokens).float(), self.truth(flux))


@cache
def resample(grid: int, side: int) -> Tensor:
    """Matrix (side^2, grid^2) that interpolates values on a grid x grid array to side x side (bicubic, antialiased)."""
    basis = torch.eye(grid**2).view(grid**2, 1, grid, grid)
    return functional.interpolate(basis, (side, side), mode="bicubic", antialias=True).flatten(1).T.contiguous()


class Head(nn.Module):
    """Tokens (n, dim) to logits over prototypes (n, prototypes): MLP, L2 norm, cosine to each prototype."""

    def __init__(self, config: Config):
        super().__init__()
        hidden = config.head_hidden
        self.mlp = nn.Sequential(
            nn.Linear(config.dim, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, config.head_dim),
        )
        init_by_depth(self.mlp, 1)
        self.prototypes = nn.Parameter(torch.randn(config.prototypes, config.head_dim))

    def forward(self, x: Tensor, still: bool = False) -> Tensor:
        """With `still` the prototypes get a gradient of 0: as only their directions count, they stay where they are."""
        prototypes = self.prototypes.detach() + 0 * self.prototypes if still else self.prototypes
        return functional.normalize(self.mlp(x), dim=-1) @ functional.normalize(prototypes, dim=-1).T
