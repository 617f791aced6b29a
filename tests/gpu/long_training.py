"""A training of so many minutes on spectra that are generated as they are needed, none seen twice."""

import tempfile
import time
from collections.abc import Iterator

import numpy as np
import torch

from skyloom.nn.batch import Batch
from skyloom.training.checkpoints import Checkpoints
from skyloom.training.trainer import Trainer
from tests.gpu import steps
from tests.gpu.steps import Device, Endless, batch_of, trainer_for
from tests.gpu.subjects import Subject

PUBLISHED = {"learning_rate": 1e-5, "betas": (0.9, 0.95), "weight_decay": 0.1, "clip": 1.0}
WARMUP = 2000  # steps of the published 500,000
NEIGHBOURS = 16


class Generated(Endless):
    """An endless survey: sample i of validation is always the same, those of a training step belong to that step."""

    def __init__(self, subject: Subject, device: str, validation: int):
        super().__init__(device, 2**40)
        self.subject, self.validation = subject, validation

    def of(self, split: str) -> range:
        return range(self.validation if split == "validation" else self.count)

    def chosen(self, split: str, most: int) -> np.ndarray:
        return np.arange(min(most, self.validation))

    def batch(self, indices: np.ndarray) -> Batch:
        return self._made(len(indices), 2**40 + int(indices[0]))

    def shuffled(self, indices, size: int, seed: int, first: int, last: int, rank: int, world: int) -> Iterator[Batch]:
        return (self._made(size, step) for step in range(first, last))

    def _made(self, size: int, seed: int) -> Batch:
        return self.subject.make(size, torch.Generator(self.device).manual_seed(seed))


def trained(subject: Subject, device: Device, minutes: float) -> dict:
    """Train with the published rates for so long; what came out."""
    steps.release(device)
    trainer, batch = trainer_for(subject, device, subject.size), batch_of(subject, device, subject.size)
    times = [device.seconds(trainer.advance, trainer.objective, batch) for _ in range(device.warm + device.timed)]
    count = max(10, int(60 * minutes / np.median(times[device.warm :])))
    settings = {**PUBLISHED, "steps": count, "warmup": min(WARMUP, count // 10), "log_every": max(1, count // 100)}
    settings |= {"validate_every": max(1, count // 10), "checkpoint_every": max(1, count // 4)}
    settings |= {"validation_samples": 4 * subject.size}
    samples = Generated(subject, device.device, 4 * subject.size)
    objective = subject.objective().to(device.device)
    before = neighbours(objective.model, samples)
    with tempfile.TemporaryDirectory() as folder:
        store = Checkpoints(folder, "0" * 64)
        trainer = Trainer(objective, samples, subject.training(**settings), 0, store, 0, 1, print)
        started = time.perf_counter()
        rows, _ = trainer.run()
        device.wait()
        seconds = time.perf_counter() - started
    losses = [row["loss"] for row in rows if row["split"] == "validation"]
    rate = count * subject.size / seconds
    operations = steps.operations(subject, device) * rate
    return {
        "minutes": round(seconds / 60, 2),
        "steps": count,
        "batch": subject.size,
        "spectra/s": round(rate, 1),
        "tokens/s": round(rate * subject.tokens),
        "of matrix products, all told": round(operations / device.products(), 4),
        "validation loss before and after": [round(losses[0], 4), round(losses[-1], 4)],
        "R2 of the redshift by neighbours before and after": [before, neighbours(objective.model, samples)],
    }


@torch.no_grad()
def neighbours(model: torch.nn.Module, samples: Generated) -> float:
    """R2 of redshifts from the nearest embeddings, standardised: of one batch from others."""
    training = model.training
    model.eval()
    (name,) = model.inputs
    size = samples.subject.size
    batches = [samples.batch(np.array([place] * size)) for place in range(1000, 1000 + (9 if size > 8 else 20))]
    found = torch.cat([model.embed(batch, name).float() for batch in batches])
    z = torch.cat([batch.labels["z"] for batch in batches])
    found = (found - found[size:].mean(0)) / found[size:].std(0).clamp(min=1e-6)
    nearest = torch.cdist(found[:size], found[size:]).topk(NEIGHBOURS, largest=False).indices
    said, true = z[size:][nearest].mean(1), z[:size]
    model.train(training)
    return round(float(1 - (said - true).square().sum() / (true - true.mean()).square().sum()), 3)
