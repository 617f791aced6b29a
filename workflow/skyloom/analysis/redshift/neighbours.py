"""Redshifts of real spectra from their nearest neighbours among the galaxies a model was trained on.

A plain statement of how far a mock-trained encoder carries: the estimate beside redrock's, the spread of the neighbours
as uncertainty, and how far from the mock the spectrum lies compared with galaxies the mock itself held out.
"""

import logging

import numpy as np
import pandas

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import Embedding, read_embedding
from skyloom.analysis.redshift import Settings, figures
from skyloom.core.errors import BadInput
from skyloom.figures.samples import Pictures
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

COLUMNS = [
    "targetid",
    "file",
    "z_redrock",
    "z_estimate",
    "z_spread",
    "delta",
    "nearest_distance",
    "distance_percentile",
    "note",
]


def estimate_redshift(job: Job) -> None:
    """Estimate the redshift of every embedded galaxy of a survey.

    Inputs: galaxies (targetid, z from redrock or NaN, spectrum_file if there is one), embedding and reference (of the
    survey and of the one whose models embed it), reference_galaxies (targetid, z), tokens (shards of the survey, for
    the figure). Outputs: table (csv, see COLUMNS; delta is (z_estimate - z_redrock) / (1 + z_redrock)), figure (png).
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), ["z", "spectrum_file"])
    target, reference = read_embedding(job.one("embedding")), read_embedding(job.one("reference"))
    if target.values.shape[1] != reference.values.shape[1]:
        own, other = target.values.shape[1], reference.values.shape[1]
        raise BadInput(
            f"{job.one('embedding')}: {own} dimensions, {job.one('reference')} has {other}: not the same model"
        )
    known = tables.read_galaxies(job.one("reference_galaxies"), columns=["z"])["z"]
    table = estimate(target, reference, known.reindex(reference.targetid).to_numpy(float), galaxies, settings)
    done = table["delta"].dropna()
    near = (done.abs() < 0.05).sum()
    log.info("%d galaxies, %d with a known redshift, |delta| < 0.05 for %d", len(table), len(done), near)
    tables.write_csv(job.outputs["table"], table)
    pictures = Pictures(target.modality, job.inputs["tokens"])
    figures.draw_redshifts(table, pictures, job.outputs["figure"], settings.shown)


def estimate(
    target: Embedding, reference: Embedding, z: np.ndarray, galaxies: pandas.DataFrame, settings: Settings
) -> pandas.DataFrame:
    """The table of COLUMNS; `z` (N,) are the redshifts of the reference rows, `galaxies` has index targetid."""
    train = (reference.split == "train") & np.isfinite(z)
    held_out = reference.split != "train"
    if not train.any():
        raise BadInput(f"{reference.name}: no galaxy of the training split has a redshift")
    known, queries, others = neighbours.standardise(reference.values[train], target.values, reference.values[held_out])
    distance, index = neighbours.nearest(queries, known, settings.k, settings.metric)
    near = z[train][index]
    value = neighbours.average(distance, near, settings.weights)
    spread = np.sqrt(neighbours.average(distance, (near - value[:, None]) ** 2, settings.weights))
    redrock = galaxies["z"].reindex(target.targetid).to_numpy(float)
    own = np.sort(neighbours.nearest(others, known, 1, settings.metric)[0][:, 0])
    percentile = 100 * np.searchsorted(own, distance[:, 0]) / len(own) if len(own) else np.full(len(value), np.nan)
    columns = [
        target.targetid,
        galaxies["spectrum_file"].reindex(target.targetid).to_numpy(),
        redrock,
        value,
        spread,
        (value - redrock) / (1 + redrock),
        distance[:, 0],
        percentile,
        notes(redrock, percentile, (z[train].min(), z[train].max()), settings.far),
    ]
    return pandas.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def notes(redrock: np.ndarray, percentile: np.ndarray, span: tuple[float, float], far: float) -> list[str]:
    """One line for each spectrum: why its estimate should be doubted; empty where nothing speaks against it."""
    found = []
    for z, place in zip(redrock, percentile, strict=True):
        reasons = []
        if not np.isfinite(z):
            reasons.append("no redrock redshift")
        elif not span[0] <= z <= span[1]:
            reasons.append(f"redrock z outside the training range {span[0]:.3f} to {span[1]:.3f}")
        if place > far:
            reasons.append("unlike the training galaxies")
        found.append("; ".join(reasons))
    return found
