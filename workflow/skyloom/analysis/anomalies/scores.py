"""How odd a galaxy is: what a score is, and those of one embedding alone.

Distance to the k-th nearest neighbour (Ramaswamy, Rastogi and Shim 2000), that distance over its neighbours' own (the
local outlier factor of Breunig et al. 2000, without its smoothing), and as a baseline an isolation forest (Liu, Ting
and Zhou 2008), all in leading principal components whose deviation is 1 in the training split. Anomalies of the
training split are not taken out: k neighbours must be as odd to hide one.
"""

import dataclasses

import numpy as np
import pandas
from sklearn.ensemble import IsolationForest

from skyloom.analysis.anomalies import Settings
from skyloom.analysis.common import neighbours
from skyloom.analysis.common.embeddings import open_embedding
from skyloom.analysis.common.traits import Described

LEAST = 10
"""Training galaxies without which nothing is measured against them."""
NULL = 1e-10  # of the largest variance: components below it are rounding


@dataclasses.dataclass(frozen=True)
class Score:
    """How odd galaxies are in one respect.

    Attributes
    ----------
    model, modality, method, property : as in the tidy table, "" where there is none
    family : of scores that see the same thing; ranks are averaged in it
    counts : it enters the combined score
    values : by targetid, the larger the odder; NaN where unknown
    """

    model: str
    modality: str
    method: str
    property: str
    family: str
    counts: bool
    values: pandas.Series

    @property
    def name(self) -> str:
        """Of its column."""
        return "-".join(filter(None, (self.model, self.modality, self.method, self.property)))


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """The training galaxies nearest to each galaxy in an embedding.

    Attributes
    ----------
    targetid : (n,) of the galaxies
    near : (n, k) targetids of training galaxies, nearest first
    """

    targetid: np.ndarray
    near: np.ndarray


def of_embedding(
    place: Described, splits: list[str], known: np.ndarray, counts: bool, settings: Settings, seed: int
) -> tuple[list[Score], Neighbourhood] | None:
    """The scores of the galaxies of `splits` in an embedding, and their neighbours; None with too few to tell.

    `known` are the targetids of the catalogue: others are left out. Of N training galaxies each costs N distances in
    `settings.components` dimensions.
    """
    file = open_embedding(place.path)
    inside = np.isin(file.targetid, known)
    train, rows = inside & (file.split == "train"), inside & np.isin(file.split, splits)
    if train.sum() < LEAST or not rows.any():
        return None
    reference, targetid = file.of(file.targetid[train]), file.targetid[rows]
    count = varying(reference, settings.components)
    if not count:
        return None
    reference, queries = neighbours.whiten(count, reference, file.of(targetid))
    distance, ratio, index = local(queries, reference, settings.k)
    forest = IsolationForest(n_estimators=settings.trees, random_state=seed).fit(reference)
    found = {"distance": distance, "ratio": ratio, "forest": -forest.score_samples(queries)}
    scores = [
        Score(place.model, place.modality, method, "", place.modality, counts and method != "forest", values)
        for method, values in ((m, pandas.Series(v, targetid)) for m, v in found.items())
    ]
    return scores, Neighbourhood(targetid, file.targetid[train][index])


def varying(table: np.ndarray, most: int) -> int:
    """How many of the `most` leading principal components of a table (n, d) are more than rounding."""
    squares = np.linalg.eigvalsh(np.atleast_2d(np.cov(table.T.astype(np.float64))))[::-1]
    return int((squares[:most] > NULL * max(squares[0], np.finfo(np.float32).tiny)).sum())


def local(queries: np.ndarray, reference: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance (n,) of queries (n, d) to their k-th nearest reference row, its ratio (n,) to the mean such distance of
    the k nearest themselves, and their rows (n, k). The reference (N, d) has more than one row; k is at most N - 1.
    """
    k = min(k, len(reference) - 1)
    distance, index = neighbours.nearest(queries, reference, k)
    own = neighbours.nearest(reference, reference, k + 1)[0][:, -1]  # the first is the row itself
    typical = own[index].mean(axis=1)
    return distance[:, -1], distance[:, -1] / np.maximum(typical, np.finfo(np.float32).tiny), index
