"""A query, and which tokens of a galaxy it hides: the galaxy's own, whatever else is asked."""

import numpy as np
import torch
from torch import Tensor

from skyloom.core.mixing import uniform
from skyloom.models.mmae import IMAGE, SPECTRUM, Query
from skyloom.nn.batch import Batch
from skyloom.nn.draws import number


class Asked:
    """A query, and which tokens of a galaxy it hides."""

    def __init__(self, name: str, query: Query):
        self.name, self.query = name, query
        self.hidden = {IMAGE: query.image, SPECTRUM: query.spectrum}

    def __str__(self) -> str:
        return self.name

    def of(self, modality: str, count: int, batch: Batch) -> Tensor:
        """Hidden tokens (B, count) bool: int(share * count) of each galaxy, as published, by hashes of its targetid."""
        some = int(self.hidden[modality] * count)
        own = ids(batch)
        chance = np.stack([uniform(number(modality, place) % 2**31, own) for place in range(count)], 1)
        order = torch.from_numpy(chance.argsort(1).argsort(1))
        return order < some


def ids(batch: Batch) -> np.ndarray:
    """What a galaxy's own random numbers are made of, (B,)."""
    return np.arange(len(batch)) if batch.targetid is None else batch.targetid.cpu().numpy()
