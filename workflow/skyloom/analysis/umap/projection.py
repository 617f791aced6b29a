"""UMAP: embeddings flattened to two dimensions for looking at, never for measuring."""

import logging
import warnings

import numpy as np
import pandas

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.common.traits import Described, in_order
from skyloom.analysis.umap import Settings, figures
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

COLUMNS = ["survey", "model", "modality", "targetid", "split", "x", "y"]
LEAST = 4
"""Galaxies without which there is nothing to project."""


def project(job: Job) -> None:
    """UMAP of each embedding.

    Inputs: galaxies (targetid, z, properties), embeddings (tables MODEL-MODALITY.parquet). Outputs: table (parquet:
    survey, model, modality, targetid, split, x, y) and figure (png). An embedding of fewer than LEAST galaxies is left
    out with a line in the log.
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), ["z", *settings.properties])
    described = in_order(job.inputs["embeddings"], bool(settings.embeddings))
    frames = [found for place in described if (found := _project(job.survey, place, settings, job.seed)) is not None]
    points = pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=COLUMNS)
    tables.write_parquet(job.outputs["table"], points)
    figures.draw_projection(points, galaxies, settings.properties, job.outputs["figure"])


def _project(survey: str, place: Described, settings: Settings, seed: int) -> pandas.DataFrame | None:
    embedding = read_embedding(place.path)
    if settings.split != "all":
        embedding = embedding.select(embedding.split == settings.split)
    if len(embedding.targetid) < LEAST:
        log.info("%s: %d galaxies in split %s: left out", place.name, len(embedding.targetid), settings.split)
        return None
    flat = umap(embedding.values, settings, seed)
    log.info("%s: %d galaxies projected", place.name, len(flat))
    values = [survey, place.model, place.modality, embedding.targetid, embedding.split, flat[:, 0], flat[:, 1]]
    return pandas.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def umap(values: np.ndarray, settings: Settings, seed: int) -> np.ndarray:
    """Coordinates (N, 2) float32 of standardised embeddings (N, d); one thread, so that the seed decides everything."""
    from umap import UMAP  # compiles on import: seconds that other analyses need not pay

    k = min(settings.n_neighbors, len(values) - 1)
    (scaled,) = neighbours.standardise(values)
    # Exact neighbours from one matrix product: compiling and running umap's approximate search took ten times longer.
    distance, index = neighbours.nearest(scaled, scaled, k)
    reducer = UMAP(
        n_neighbors=k,
        min_dist=settings.min_dist,
        n_epochs=settings.n_epochs,
        random_state=seed,
        n_jobs=1,
        precomputed_knn=(index.astype(np.int32), distance.astype(np.float32)),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="(umap|sklearn).*")
        return np.asarray(reducer.fit_transform(scaled), dtype=np.float32)
