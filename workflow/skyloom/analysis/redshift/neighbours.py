"""Redshifts of real spectra from their nearest neighbours among the galaxies a model was trained on.

A plain statement of how far a mock-trained encoder carries: the estimate beside redrock's, the spread of the neighbours
as uncertainty, and how far from the mock the spectrum lies compared with galaxies the mock itself held out.
"""

import logging

import numpy as np
import pandas

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import Embedding, read_embedding
from skyloom.analysis.redshift import figures
from skyloom.core.errors import BadConfig, BadInput

log = logging.getLogger(__name__)

DEFAULTS = {
    "model": "specformer",  # whose embeddings: the rule takes its files
    "k": 16,
    "weights": "distance",
    "metric": "euclidean",  # of standardised embeddings; "cosine" L2-normalises them first
    "far": 99.0,  # percentile of the mock's own distances beyond which an estimate is not to be trusted
    "shown": 12,  # spectra drawn at most
}
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


def estimate_redshift(
    galaxies_path, embedding_path, reference_path, reference_galaxies_path, shard_paths, outputs: dict, config: dict
) -> None:
    """Estimate the redshift of every embedded spectrum of a survey.

    Parameters
    ----------
    galaxies_path : galaxies.parquet of the survey (targetid, z from redrock or NaN, spectrum_file)
    embedding_path, reference_path : embeddings of the survey and of the survey the model was trained on
    reference_galaxies_path : galaxies.parquet of the latter (targetid, z)
    shard_paths : spectrum token shards of the survey, for the figure
    outputs : paths `table` (csv, see COLUMNS; delta is (z_estimate - z_redrock) / (1 + z_redrock)), `figure` (png)
    config : any of DEFAULTS
    """
    config = tables.settings(DEFAULTS, config, "redshift")
    if config["k"] < 1:
        raise BadConfig(f"redshift: k is {config['k']}; it must be at least 1")
    galaxies = tables.read_galaxies(galaxies_path, columns=["z", "spectrum_file"])
    target, reference = read_embedding(embedding_path), read_embedding(reference_path)
    if target.values.shape[1] != reference.values.shape[1]:
        widths = target.values.shape[1], reference.values.shape[1]
        raise BadInput(
            f"{embedding_path}: {widths[0]} dimensions, {reference_path} has {widths[1]}: not the same model"
        )
    z = tables.read_galaxies(reference_galaxies_path, columns=["z"])["z"].reindex(reference.targetid).to_numpy(float)
    table = estimate(target, reference, z, galaxies, config)
    done = table["delta"].dropna()
    log.info(
        "%d spectra, %d with a redrock redshift, |delta| < 0.05 for %d",
        len(table),
        len(done),
        (done.abs() < 0.05).sum(),
    )
    tables.write_csv(outputs["table"], table)
    figures.draw_redshifts(table, shard_paths, outputs["figure"], config["shown"])


def estimate(
    target: Embedding, reference: Embedding, z: np.ndarray, galaxies: pandas.DataFrame, config: dict
) -> pandas.DataFrame:
    """The table of COLUMNS; `z` (N,) are the redshifts of the reference rows, `galaxies` has index targetid."""
    train = (reference.split == "train") & np.isfinite(z)
    held_out = reference.split != "train"
    if not train.any():
        raise BadInput(f"{reference.name}: no galaxy of the training split has a redshift")
    known, queries, others = neighbours.standardise(reference.values[train], target.values, reference.values[held_out])
    distance, index = neighbours.nearest(queries, known, config["k"], config["metric"])
    near = z[train][index]
    value = neighbours.average(distance, near, config["weights"])
    spread = np.sqrt(neighbours.average(distance, (near - value[:, None]) ** 2, config["weights"]))
    redrock = galaxies["z"].reindex(target.targetid).to_numpy(float)
    own = np.sort(neighbours.nearest(others, known, 1, config["metric"])[0][:, 0])
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
        notes(redrock, percentile, (z[train].min(), z[train].max()), config["far"]),
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
