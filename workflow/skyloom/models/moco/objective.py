"""Momentum contrast, second version (MoCo-v2: He et al. 2020, Chen et al. 2020).

A query, made of one observation of a galaxy, is to be told by the key of another observation of it from the keys of
other galaxies, which wait in a queue. Keys come from a running mean of the network.

Different from the published code: keys are normalised by running means of batch statistics (Cai et al. 2021, EMAN), and
queries by those of all processes' images, which takes the place of shuffling batches between processes and does not
depend on their number; a key of the same galaxy from an epoch before is no negative.
"""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.models.moco.augment import observe
from skyloom.models.moco.network import MoCo, known
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.queue import Queue, in_order

FIRST = 1024
"""Keys of galaxies that are in the queue at the start, at most; the others are of no galaxy, random as published."""


class Objective(Queue):
    """InfoNCE of queries with their keys and those of the queue. `model` makes the queries; `keys`, the keys."""

    def __init__(self, model: MoCo):
        config = model.config
        super().__init__(functional.normalize(torch.randn(config.queue, config.dim), dim=1))
        self.model, self.inputs = model, model.inputs
        self.labels = ("ebv",) if config.augment.extinction else ()
        self.keys = copy.deepcopy(model).requires_grad_(False).eval()
        self.begin_samples = min(config.queue, FIRST)
        self.waiting: tuple[Tensor, Tensor] | None = None

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        self.keys.eval()  # a batch's own statistics would tell which keys belong to it
        return self

    @torch.no_grad()
    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Put keys of some training galaxies into the queue: a loss against random keys alone says nothing, and would
        be the lowest of the whole training."""
        for batch in batches:
            self.put(self.keys.project(self.model.images(batch)), self.of(batch))

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.model.config
        flux, ebv = known(batch[self.model.modality]["flux"]), batch.labels.get("ebv")
        with torch.no_grad(), torch.autocast(flux.device.type, enabled=False):
            one, other = (observe(flux, ebv, config.image_size, config.augment, draws) for _ in range(2))
        query = self.model.project(one)
        with torch.no_grad():
            key = self.keys.project(other)
        galaxy = self.of(batch)
        if self.training:
            self.waiting = key, galaxy
        with torch.autocast(flux.device.type, enabled=False):
            return contrast(query, key, self.queue, self.same(galaxy), config.temperature)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the network of the keys towards that of the queries; the batch's keys take the place of the oldest."""
        ours, theirs = self.model.state_dict(), self.keys.state_dict()
        for name, tensor in ours.items():  # one by one: of weights in shards a process has parts, of buffers all
            theirs[name].lerp_(tensor, 1 - self.model.config.momentum)
        self.put(*map(in_order, self.waiting))


def contrast(
    query: Tensor, key: Tensor, queue: Tensor, same: Tensor, temperature: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE (van den Oord et al. 2018), and how well keys are found.

    Parameters
    ----------
    query, key : (B, dim) of length 1; row i of the two is the same galaxy
    queue : (K, dim) keys of others
    same : (B, K) bool, keys of the queue that are of the same galaxy as the query and do not count

    Returns
    -------
    The loss, and `found`: share of queries whose own key is the most alike; `alike`: mean cosine of queries and keys of
    others, which is 1 when all are embedded alike
    """
    own, others = (query * key).sum(1, keepdim=True), query @ queue.T
    logits = torch.cat([own, others.masked_fill(same, -torch.inf)], 1) / temperature
    loss = (logits.logsumexp(1) - logits[:, 0]).mean()
    return loss, {"found": (logits.argmax(1) == 0).float().mean(), "alike": others.detach().mean()}
