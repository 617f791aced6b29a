"""UMAP: embeddings flattened to two dimensions for looking at, never for measuring."""

import logging

import pandas

from skyloom.analysis.common import tables
from skyloom.analysis.common.projection import flattened
from skyloom.analysis.common.traits import Described, in_order, read_split
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
    embedding = read_split(place.path, settings.split)
    if len(embedding.targetid) < LEAST:
        log.info("%s: %d galaxies in split %s: left out", place.name, len(embedding.targetid), settings.split)
        return None
    flat = flattened(embedding.values, settings.n_neighbors, settings.min_dist, settings.n_epochs, seed)
    log.info("%s: %d galaxies projected", place.name, len(flat))
    values = [survey, place.model, place.modality, embedding.targetid, embedding.split, flat[:, 0], flat[:, 1]]
    return pandas.DataFrame(dict(zip(COLUMNS, values, strict=True)))
