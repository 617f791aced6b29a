"""The networks of the public AstroCLIP code, with its names of tensors and its numbers, for embedding.

Written from the shapes and names of https://github.com/PolymathicAI/AstroCLIP (MIT) and of DINOv2, commit 2302b6b; no
code was copied. What the public code does, intended or not, is done here too, since its weights were learned so:

- the image encoder under the AstroCLIP head adds no positions and no CLS token (the unaligned AstroDINO does both)
- the image head's MLP has no residual, the spectrum head's has
- slicing a spectrum always drops the last section, a full one too
- a spectrum has no inverse variances: every pixel counts
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.common.published import ImageEncoder, SpectrumEncoder


class _MLP(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(functional.gelu(self.encoder(x)))


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class _SelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention, self.projection = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(_attend(*self.attention(x).chunk(3, -1), self.heads))


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.layernorm1, self.attention = nn.LayerNorm(dim), _SelfAttention(dim, heads)
        self.layernorm2, self.mlp = nn.LayerNorm(dim), _MLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layernorm1(x))
        return x + self.mlp(self.layernorm2(x))


class SpecFormer(nn.Module):
    """Spectra (B, W) in 1e-17 erg/s/cm2/Angstrom to tokens (B, 1 + slices, dim), the statistics' token first."""

    def __init__(self, shape: SpectrumEncoder):
        super().__init__()
        self.shape = shape
        self.data_embed = nn.Linear(2 + shape.size, shape.dim)
        self.position_embed = nn.Embedding(shape.positions, shape.dim)
        self.blocks = nn.ModuleList(_Block(shape.dim, shape.heads) for _ in range(shape.layers))
        self.final_layernorm = nn.LayerNorm(shape.dim)
        self.head = nn.Linear(shape.dim, 2 + shape.size)

    def slices(self, flux: Tensor) -> Tensor:
        """Input tokens (B, 1 + slices, 2 + size): 778 for 7781 pixels."""
        s = self.shape
        mean, std = flux.mean(1, keepdim=True), flux.std(1, keepdim=True).clamp(min=s.std_floor)
        count = math.ceil((flux.shape[1] - (s.size - s.stride)) / s.stride) - 1  # the last section is dropped
        parts = ((flux - mean) / std).unfold(1, s.size, s.stride)[:, :count]
        first = functional.pad(torch.cat([(mean - 2) / 2, (std - 2) / 8], 1), (0, s.size))
        return torch.cat([first[:, None], functional.pad(parts, (2, 0))], 1)

    def encode(self, slices: Tensor) -> Tensor:
        """Input tokens, some of them perhaps set to zero to hide them, to output tokens (B, T, dim)."""
        x = self.data_embed(slices) + self.position_embed.weight[: slices.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.final_layernorm(x)

    def forward(self, flux: Tensor) -> Tensor:
        return self.encode(self.slices(flux))


class _Scale(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _ImageAttention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(_attend(*self.qkv(x).chunk(3, -1), self.heads))


class _ImageMLP(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class _ImageBlock(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(dim, eps=1e-6), _ImageAttention(dim, heads), _Scale(dim)
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(dim, eps=1e-6), _ImageMLP(dim), _Scale(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class _Patches(nn.Module):
    def __init__(self, dim: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class AstroDINO(nn.Module):
    """RGB images (B, 3, S, S) in 0..1 to tokens."""

    def __init__(self, shape: ImageEncoder):
        super().__init__()
        patches = (shape.image_size // shape.patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, shape.dim))
        self.mask_token = nn.Parameter(torch.zeros(1, shape.dim))
        self.patch_embed = _Patches(shape.dim, shape.patch)
        self.blocks = nn.ModuleList(_ImageBlock(shape.dim, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.dim, eps=1e-6)

    def encode(self, x: Tensor) -> Tensor:
        """Input tokens to output tokens, (B, T, dim)."""
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, images: Tensor) -> Tensor:
        """As DINOv2 does it: CLS, then patches, with positions, (B, 1 + patches, dim)."""
        x = self.patch_embed(images)
        return self.encode(torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed)

    def without_places(self, images: Tensor) -> Tensor:
        """As AstroCLIP's image head does it: patches alone, without positions, (B, patches, dim)."""
        return self.encode(self.patch_embed(images))


class _CrossAttention(nn.Module):
    def __init__(self, dim: int, heads: int, width: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, dim))
        self.multihead_attn = nn.MultiheadAttention(dim, heads, batch_first=True, kdim=width, vdim=width)
        self.layernorm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        query = self.query.expand(tokens.shape[0], -1, -1)
        return self.layernorm(self.multihead_attn(query, tokens, tokens, need_weights=False)[0])[:, 0]

    def weights(self, tokens: Tensor) -> Tensor:
        """How much the query attends to each token, (B, heads, T)."""
        query = self.query.expand(tokens.shape[0], -1, -1)
        return self.multihead_attn(query, tokens, tokens, average_attn_weights=False)[1][:, :, 0]


class ImageHead(nn.Module):
    """RGB images to embeddings (B, dim)."""

    def __init__(self, shape: ImageEncoder, dim: int, heads: int):
        super().__init__()
        self.backbone = AstroDINO(shape)
        self.cross_attention, self.mlp = _CrossAttention(dim, heads, shape.dim), _MLP(dim)

    def tokens(self, images: Tensor) -> Tensor:
        """What the query attends to, (B, patches, width)."""
        return self.backbone.without_places(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.mlp(self.cross_attention(self.tokens(images)))


class SpectrumHead(nn.Module):
    """Spectra to embeddings (B, dim)."""

    def __init__(self, shape: SpectrumEncoder, dim: int, heads: int):
        super().__init__()
        self.backbone = SpecFormer(shape)
        self.cross_attention, self.mlp = _CrossAttention(dim, heads, shape.dim), _MLP(dim)

    def tokens(self, flux: Tensor) -> Tensor:
        """What the query attends to, (B, slices and statistics, width)."""
        return self.backbone(flux)

    def forward(self, flux: Tensor) -> Tensor:
        x = self.cross_attention(self.tokens(flux))
        return x + self.mlp(x)
