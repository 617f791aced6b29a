"""The hierarchical masks of MOSAIC (Xia et al. 2025, appendix A), as pure functions of the draws of a step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from skyloom.models.mosaic import Masks
from skyloom.nn.draws import Draws

ROUNDS = 40
"""Spans of a vector at most. Lengths are uniform up to what is left of the budget, so that a budget of 185 takes six on
average; the last one takes all that is left."""


def budget(size: int, share: float) -> int:
    """Numbers of a vector that its spans add up to: ceil(share * size)."""
    return math.ceil(round(share * size, 9))  # .2 * 5 is 1, not 1.0000000000000002


def spans(draws: Draws, sizes: Sequence[int], least: float, most: float) -> tuple[Tensor, Tensor]:
    """Starts and lengths (B, len(sizes), ROUNDS) int64 of spans within 0..size-1 of vectors, whose lengths add up to
    the budget of a share that is uniform from `least` to `most`; after the last one lengths are 0."""
    u = draws.uniform(len(sizes), ROUNDS, 2)
    size = torch.tensor(sizes, device=u.device)
    left = torch.tensor([budget(n, least) for n in sizes], device=u.device).expand(len(u), -1)
    if most > least:
        share = least + (most - least) * draws.uniform(len(sizes))
        left = torch.maximum(left, (share * size).ceil().long())
    starts, lengths = [], []
    for number in range(ROUNDS):
        length = 1 + (u[:, :, number, 0] * left).long()
        length = torch.minimum(length, left) if number < ROUNDS - 1 else left
        starts.append(torch.minimum((u[:, :, number, 1] * (size - length + 1)).long(), size - 1))
        lengths.append(length)
        left = left - length
    return torch.stack(starts, 2), torch.stack(lengths, 2)


def covered(starts: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Which of `size` places lie in a span, (B, size) bool."""
    edges = starts.new_zeros(len(starts), size + 1)
    there = (lengths > 0).long()
    edges.scatter_add_(1, starts, there)
    edges.scatter_add_(1, (starts + lengths).clamp(max=size), -there)
    return edges.cumsum(1)[:, :size] > 0


def draw(draws: Draws, sizes: dict[str, int], masks: Masks) -> dict[str, Tensor]:
    """Which numbers are hidden, modality -> (B, size) bool.

    Each modality is hidden as a whole with `masks.modality`; otherwise each scalar with `masks.scalar`, and of a vector
    the spans, unless it is shown whole.
    """
    whole = draws.uniform(len(sizes)) < masks.modality
    vectors = {name: size for name, size in sizes.items() if name != "scalars"}
    starts, lengths = spans(draws, list(vectors.values()), masks.vector, masks.largest)
    in_parts = draws.uniform(len(vectors)) >= masks.whole
    hidden = {}
    for number, (name, size) in enumerate(sizes.items()):
        if name == "scalars":
            some = draws.uniform(size) < masks.scalar
        else:
            place = list(vectors).index(name)
            some = covered(starts[:, place], lengths[:, place], size) & in_parts[:, place, None]
        hidden[name] = some | whole[:, number, None]
    return hidden
