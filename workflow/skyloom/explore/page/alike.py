"""Galaxies that are like another one, in each pairing of what a model looks at; exact, by the distance of embeddings.

It is that of vectors of length 1 in a shared space, sqrt(2 - 2 cos), as everywhere; else that of the vectors themselves.
"""

import dataclasses
import functools

import numpy as np

from skyloom.analysis.common import neighbours
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.common.traits import Described, describe_all
from skyloom.explore.page.catalog import Catalog

_HELD = 4
"""Embeddings held at a time."""


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What of the galaxy is compared with what of the others, `asked` and `found`, two modalities of one model."""

    model: str
    asked: Described
    found: Described

    @property
    def name(self) -> str:
        return f"{self.model}/{self.asked.modality}-{self.found.modality}"

    @property
    def metric(self) -> str:
        """How vectors are compared."""
        return "cosine" if self.asked.shared_space else "euclidean"

    def described(self) -> dict:
        """What the page is told of it."""
        names = {"model": self.model, "asked": self.asked.modality, "found": self.found.modality}
        return {"name": self.name, **names, "metric": self.metric}


def pairings_of(paths) -> list[Pairing]:
    """Every pairing that can be asked for: of a model with a shared space all its modalities with each other, those
    first; of any other each modality with itself."""
    described = describe_all(paths)
    shared: dict[str, list[Described]] = {}
    for place in described:
        shared.setdefault(place.model, []).append(place)
    found = []
    for model, places in sorted(shared.items(), key=lambda item: not (item[1][0].shared_space and len(item[1]) > 1)):
        pairs = [(a, b) for a in places for b in places if a is b or a.shared_space]
        found += [Pairing(model, a, b) for a, b in pairs]
    return found


class Alike:
    """Nearest galaxies of a catalogue by their rows."""

    def __init__(self, pairings: list[Pairing], catalog: Catalog):
        self.pairings = {pairing.name: pairing for pairing in pairings}
        self._catalog = catalog
        self._read = functools.lru_cache(_HELD)(self._vectors)

    def of(self, name: str, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and distances (n, k) of the k galaxies most alike to each of `rows` (n,), itself left out; -1 and NaN
        where it has no embedding, or there are no more galaxies."""
        pairing = self.pairings[name]
        places, vectors = self._read(pairing.asked.path)
        place = _place(places, rows)
        index, distance = np.full((len(rows), k), -1), np.full((len(rows), k), np.nan)
        there = place >= 0
        if there.any():
            index[there], distance[there] = self.like(name, vectors[place[there]], k, rows[there])
        return index, distance

    def like(
        self, name: str, vectors: np.ndarray, k: int, leave_out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same for vectors (n, d) of galaxies that need not be in the catalogue; `leave_out` (n,) rows that are no
        answer."""
        places, table = self._read(self.pairings[name].found.path)
        more = k if leave_out is None else k + 1
        distance, found = neighbours.nearest(vectors, table, more, self.pairings[name].metric)
        rows = places[found]
        if leave_out is not None:
            # what is left out goes to the end of its line; the others keep their order
            order = np.argsort(rows == leave_out[:, None], axis=1, kind="stable")
            rows, distance = (np.take_along_axis(v, order, 1) for v in (rows, distance))
            rows[:, -1] = np.where(rows[:, -1] == leave_out, -1, rows[:, -1])
        index, shown = np.full((len(vectors), k), -1), np.full((len(vectors), k), np.nan)
        count = min(k, rows.shape[1])
        index[:, :count], shown[:, :count] = rows[:, :count], distance[:, :count]
        shown[index < 0] = np.nan
        return index, shown

    def _vectors(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows (m,), rising, of the galaxies with an embedding, and their vectors (m, d)."""
        embedding = read_embedding(path)
        rows = self._catalog.rows(embedding.targetid)
        return rows[rows >= 0], embedding.values[rows >= 0]


def _place(places: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where (n,) rows are among rising `places`; -1 where they are not."""
    if not len(places):
        return np.full(len(rows), -1)
    found = np.searchsorted(places, rows).clip(max=len(places) - 1)
    return np.where(places[found] == rows, found, -1)
