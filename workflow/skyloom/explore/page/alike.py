"""Galaxies that are like another one, in each pairing of what a model looks at, by rows of the catalogue."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from skyloom.analysis.common.traits import Described, describe_all
from skyloom.explore.page.catalog import Catalog

if TYPE_CHECKING:
    from skyloom.explore.index import Index
    from skyloom.explore.scan import Scan


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What of the galaxy is compared with what of the others, `asked` and `found`, two modalities of one model."""

    model: str
    asked: Described
    found: Described

    @property
    def name(self) -> str:
        """``{model}/{asked}-{found}``."""
        return f"{self.model}/{self.asked.modality}-{self.found.modality}"

    def described(self) -> dict:
        """What the page is told of it."""
        return {"name": self.name, "model": self.model, "asked": self.asked.modality, "found": self.found.modality}


def pairings_of(paths) -> list[Pairing]:
    """Every pairing that can be asked for: of a model with a shared space all its modalities with each other, those
    first; of any other each modality with itself."""
    models: dict[str, list[Described]] = {}
    for place in describe_all(paths):
        models.setdefault(place.model, []).append(place)
    found = []
    for model, places in sorted(models.items(), key=lambda item: not (item[1][0].shared_space and len(item[1]) > 1)):
        for asked in places:
            others = [place for place in places if place is not asked and asked.shared_space]
            found += [Pairing(model, asked, other) for other in (asked, *others)]
    return found


class Alike:
    """Nearest galaxies of a catalogue.

    Parameters
    ----------
    pairings : which can be asked for
    catalog : rows are its rows
    opened : a table of embeddings -> what searches it
    """

    def __init__(self, pairings: list[Pairing], catalog: Catalog, opened: "Callable[[Described], Index | Scan]"):
        self.pairings = {pairing.name: pairing for pairing in pairings}
        self._catalog, self._opened = catalog, opened

    def of(self, name: str, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and distances (n, k) of the k galaxies nearest to each of `rows` (n,), itself left out where like
        is compared with like; -1 and NaN where it has no embedding, or there are no more galaxies.
        """
        pairing = self.pairings[name]
        asked, found = self._opened(pairing.asked), self._opened(pairing.found)
        place = _places(asked.targetid, self._catalog.targetid[rows])
        itself = place if pairing.asked is pairing.found else np.full(len(rows), -1)
        index, distance = np.full((len(rows), k), -1), np.full((len(rows), k), np.nan)
        there = np.flatnonzero(place >= 0)
        if not len(there):
            return index, distance
        far, near = found.search(asked.raw(place[there]), k + 1)
        own = (near == itself[there, None]) & (near >= 0)
        order = np.argsort(own, axis=1, kind="stable")[:, :k]  # the galaxy itself goes to the end
        near, far, own = (np.take_along_axis(values, order, 1) for values in (near, far, own))
        galaxies = np.where((near >= 0) & ~own, self._catalog.rows(np.asarray(found.targetid)[near]), -1)
        index[there], distance[there] = galaxies, np.where(galaxies >= 0, far, np.nan)
        return index, distance


def _places(targetid: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where (n,) galaxies are among rising ones, -1 where they are not."""
    if not len(targetid):
        return np.full(len(wanted), -1)
    place = np.searchsorted(targetid, wanted).clip(max=len(targetid) - 1)
    return np.where(np.asarray(targetid)[place] == wanted, place, -1)
