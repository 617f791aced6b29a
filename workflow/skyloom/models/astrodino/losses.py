"""What a student's views are compared by: assignments to prototypes, and how far embeddings lie apart."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.nn import distributed


def cross_view_loss(targets: Sequence[Tensor], predictions: Sequence[Tensor]) -> Tensor:
    """Mean cross-entropy of each target (B, K) with every prediction (B, K, log) of another view of the same galaxy."""
    pairs = [(t, s) for t in range(len(targets)) for s in range(len(predictions)) if s != t]
    return sum(-(targets[t] * predictions[s]).sum(-1).mean() for t, s in pairs) / len(pairs)


def patch_loss(target: Tensor, prediction: Tensor, mask: Tensor) -> Tensor:
    """iBOT (Zhou et al. 2022): cross-entropy of what is hidden with what the teacher saw there.

    Parameters
    ----------
    target, prediction : (n, K), an assignment and a logarithm of one, of the patches under `mask` in its order
    mask : (B, patches) bool

    Returns
    -------
    The mean over the hidden patches of an image, summed over images, over the number of all images: as in DINOv2 an
    image in which nothing is hidden counts as 0.
    """
    weight = (1 / mask.sum(1, keepdim=True).clamp(min=1)).expand_as(mask)[mask]
    return -((target * prediction).sum(-1) * weight).sum() / len(mask)


def sinkhorn(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Assignment (B, K) that uses all prototypes equally: Sinkhorn-Knopp on exp(logits / temperature) (SwAV, DINOv2).

    Rows sum to 1; columns sum to as much as each other. The sums run over the rows of all processes, which may have
    different numbers of them.
    """
    logits = logits.float()
    q = ((logits - distributed.largest(logits.max())) / temperature).exp()
    for _ in range(iterations):
        q = q / distributed.total(q.sum(0, keepdim=True)).clamp(min=1e-30)
        q = q / q.sum(1, keepdim=True).clamp(min=1e-30)
    return q


def koleo(features: Tensor) -> Tensor:
    """Minus the mean log distance to the nearest other row on the unit sphere (KoLeo, Sablayrolles et al. 2019)."""
    unit = functional.normalize(features.float(), dim=-1)
    with torch.no_grad():
        similarity = unit @ unit.T
        nearest = similarity.fill_diagonal_(-2).argmax(1)
    return -((unit - unit[nearest]).norm(dim=-1) + 1e-8).log().mean()


def entropies(target: Tensor) -> dict[str, Tensor]:
    """Signs of collapse, as fractions of log K: of one assignment (1: uniform), of their mean (0: one prototype).

    Over the rows of all processes, which may have different numbers of them.
    """
    count, scale = distributed.total(target.new_tensor(float(len(target)))), math.log(target.shape[1])
    mean = distributed.total(target.sum(0)) / count
    each = -distributed.total((target * (target + 1e-12).log()).sum()) / count / scale
    overall = -(mean * (mean + 1e-12).log()).sum() / scale
    return {"teacher_entropy": each, "mean_entropy": overall}
