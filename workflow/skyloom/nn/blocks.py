"""The parts every transformer here is made of: pre-norm blocks, attention pooling, drop path, initial weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.nn import bfloat16
from skyloom.nn.draws import uniform_rows


class Linear(nn.Linear):
    """A linear layer with a bias, (..., in) -> (..., out)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            return bfloat16.Linear.apply(x, self.weight, self.bias)  # autocast is bfloat16 wherever this trains
        return super().forward(x)


class Attention(nn.Module):
    """Multi-head self-attention, (B, T, dim) -> (B, T, dim)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim)
        self.out = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.out(join_heads(attend(q, k, v)))


class CrossAttention(nn.Module):
    """Multi-head attention of queries (B, Q, dim) over a context (B, T, context_dim) -> (B, Q, dim)."""

    def __init__(self, dim: int, context_dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q = Linear(dim, dim)
        self.kv = Linear(context_dim, 2 * dim)
        self.out = Linear(dim, dim)

    def weights(self, query: Tensor, context: Tensor) -> Tensor:
        """How much each query attends to each token of the context, (B, heads, Q, T) float32, 1 in sum over tokens."""
        q = split_heads(self.q(query), self.heads).float()
        k = split_heads(self.kv(context).chunk(2, dim=-1)[0], self.heads).float()
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        q = split_heads(self.q(query), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.kv(context).chunk(2, dim=-1))
        return self.out(join_heads(attend(q, k, v)))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention, (B, heads, Q, d) over (B, heads, T, d) -> (B, heads, Q, d)."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu" and torch.is_grad_enabled():
        heads = (x.contiguous().flatten(0, 1) for x in (q, k, v))
        return bfloat16.Attention.apply(*heads).unflatten(0, q.shape[:2])
    return functional.scaled_dot_product_attention(q, k, v)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads * d) -> (B, heads, T, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, T, d) -> (B, T, heads * d)."""
    return x.transpose(1, 2).flatten(2)


class MLP(nn.Sequential):
    """Two linear layers around a GELU, (..., dim) -> (..., dim)."""

    def __init__(self, dim: int, ratio: float = 4.0):
        hidden = int(dim * ratio)
        super().__init__(Linear(dim, hidden), nn.GELU(), Linear(hidden, dim))


class DropPath(nn.Module):
    """In training, drop a residual branch for a whole sample with probability `rate` and scale the others up."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = uniform_rows(len(x), x.device).view(-1, 1, 1) >= self.rate
        return x * (kept / (1 - self.rate))


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch, small at the start (Touvron et al. 2021)."""

    def __init__(self, dim: int, initial: float):
        super().__init__()
        self.gain = nn.Parameter(torch.full((dim,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


class Block(nn.Module):
    """Pre-norm transformer block, (B, T, dim) -> (B, T, dim); `layer_scale` 0 leaves that part out."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0, layer_scale: float = 0.0):
        super().__init__()

        def finish() -> nn.Sequential:
            parts = [LayerScale(dim, layer_scale)] if layer_scale else []
            return nn.Sequential(*parts, DropPath(drop_path))

        self.norm_attention, self.attention, self.after_attention = nn.LayerNorm(dim), Attention(dim, heads), finish()
        self.norm_mlp, self.mlp, self.after_mlp = nn.LayerNorm(dim), MLP(dim, mlp_ratio), finish()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.after_attention(self.attention(self.norm_attention(x)))
        return x + self.after_mlp(self.mlp(self.norm_mlp(x)))


class AttentionPool(nn.Module):
    """One learned query attends to all tokens, then LayerNorm and an MLP with a residual, (B, T, context) -> (B, dim).

    The head of AstroCLIP (journal version): cross-attention, x = norm(x), x = x + MLP(x); without `residual`, x =
    MLP(x). A last linear layer changes the dimension when the output is not as wide as the attention.
    """

    def __init__(
        self, context_dim: int, dim: int, heads: int, out_dim: int, mlp_ratio: float = 4.0, residual: bool = True
    ):
        super().__init__()
        self.residual = residual
        self.query = nn.Parameter(torch.randn(1, 1, dim) * dim**-0.5)
        self.attention = CrossAttention(dim, context_dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_ratio)
        self.project = nn.Linear(dim, out_dim) if out_dim != dim else nn.Identity()

    def weights(self, tokens: Tensor) -> Tensor:
        """How much the query attends to each token, (B, T, context) -> (B, heads, T), 1 in sum over tokens."""
        return self.attention.weights(self.query.expand(tokens.shape[0], -1, -1), tokens)[:, :, 0]

    def forward(self, tokens: Tensor) -> Tensor:
        query = self.query.expand(tokens.shape[0], -1, -1)
        x = self.norm(self.attention(query, tokens))[:, 0]  # (B, dim)
        return self.project(x + self.mlp(x) if self.residual else self.mlp(x))


def init_by_depth(module: nn.Module, depth: float, cut: float = 2.0) -> None:
    """Linear weights from a normal cut at `cut` sigma, sigma = (2 * fan_in * depth)^(-1/2); biases 0 (as AstroCLIP,
    which cuts at 3)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            normal(part.weight, 1 / math.sqrt(2 * part.in_features * depth), cut)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def normal(weight: Tensor, std: float, cut: float = 2.0) -> None:
    """Fill `weight` from a normal of deviation `std` cut at `cut` sigma."""
    nn.init.trunc_normal_(weight, std=std, a=-cut * std, b=cut * std)
