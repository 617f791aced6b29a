"""Queries and galleries: every pairing of the modalities of a shared space."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from skyloom.analysis.common import neighbours
from skyloom.analysis.common.embeddings import Embedding, open_embedding
from skyloom.analysis.common.traits import Described
from skyloom.core.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Pairing:
    """Queries among a gallery.

    Attributes
    ----------
    model, query, gallery : names
    targetid, z : (n,) of the galaxies that both modalities have
    queries, others : (n, d) L2-normalised embeddings
    """

    model: str
    query: str
    gallery: str
    targetid: np.ndarray
    z: np.ndarray
    queries: np.ndarray
    others: np.ndarray

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.query}->{self.gallery}"

    @property
    def crosses(self) -> bool:
        """Two modalities: each galaxy has a counterpart."""
        return self.query != self.gallery


def pairings(described: list[Described], z, split: str) -> Iterator[Pairing]:
    """Every ordered pair of the modalities of each model, then each modality with itself; `z` by targetid.

    BadInput if two modalities of a model do not share a space.
    """
    for model in dict.fromkeys(e.model for e in described):
        own = {}
        for place in described:
            if place.model == model:
                file = open_embedding(place.path)
                known = (file.split == split) & np.isin(file.targetid, z.index.to_numpy())
                own[place.modality] = file.read(file.targetid[known])
        for query, gallery in [*itertools.permutations(own, 2), *zip(own, own, strict=True)]:
            targetid = np.intersect1d(own[query].targetid, own[gallery].targetid)
            vectors = unit(own[query], own[gallery], targetid)
            yield Pairing(model, query, gallery, targetid, z.loc[targetid].to_numpy(float), *vectors)


def unit(query: Embedding, gallery: Embedding, targetid: np.ndarray) -> list[np.ndarray]:
    """L2-normalised embeddings (n, d) of two modalities; BadInput if they do not share a space."""
    if query.width != gallery.width:
        widths = f"{query.name} has {query.width} dimensions, {gallery.name} {gallery.width}"
        raise BadInput(f"retrieval: {widths}: not one space")
    found = (e.of(targetid) for e in (query, gallery))
    return [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in found]


def nearest(pair: Pairing, k: int, skip_self: bool, rows: np.ndarray | None = None) -> np.ndarray:
    """Row numbers (n, k) of the most similar gallery rows; with `skip_self`, row i is never its own neighbour.

    `rows`: queries that are asked for, all without it.
    """
    rows = np.arange(len(pair.queries)) if rows is None else rows
    found = neighbours.nearest(pair.queries[rows], pair.others, k + skip_self, "cosine")[1]
    if not skip_self:
        return found
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # a twin pushed the galaxy itself out of its own list: drop the last one instead
    return found[~own].reshape(len(found), -1)
