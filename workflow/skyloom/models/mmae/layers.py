"""The layers of MMAE."""

import torch
from torch import Tensor, nn

from skyloom.nn.blocks import Linear, attend, join_heads, split_heads
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
    """Attention of queries (B, Q, dim) over tokens (B, T, dim)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.out = Linear(dim, dim), Linear(dim, 2 * dim), Linear(dim, dim)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        q = split_heads(self.q(query), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.kv(tokens).chunk(2, dim=-1))
        return self.out(join_heads(attend(q, k, v)))


class Layer(nn.Module):
    """Attention and an MLP, each added, (B, Q, dim) over (B, T, dim) -> (B, Q, dim); over no tokens (None) nothing is.

    `before` : normalise what enters each, instead of their sums, as published.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, before: bool = False):
        super().__init__()
        self.before = before
        self.attention, self.norm_attention = Attention(dim, heads), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(Linear(dim, 4 * dim), nn.GELU(), Dropout(dropout), Linear(4 * dim, dim))
        self.norm_mlp, self.drop = nn.LayerNorm(dim), Dropout(dropout)

    def forward(self, query: Tensor, tokens: Tensor | None) -> Tensor:
        if self.before:
            if tokens is not None:
                own = self.norm_attention(query)
                query = query + self.attention(own, own if tokens is query else self.norm_attention(tokens))
            return query + self.mlp(self.norm_mlp(query))
        found = query if tokens is None else query + self.drop(self.attention(query, tokens))
        x = self.norm_attention(found)
        return self.norm_mlp(x + self.drop(self.mlp(x)))


class Encoder(nn.Module):
    """Layers over the tokens of one modality, and a last norm."""

    def __init__(self, layers: list[Layer], dim: int):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, x)
        return self.norm(x)


class Stem(nn.Module):
    """Convolutions over a whole spectrum, tokens (B, T, C * slice) -> what they find in each, (B, T, channels * slice).

    Tokens that are not shown are zero: nothing of them is found in others.
    """

    def __init__(self, given: int, channels: int):
        super().__init__()
        self.given = given
        self.layers = nn.Sequential(
            *(nn.Conv1d(given, channels, 9, padding=4), nn.GELU()),
            *(nn.Conv1d(channels, 2 * channels, 9, stride=2, padding=4), nn.GELU()),
        )

    def forward(self, tokens: Tensor, shown: Tensor) -> Tensor:
        whole = (tokens * shown[..., None]).unflatten(2, (self.given, -1)).transpose(1, 2).flatten(2)
        return self.layers(whole).unflatten(2, (tokens.shape[1], -1)).transpose(1, 2).flatten(2)


class Head(nn.Sequential):
    """The decoder of the public code: two hidden layers, dropout, (..., 2 dim) -> (..., numbers)."""

    def __init__(self, dim: int, numbers: int, dropout: float):
        super().__init__(
            *(Linear(2 * dim, 2 * dim), nn.GELU(), Dropout(dropout)),
            *(Linear(2 * dim, dim), nn.GELU(), Dropout(dropout), Linear(dim, numbers)),
        )


def places_of(chosen: Tensor) -> Tensor:
    """Places (B, n) of the tokens that are chosen, (B, T) bool, in their order; every galaxy has as many."""
    count = int(chosen[0].sum())
    return torch.argsort((~chosen).long(), dim=1, stable=True)[:, :count]


def at(tokens: Tensor, places: Tensor) -> Tensor:
    """Tokens (B, T, n) at places (B, k) -> (B, k, n)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))
