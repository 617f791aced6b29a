"""Few-shot heads: one small MLP a property on frozen embeddings, all properties trained side by side.

Published setting (AstroCLIP benchmark): 64-64, ReLU, dropout 0.1, Adam 1e-3, 10 epochs, batch 64. The heads share
nothing but the batches: their losses add, so each head has the gradient it would have alone.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

_ROWS = 8192  # predicted at once: P copies of these rows are made


class Heads(nn.Module):
    """P separate MLPs (d -> hidden -> hidden -> 1): (B, d) -> (B, P)."""

    def __init__(self, width: int, properties: int, hidden: int, dropout: float):
        super().__init__()
        sizes = [width, hidden, hidden, 1]
        self.weights = nn.ParameterList(torch.empty(properties, a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.biases = nn.ParameterList(torch.empty(properties, 1, b) for b in sizes[1:])
        self.dropout = nn.Dropout(dropout)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            for parameter in (weight, bias):  # as nn.Linear: uniform within 1/sqrt(fan in)
                nn.init.uniform_(parameter, -(weight.shape[1] ** -0.5), weight.shape[1] ** -0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.expand(self.weights[0].shape[0], *x.shape)  # (P, B, d)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < len(self.weights) - 1:
                x = self.dropout(x.relu())
        return x[:, :, 0].T


def fit_predict(train: np.ndarray, labels: np.ndarray, queries: np.ndarray, config: dict) -> dict[int, np.ndarray]:
    """Train on (N, d) with labels (N, P), NaN where unknown; predictions (Q, P) after each number of epochs asked for.

    `config`: hidden, dropout, learning_rate, batch_size, epochs (list), seed. Features should come standardised;
    labels are standardised here. Rows in single precision are used as they are, not copied. One thread: the same
    seed gives the same numbers on any number of cores.
    """
    known = np.isfinite(labels)
    mean, std = np.nanmean(labels, axis=0), np.nanstd(labels, axis=0)
    std = np.where(std > 0, std, 1.0)
    target = torch.as_tensor(np.where(known, (labels - mean) / std, 0.0), dtype=torch.float32)
    known = torch.as_tensor(known, dtype=torch.float32)
    train, queries = (torch.as_tensor(x, dtype=torch.float32) for x in (train, queries))
    predictions = {}
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        heads = Heads(train.shape[1], labels.shape[1], config["hidden"], config["dropout"])
        adam = torch.optim.Adam(heads.parameters(), lr=config["learning_rate"], fused=True)
        for epoch in range(1, max(config["epochs"]) + 1):
            heads.train()
            for rows in torch.randperm(len(train)).split(config["batch_size"]):
                error = (heads(train[rows]) - target[rows]) ** 2 * known[rows]
                loss = (error.sum(0) / known[rows].sum(0).clamp(min=1)).sum()
                adam.zero_grad()
                loss.backward()
                adam.step()
            if epoch in config["epochs"]:
                heads.eval()
                with torch.no_grad():
                    parts = [heads(some) for some in queries.split(_ROWS)]
                predictions[epoch] = torch.cat(parts).double().numpy() * std + mean
    return predictions


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums do not depend on how many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
