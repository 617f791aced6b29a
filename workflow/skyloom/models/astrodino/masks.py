"""Which patches are hidden from the student: blocks, as in BEiT and DINOv2, with an exact number of patches."""

import math

import torch
from torch import Tensor

from skyloom.nn.draws import Draws

BLOCKS = 32  # drawn for an image, one after another until enough is covered
SMALLEST = 4  # patches in a block
ASPECT = 0.3  # least ratio of its sides; the largest is one over it


def hidden_counts(draws: Draws, views: int, patches: int, share: float, ratios: tuple[float, float]) -> Tensor:
    """How many patches are hidden in each of `views` crops of each galaxy, (B, views) integers.

    A share of the crops has hidden patches: of each galaxy equally many crops, or one more or less, and in the mean
    just `share`; with .5 and two crops it is one of the two. What is hidden of such a crop is uniform between `ratios`.
    """
    turn = (draws.uniform(1) + torch.arange(views, device=draws.device) / views) % 1
    low, high = ratios
    count = ((low + (high - low) * draws.uniform(views)) * patches).round().clamp(1, patches)
    return torch.where(turn < share, count, 0).long()


def blocks(draws: Draws, counts: Tensor, side: int) -> Tensor:
    """Masks of rectangular blocks, (B, views, side * side) bool, with exactly `counts` (B, views) patches each.

    Blocks of 4 patches up to as many as are to be hidden, of sides that differ by a factor of 3.3 at most, are laid
    down until enough is covered; of the last one the patches that are too many, at one edge, are left out. (The
    public code leaves out whole blocks, and may hide a few patches less than it says.)
    """
    views, patches = counts.shape[1], side**2
    area, shape, top, left = (draws.uniform(views, BLOCKS) for _ in range(4))
    area = SMALLEST + area * (counts[..., None] - SMALLEST).clamp(min=0)
    aspect = torch.exp((2 * shape - 1) * math.log(1 / ASPECT))
    height = (area * aspect).sqrt().round().clamp(1, side)
    width = (area / aspect).sqrt().round().clamp(1, side)
    top, left = ((start * (side - size + 1)).floor() for start, size in ((top, height), (left, width)))
    row, column = (x.flatten().to(area.device) for x in torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij"))
    inside = (row >= top[..., None]) & (row < (top + height)[..., None])
    inside &= (column >= left[..., None]) & (column < (left + width)[..., None])  # (B, views, BLOCKS, patches)
    order = torch.arange(BLOCKS, device=area.device)[:, None]
    earliest = torch.where(inside, order, BLOCKS).amin(2)  # the block that hides a patch
    place = (earliest * patches + torch.arange(patches, device=area.device)).argsort(-1).argsort(-1)
    mask = place < counts[..., None]
    return torch.where(draws.uniform(views, 1) < 0.5, mask.flip(2), mask)  # no edge is the one that is left out
