"""Density heads: one network a source, a mixture of Gaussians for each property, any part of the input missing.

Mixture density networks (Bishop 1994), trained on the logarithmic score. A property is standardised by its mean and
deviation among the training galaxies. The columns of a part that is not there are 0, their mean, and a flag says so; in
training whole parts are hidden at random, so that one network answers for both and for either alone.
"""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from skyloom.analysis.common.densities import Mixtures
from skyloom.analysis.common.heads import one_thread

NARROW = 1e-3
"""The least width of a component, in deviations of the property: labels have no noise of their own below it."""


PATIENCE = 8
"""Epochs without a better score of any property after which training ends."""


class Network(nn.Module):
    """(B, width) -> (B, properties, 3 * components): logits of weights, means, widths before softplus."""

    def __init__(self, width: int, properties: int, components: int, hidden: int, dropout: float):
        super().__init__()
        self.properties = properties
        self.layers = nn.Sequential(
            *(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout)),
            nn.Linear(hidden, properties * 3 * components),
        )
        with torch.no_grad():  # components start side by side, or they would all learn the same
            means = self.layers[-1].bias.view(properties, 3, components)[:, 1]
            means += torch.linspace(-1.5, 1.5, components) if components > 1 else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).unflatten(1, (self.properties, -1))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a source says of n galaxies.

    Attributes
    ----------
    values : (n, d) float32, the columns of all parts side by side
    there : (n, parts) whether a galaxy has a part; its columns are not looked at where it has not
    widths : columns of each part
    """

    values: np.ndarray
    there: np.ndarray
    widths: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Head:
    """A trained head.

    Attributes
    ----------
    networks : one a property, of which its outputs count: the epoch that was best for it
    mean, std : (d,) of the inputs
    location, scale : (P,) of the properties
    score : (P,) the best mean logarithmic score on the galaxies that chose, in standardised units
    epochs : (P,) when it was reached
    """

    networks: Sequence[Network]
    mean: np.ndarray
    std: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    score: np.ndarray
    epochs: np.ndarray

    def mixtures(self, inputs: Inputs) -> list[Mixtures]:
        """A mixture (n, K) in the units of each property."""
        x, there = _standardised(inputs, self.mean, self.std), torch.as_tensor(inputs.there, dtype=torch.float32)
        spread = torch.as_tensor(np.repeat(np.arange(len(inputs.widths)), inputs.widths))
        answers: dict[int, torch.Tensor] = {}
        found = []
        with one_thread(), torch.no_grad():
            for p, network in enumerate(self.networks):
                if id(network) not in answers:
                    answers[id(network)] = network(_masked(x, there, spread)).double()
                logits, means, widths = answers[id(network)][:, p].chunk(3, dim=-1)
                sigmas = (nn.functional.softplus(widths) + NARROW) * self.scale[p]
                parts = (logits.softmax(-1), means * self.scale[p] + self.location[p], sigmas)
                found.append(Mixtures(*(part.numpy() for part in parts)))
        return found


def train(inputs: Inputs, labels: np.ndarray, chooses: np.ndarray, settings: Mapping, seed: int) -> Head:
    """Train a head.

    Parameters
    ----------
    inputs : of n galaxies
    labels : (n, P), NaN where unknown; each property needs one at least in both sets
    chooses : (n,) the galaxies that epochs are chosen on; the others are trained on
    settings : components, hidden, dropout, learning_rate, batch_size, epochs, absent
    seed : one thread and this seed: the same numbers on any number of cores
    """
    mean, std = _moments(inputs, ~chooses)
    location, scale = np.nanmean(labels[~chooses], axis=0), np.nanstd(labels[~chooses], axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    known = torch.as_tensor(np.isfinite(labels))
    target = torch.as_tensor(np.where(np.isfinite(labels), (labels - location) / scale, 0), dtype=torch.float32)
    x, there = _standardised(inputs, mean, std), torch.as_tensor(inputs.there, dtype=torch.float32)
    spread = torch.as_tensor(np.repeat(np.arange(len(inputs.widths)), inputs.widths))
    rows, choice = (torch.as_tensor(np.flatnonzero(some)) for some in (~chooses, chooses))
    count = labels.shape[1]
    best, epochs = torch.full((count,), -torch.inf), np.zeros(count, int)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = x.shape[1] + there.shape[1]
        network = Network(width, count, settings["components"], settings["hidden"], settings["dropout"])
        kept: list[Network] = [network] * count
        adam = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=0.0, fused=True)
        total = settings["epochs"] * math.ceil(len(rows) / settings["batch_size"])
        rate = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: settings["learning_rate"] * _rate(step / total))
        for epoch in range(1, settings["epochs"] + 1):
            network.train()
            for some in rows[torch.randperm(len(rows))].split(settings["batch_size"]):
                seen = _hidden(there[some], settings["absent"])
                scores = log_score(network(_masked(x[some], seen, spread)), target[some])
                loss = -_mean(scores, known[some]).sum()
                adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 10.0)
                adam.step()
                rate.step()
            score = _choose(network.eval(), x[choice], there[choice], spread, target[choice], known[choice])
            if (better := score > best).any():
                copied = copy.deepcopy(network)
                for p in torch.nonzero(better)[:, 0].tolist():
                    best[p], epochs[p], kept[p] = score[p], epoch, copied
            if epoch - epochs.max() >= PATIENCE:
                break
    return Head([network.eval() for network in kept], mean, std, location, scale, best.numpy(), epochs)


def log_score(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Logarithm of the density (B, P) at standardised labels (B, P)."""
    logits, means, widths = outputs.chunk(3, dim=-1)
    sigmas = nn.functional.softplus(widths) + NARROW
    z = (target[..., None] - means) / sigmas
    parts = logits.log_softmax(-1) - 0.5 * z**2 - sigmas.log() - 0.5 * math.log(2 * math.pi)
    return parts.logsumexp(-1)


