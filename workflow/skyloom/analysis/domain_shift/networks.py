"""Density heads, one for each domain, trained side by side: the same number of galaxies, so the same batches.

Mixture density networks (Bishop 1994) on the logarithmic score. The heads share nothing but the order of their rows and
the dropout's generator: each has the gradient it would have alone. One head gives all properties.
"""

import copy
import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from scipy.special import ndtr
from torch import nn

from skyloom.analysis.common.heads import one_thread

NARROW = 1e-3
"""The least width of a component, in deviations of the property."""
FAR = 10.0
"""Inputs are cut at so many deviations."""
STEEP = 10.0
"""Gradients of a head are cut at this norm."""
_ROWS = 8192  # predicted at once


@dataclasses.dataclass(frozen=True)
class Said:
    """Sums of K Gaussians of D heads, Q galaxies and P properties: arrays (D, Q, P, K) in the units of the properties.

    What is asked of them is asked here, not of `common.densities`, whose scores take seconds to import.
    """

    weights: np.ndarray
    means: np.ndarray
    sigmas: np.ndarray

    def mean(self) -> np.ndarray:
        """The means (D, P, Q) of the densities."""
        return (self.weights * self.means).sum(axis=3).transpose(0, 2, 1)

    def cdf(self, truth: np.ndarray) -> np.ndarray:
        """The distribution functions (D, P, Q) at values (Q, P)."""
        below = ndtr((truth[None, :, :, None] - self.means) / self.sigmas)
        return (self.weights * below).sum(axis=3).transpose(0, 2, 1)


class Networks(nn.Module):
    """D separate networks (d -> hidden -> hidden -> properties x 3 components): (D, B, d) -> (D, B, P, 3 K)."""

    def __init__(self, count: int, width: int, properties: int, components: int, hidden: int, dropout: float):
        super().__init__()
        self.properties = properties
        sizes = [width, hidden, hidden, properties * 3 * components]
        self.weights = nn.ParameterList(torch.empty(count, a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.biases = nn.ParameterList(torch.empty(count, 1, b) for b in sizes[1:])
        self.dropout = nn.Dropout(dropout)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            start = torch.empty(2, *weight.shape[1:])  # all begin alike: what differs is what they learn from
            for parameter, value in ((weight, start[0]), (bias, start[1, :1])):
                bound = weight.shape[1] ** -0.5
                parameter.data.copy_(value.uniform_(-bound, bound).expand_as(parameter))
        means = self.biases[-1].data.view(count, 1, properties, 3, components)[:, :, :, 1]
        means += torch.linspace(-1.5, 1.5, components) if components > 1 else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < len(self.weights) - 1:
                x = self.dropout(nn.functional.gelu(x))
        return x.unflatten(2, (self.properties, -1))


def fit(train: np.ndarray, labels: np.ndarray, queries: np.ndarray, settings: Mapping, seed: int) -> Said:
    """Train heads, and what they say of galaxies.

    Parameters
    ----------
    train : (D, n, d) what each of D heads learns from
    labels : (D, n, P), all known
    queries : (Q, d)
    settings : components, hidden, dropout, learning_rate, batch_size, epochs, chosen_on
    seed : one thread and this seed: the same numbers on any number of cores
    """
    mean, std = (x.astype(np.float32) for x in _moments(train))
    location, scale = _moments(labels)
    x = torch.as_tensor(_standardised(train, mean, std))
    target = torch.as_tensor((labels - location) / scale, dtype=torch.float32)
    chooses = np.arange(x.shape[1]) % max(2, round(1 / settings["chosen_on"])) == 0
    rows, choice = (torch.as_tensor(np.flatnonzero(some)) for some in (~chooses, chooses))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        count, properties, components = len(x), labels.shape[2], settings["components"]
        network = Networks(count, x.shape[2], properties, components, settings["hidden"], settings["dropout"])
        best = _train(network, x, target, rows, choice, settings)
        parts = []
        with torch.no_grad():
            for start in range(0, len(queries), _ROWS):
                some = np.repeat(queries[None, start : start + _ROWS], count, axis=0)
                parts.append(best(torch.as_tensor(_standardised(some, mean, std))).double())
    logits, means, widths = torch.cat(parts, 1).chunk(3, dim=-1)
    sigmas = (nn.functional.softplus(widths) + NARROW).numpy() * scale[..., None]
    return Said(logits.softmax(-1).numpy(), means.numpy() * scale[..., None] + location[..., None], sigmas)


def _train(network: Networks, x, target, rows, choice, settings: Mapping) -> Networks:
    """The networks, each as it was after the epoch that was best for it on the rows that choose."""
    adam = torch.optim.Adam(network.parameters(), lr=1.0, fused=True)
    total = settings["epochs"] * math.ceil(len(rows) / settings["batch_size"])
    kept, best, step = copy.deepcopy(network).eval(), torch.full((len(x),), -torch.inf), 0
    for _ in range(settings["epochs"]):
        network.train()
        for some in rows[torch.randperm(len(rows))].split(settings["batch_size"]):
            loss = -log_score(network(x[:, some]), target[:, some]).mean(1).sum()
            adam.zero_grad()
            loss.backward()
            _cut([parameter.grad for parameter in network.parameters()])
            adam.param_groups[0]["lr"] = settings["learning_rate"] * _rate(step / total)
            adam.step()
            step += 1
        network.eval()
        with torch.no_grad():
            score = log_score(network(x[:, choice]), target[:, choice]).mean((1, 2)).nan_to_num(nan=-torch.inf)
            better = score > best
            best = torch.where(better, score, best)
            for old, new in zip(kept.parameters(), network.parameters(), strict=True):
                old.copy_(torch.where(better[:, None, None], new, old))
    return kept


def log_score(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Logarithm of the density (..., P) that outputs (..., P, 3 K) give to standardised labels (..., P)."""
    logits, means, widths = outputs.chunk(3, dim=-1)
    sigmas = nn.functional.softplus(widths) + NARROW
    z = (target[..., None] - means) / sigmas
    parts = logits.log_softmax(-1) - 0.5 * z**2 - sigmas.log() - 0.5 * math.log(2 * math.pi)
    return parts.logsumexp(-1)


def _cut(gradients: list[torch.Tensor]) -> None:
    """Scale the gradients (D, ...) of each head to a norm of STEEP at most."""
    norm = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factor = (STEEP / norm.clamp(min=STEEP))[:, None, None]
    for gradient in gradients:
        gradient *= factor


def _rate(done: float) -> float:
    return min(done / 0.1, 0.5 * (1 + math.cos(math.pi * max(0.0, (done - 0.1) / 0.9)))) + 1e-4


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (D, 1, d) over the rows; a constant column has deviation 1."""
    mean, std = values.mean(axis=1, keepdims=True, dtype=float), values.std(axis=1, keepdims=True, dtype=float)
    return mean, np.where(std > 0, std, 1.0)


def _standardised(values: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return np.clip((values - mean) / std, -FAR, FAR).astype(np.float32)
