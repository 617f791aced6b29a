"""Embeddings flattened to two dimensions, for looking at."""

from typing import Literal

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of a UMAP."""

    embeddings: list[reference("embedding")] = setting([])
    "MODEL-MODALITY, in the order of the figure's rows; [] for all of the survey"
    split: Literal["all", "train", "validation", "test"] = setting("all")
    "galaxies that are projected"
    properties: list[reference("property")] = setting(["log_mstar", "log_z_mw", "t_age", "log_ssfr"], min_length=1)
    "that points are coloured by, low and high"
    n_neighbors: int = setting(15, ge=2)
    "of UMAP"
    min_dist: float = setting(0.1, ge=0)
    "of UMAP"
    n_epochs: int = setting(200, ge=1)
    "of UMAP"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue and the embeddings."""
    return {"galaxies": context.galaxies, "embeddings": context.embeddings(context.settings.embeddings)}


KIND = AnalysisKind(
    rule="project",
    title="Maps of the embeddings (UMAP)",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "umap.parquet", "figure": "umap.png"},
    run="skyloom.analysis.umap.projection:project",
)
