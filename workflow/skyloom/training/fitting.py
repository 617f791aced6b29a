"""Models that are fitted in one go instead of trained by gradients."""

import math

import numpy as np
import torch
from torch import nn

from skyloom.core.errors import BadInput
from skyloom.nn.draws import number
from skyloom.training.data import Samples

_BATCH = 256


def fit(model: nn.Module, samples: Samples, seed: int) -> list[dict]:
    """Fit a model on (at most `model.fit_samples` of) the training galaxies; rows of metrics."""
    train = samples.of("train")
    if len(train) > model.fit_samples:
        chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(number(seed, "fit")))
        train = train[np.sort(chosen[: model.fit_samples].numpy())]
    if not len(train):
        raise BadInput("no galaxy of split train has tokens: nothing to fit")
    torch.manual_seed(number(seed, "fit"))
    return model.fit(samples.batch(part) for part in np.array_split(train, math.ceil(len(train) / _BATCH)))