def _choose(network, x, there, spread, target, known) -> torch.Tensor:
    """The mean score (P,) over all that a head may be given: every part that is there, and each alone."""
    scores = []
    with torch.no_grad():
        for given in ways(there.shape[1]):
            seen = there * torch.tensor(given, dtype=torch.float32)
            some = seen.any(dim=1)
            outputs = network(_masked(x[some], seen[some], spread))
            scores.append(_mean(log_score(outputs, target[some]), known[some]))
    return torch.stack(scores).nan_to_num(nan=-torch.inf).mean(0)


def ways(parts: int) -> list[tuple[bool, ...]]:
    """Which parts a head may be given: all, and if there are several, each alone."""
    alone = [tuple(part == p for part in range(parts)) for p in range(parts)]
    return [(True,) * parts, *(alone if parts > 1 else [])]


def _hidden(there: torch.Tensor, absent: float) -> torch.Tensor:
    """The parts (B, parts) that are there, `absent` of the rows with several reduced to one of them."""
    if there.shape[1] == 1:
        return there
    alone = (torch.rand(len(there)) < absent) & (there.sum(1) > 1)
    chosen = (torch.rand(there.shape) * there).argmax(1)
    return torch.where(alone[:, None], nn.functional.one_hot(chosen, there.shape[1]).to(there), there)


def _masked(x: torch.Tensor, there: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    return torch.cat([x * there[:, spread], there], dim=1)


def _mean(scores: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return torch.where(known, scores, 0).sum(0) / known.sum(0).clamp(min=1)


def _rate(done: float) -> float:
    return min(done / 0.1, 0.5 * (1 + math.cos(math.pi * max(0.0, (done - 0.1) / 0.9)))) + 1e-4


def _moments(inputs: Inputs, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (d,) of the columns over the rows that have them; a constant column has deviation 1."""
    mean, std, first = np.zeros(inputs.values.shape[1]), np.ones(inputs.values.shape[1]), 0
    for part, width in enumerate(inputs.widths):
        some = rows & inputs.there[:, part]
        columns = slice(first, first + width)
        first += width
        if some.any():
            mean[columns] = inputs.values[some, columns].mean(axis=0, dtype=np.float64)
            std[columns] = inputs.values[some, columns].std(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)


def _standardised(inputs: Inputs, mean: np.ndarray, std: np.ndarray) -> torch.Tensor:
    """Columns by mean and deviation, cut at 10 of them, 0 where a galaxy has not the part."""
    values = np.clip((inputs.values - mean) / std, -10, 10)
    return torch.as_tensor(np.nan_to_num(values), dtype=torch.float32)
