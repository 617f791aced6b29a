"""The layers of MMAE: post-norm, with dropout, over tokens of which some may not be there."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.nn.blocks import Linear, join_heads, split_heads
from skyloom.nn.draws import uniform_rows


class Dropout(nn.Module):
    """Zero numbers with probability `rate` in training and scale the others up, drawn from the step's own stream."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        # a sample's numbers are those that `of_rows` laid a view apart: the same on any number of processes
        kept = uniform_rows(x.numel(), x.device).view(-1, len(x)).T.reshape(x.shape) >= self.rate
        return x * kept / (1 - self.rate)


class Attention(nn.Module):
    """Attention of queries (B, Q, dim) over tokens (B, T, dim), those that are not `there` (B, T) left out."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.out = Linear(dim, dim), Linear(dim, 2 * dim), Linear(dim, dim)

    def forward(self, query: Tensor, tokens: Tensor, there: Tensor | None = None) -> Tensor:
        q = split_heads(self.q(query), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.kv(tokens).chunk(2, dim=-1))
        mask = None if there is None else there[:, None, None]
        return self.out(join_heads(functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


class Layer(nn.Module):
    """Attention and an MLP, each added and then normalised, (B, Q, dim) over (B, T, dim) -> (B, Q, dim)."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.attention, self.norm_attention = Attention(dim, heads), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(Linear(dim, 4 * dim), nn.GELU(), Dropout(dropout), Linear(4 * dim, dim))
        self.norm_mlp, self.drop = nn.LayerNorm(dim), Dropout(dropout)

    def forward(self, query: Tensor, tokens: Tensor, there: Tensor | None = None) -> Tensor:
        x = self.norm_attention(query + self.drop(self.attention(query, tokens, there)))
        return self.norm_mlp(x + self.drop(self.mlp(x)))


class Encoder(nn.Module):
    """Layers over the tokens of one modality, and a last norm."""

    def __init__(self, dim: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(Layer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, x, there)
        return self.norm(x)


class Head(nn.Sequential):
    """The decoder of the public code: two hidden layers, dropout, (..., 2 dim) -> (..., numbers)."""

    def __init__(self, dim: int, numbers: int, dropout: float):
        super().__init__(
            *(Linear(2 * dim, 2 * dim), nn.GELU(), Dropout(dropout)),
            *(Linear(2 * dim, dim), nn.GELU(), Dropout(dropout), Linear(dim, numbers)),
        )


def visible_first(tokens: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, T, dim) that are shown (B, T), as many as the fullest galaxy has and one at least, and which of them
    are there: (B, V, dim) and (B, V). A galaxy that shows nothing has one token, zero, that counts as there. It
    is the fullest galaxy of this process: how many tokens are filled up changes rounding alone."""
    count = max(1, int(shown.sum(1).max()))
    order = torch.argsort((~shown).long(), dim=1, stable=True)[:, :count]
    there = shown.gather(1, order)
    kept = tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[2])) * there[..., None]
    first = torch.arange(count, device=shown.device) == 0
    return kept, there | (first & ~shown.any(1, keepdim=True))
