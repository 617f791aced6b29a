"""Planes to look at: embeddings flattened by the analysis `umap`, or on their two leading components; the sky."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq

from skyloom.analysis.common import neighbours
from skyloom.analysis.common.traits import describe_all
from skyloom.explore.page.catalog import Catalog
from skyloom.explore.page.sources import Sources

STEPS = 65534
"""Of a coordinate across the map; the last number means that a galaxy has no place on it."""
NOWHERE = 65535


@dataclasses.dataclass(frozen=True)
class Map:
    """Places of the galaxies of a catalogue on a plane.

    Attributes
    ----------
    name : of the embedding, model-modality, or "sky"
    how : how it was made
    rows, x, y : (m,) places of galaxies by row
    alike : both axes have one unit
    """

    name: str
    how: str
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    alike: bool = True

    def described(self) -> dict:
        """What the page is told of it, without the places."""
        (left, right), (low, high) = self._bounds()
        said = {"name": self.name, "how": self.how, "galaxies": len(self.rows)}
        return said | {"x": [left, right], "y": [low, high]}

    def packed(self, galaxies: int) -> np.ndarray:
        """Places (2, N) uint16 of all galaxies, in steps across the map; NOWHERE for those without one."""
        packed = np.full((2, galaxies), NOWHERE, "<u2")
        for line, values, (low, high) in zip(packed, (self.x, self.y), self._bounds(), strict=True):
            line[self.rows] = np.rint((values - low) / (high - low) * STEPS)
        return packed

    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        if not len(self.rows):
            return (0.0, 1.0), (0.0, 1.0)
        spans = [(float(v.min()), float(v.max())) for v in (self.x, self.y)]
        if self.alike:
            half = max(high - low for low, high in spans) / 2 or 0.5
            return tuple(((low + high) / 2 - half, (low + high) / 2 + half) for low, high in spans)
        return tuple((low, high if high > low else low + 1) for low, high in spans)


def maps_of(sources: Sources, catalog: Catalog) -> list[Map]:
    """A map of every embedding, those of shared spaces first, and the sky last."""
    flat = {}
    for path in sources.maps:
        table = pq.read_table(path, columns=["model", "modality", "targetid", "x", "y"]).to_pandas()
        for (model, modality), points in table.groupby(["model", "modality"], sort=False, observed=True):
            flat.setdefault(f"{model}-{modality}", points)
    described = sorted(describe_all(sources.embeddings), key=lambda e: (e.name not in flat, not e.shared_space))
    found = []
    for place in described:
        if place.name in flat:
            points = flat[place.name]
            found.append(_placed(catalog, place.name, "UMAP", *(points[c].to_numpy() for c in ("targetid", "x", "y"))))
        else:
            found.append(_components(place.path, place.name, catalog))
    position = {column.name: column.values for column in catalog.columns}
    if {"ra", "dec"} <= set(position):
        known = np.flatnonzero(np.isfinite(position["ra"]) & np.isfinite(position["dec"]))
        sky = "right ascension to the left, declination up, each over its whole range"
        found.append(Map("sky", sky, known, -position["ra"][known], position["dec"][known], alike=False))
    return found


def _components(path: str, name: str, catalog: Catalog) -> Map:
    """An embedding on its two leading principal components, its columns standardised."""
    from skyloom.analysis.common.embeddings import read_embedding

    embedding = read_embedding(path)
    if len(embedding.targetid) < 3:
        return Map(name, "too few galaxies", np.zeros(0, int), np.zeros(0), np.zeros(0))
    (scaled,) = neighbours.standardise(embedding.values)
    (flat,) = neighbours.whiten(2, scaled)
    if flat.shape[1] < 2:
        flat = np.column_stack([flat[:, 0], np.zeros(len(flat))])
    return _placed(catalog, name, "two leading principal components", embedding.targetid, flat[:, 0], flat[:, 1])


def _placed(catalog: Catalog, name: str, how: str, targetid: np.ndarray, x: np.ndarray, y: np.ndarray) -> Map:
    rows = catalog.rows(targetid)
    there = (rows >= 0) & np.isfinite(x) & np.isfinite(y)
    return Map(name, how, rows[there], x[there].astype(float), y[there].astype(float))
