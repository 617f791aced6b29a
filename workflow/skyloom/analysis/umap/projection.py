"""UMAP: embeddings flattened to two dimensions for looking at, never for measuring."""

import logging
import warnings

import numpy as np
import pandas

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import selected
from skyloom.analysis.umap import figures
from skyloom.core.errors import BadInput

log = logging.getLogger(__name__)

DEFAULTS = {
    "embeddings": [],  # MODEL-MODALITY names, in the order of the figure's rows; empty: all
    "split": "all",  # or train, validation, test
    "properties": ["log_mstar", "log_z_mw", "t_age", "log_ssfr"],
    "n_neighbors": 15,
    "min_dist": 0.1,
    "n_epochs": 200,
    "seed": 0,
}


def project(survey: str, galaxies_path, embedding_paths, outputs: dict, config: dict) -> None:
    """UMAP of each embedding.

    Parameters
    ----------
    galaxies_path : galaxies.parquet (targetid, z, properties)
    embedding_paths : files MODEL-MODALITY.parquet
    outputs : paths `table` (parquet: survey, model, modality, targetid, split, x, y) and `figure` (png)
    config : any of DEFAULTS
    """
    config = tables.settings(DEFAULTS, config, "umap")
    galaxies = tables.read_galaxies(galaxies_path, columns=["z", *config["properties"]])
    frames = []
    for embedding in selected(embedding_paths, config["embeddings"], "umap"):
        if config["split"] != "all":
            embedding = embedding.select(embedding.split == config["split"])
        if len(embedding.targetid) < 4:
            raise BadInput(
                f"{embedding.name}: {len(embedding.targetid)} galaxies in split {config['split']}; UMAP needs 4"
            )
        flat = umap(embedding.values, config)
        log.info("%s: %d galaxies projected", embedding.name, len(flat))
        name = {"survey": survey, "model": embedding.model, "modality": embedding.modality}
        columns = {"targetid": embedding.targetid, "split": embedding.split, "x": flat[:, 0], "y": flat[:, 1]}
        frames.append(pandas.DataFrame({**name, **columns}))
    points = pandas.concat(frames, ignore_index=True)
    tables.write_parquet(outputs["table"], points)
    figures.draw_projection(points, galaxies, config["properties"], outputs["figure"])


def umap(values: np.ndarray, config: dict) -> np.ndarray:
    """Coordinates (N, 2) float32 of standardised embeddings (N, d); one thread, so that the seed decides everything."""
    from umap import UMAP  # compiles on import: seconds that other analyses need not pay

    k = min(config["n_neighbors"], len(values) - 1)
    (scaled,) = neighbours.standardise(values)
    # Exact neighbours from one matrix product: compiling and running umap's approximate search took ten times longer.
    distance, index = neighbours.nearest(scaled, scaled, k)
    reducer = UMAP(
        n_neighbors=k,
        min_dist=config["min_dist"],
        n_epochs=config["n_epochs"],
        random_state=config["seed"],
        n_jobs=1,
        precomputed_knn=(index.astype(np.int32), distance.astype(np.float32)),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="(umap|sklearn).*")
        return np.asarray(reducer.fit_transform(scaled), dtype=np.float32)
