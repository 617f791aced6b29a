"""Losses over pairs of embeddings: which of the others is the counterpart?"""

import torch
from torch import Tensor
from torch.nn import functional

Beyond = tuple[Tensor, Tensor]
FAR = -1e4
"""A similarity so low that it does not count."""
NEAR = 1 / 3
"""Scatter of squared distances over which a neighbour becomes a stranger: of 256 galaxies some ten are neighbours."""
LEAST = 3
"""Galaxies of which one has neighbours that could be others."""


def info_nce(a: Tensor, b: Tensor, scale: Tensor | float, beyond: Beyond | None = None) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of finding b for a and a for b, and the similarities (B, B).

    Parameters
    ----------
    a, b : (B, d) of length 1, rows are pairs
    scale : inverse temperature
    beyond : similarities (B, K) of a with further ones of the kind of b, and of b with such of a; `FAR` does not count
    """
    similarity = a @ b.T
    truth = torch.arange(len(a), device=a.device)
    both = (similarity, similarity.T)
    if beyond is not None:
        both = tuple(torch.cat([own, further], 1) for own, further in zip(both, beyond, strict=True))
    return sum(functional.cross_entropy(scale * logits, truth) for logits in both) / 2, similarity


def sigmoid(
    a: Tensor, b: Tensor, scale: Tensor | float, bias: Tensor | float, beyond: Beyond | None = None
) -> tuple[Tensor, Tensor]:
    """Every pair of galaxies is asked whether it is one (SigLIP, Zhai et al. 2023): the sum over all that b could be of
    a, the mean over a; and the similarities. Parameters as in `info_nce`."""
    similarity = a @ b.T
    sign = 2 * torch.eye(len(a), device=a.device) - 1
    loss = -functional.logsigmoid(sign * (scale * similarity + bias)).sum()
    if beyond is not None:
        loss = loss + sum(functional.softplus(scale * further + bias).sum() for further in beyond) / 2
    return loss / len(a), similarity


def strangers(aligned: Tensor, own: Tensor, scale: float) -> Tensor:
    """How much the neighbours of galaxies are others after the alignment, 0 where none is.

    The mean divergence of two distributions over the other galaxies of a batch, as in stochastic neighbour embedding
    (Hinton & Roweis 2002): one falls with the squared distance between an encoder's own embeddings (B, D), in units of
    a fraction of its scatter, `NEAR`; the other with the angle between aligned ones (B, d), of length 1, as in InfoNCE.
    """
    if len(own) < LEAST:
        return aligned.sum() * 0
    itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
    distance = torch.cdist(own, own).square()
    unit = NEAR * distance[~itself].std().clamp(min=1e-6)
    wanted = (-distance / unit).masked_fill(itself, FAR).log_softmax(1)
    found = (scale * aligned @ aligned.T).masked_fill(itself, FAR).log_softmax(1)
    return (wanted.exp() * (wanted - found)).masked_fill(itself, 0).sum(1).mean()
