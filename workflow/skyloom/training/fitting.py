"""What is fitted in one go: models without gradients, and what a trained one needs besides."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from skyloom.core.errors import BadInput
from skyloom.nn.batch import Batch
from skyloom.nn.draws import number
from skyloom.settings.training import Training
from skyloom.training.data import Samples

_BATCH = 256


def fit(model: nn.Module, samples: Samples, seed: int) -> list[dict]:
    """Fit a model on (at most `model.fit_samples` of) the training galaxies; rows of metrics."""
    train = _some(samples.of("train"), model.fit_samples, seed, "fit")
    if not len(train):
        raise BadInput("no galaxy of split train has tokens: nothing to fit")
    torch.manual_seed(number(seed, "fit"))
    return model.fit(_batches(samples, train))


def beginning(objective: nn.Module, samples: Samples, seed: int) -> Iterator[Batch]:
    """Some training galaxies, `objective.begin_samples` at most, for what is set before the first step."""
    return _batches(samples, _some(samples.of("train"), getattr(objective, "begin_samples", 0), seed, "begin"))


def finish(objective: nn.Module, samples: Samples, settings: Training, seed: int) -> list[dict]:
    """Once the steps are over: what an objective fits in one go to training and validation galaxies; metrics."""
    if not hasattr(objective, "finish"):
        return []
    train = _some(samples.of("train"), objective.finish_samples, seed, "finish")
    validation = samples.chosen("validation", settings.validation_samples)
    objective.eval()
    torch.manual_seed(number(seed, "finish"))
    rows = objective.finish(_batches(samples, train), _batches(samples, validation))
    return [{"step": settings.steps, **row} for row in rows]


def _some(indices: np.ndarray, most: int, seed: int, purpose: str) -> np.ndarray:
    """At most so many of these samples, by chance."""
    if len(indices) <= most:
        return indices
    chosen = torch.randperm(len(indices), generator=torch.Generator().manual_seed(number(seed, purpose)))
    return indices[np.sort(chosen[:most].numpy())]


def _batches(samples: Samples, indices: np.ndarray) -> Iterator[Batch]:
    parts = np.array_split(indices, math.ceil(len(indices) / _BATCH)) if len(indices) else []
    return (samples.batch(part) for part in parts)
