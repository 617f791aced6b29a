"""Clusters of embeddings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, refuse, setting

RAW = "hdbscan_raw"
"""The method of HDBSCAN on a whole embedding."""


class Settings(AnalysisSettings):
    """Keys of k-means and HDBSCAN."""

    embeddings: list[reference("embedding")] = setting([])
    "MODEL-MODALITY, in the order of the figures; [] for all of the survey"
    split: Literal["all", "train", "validation", "test"] = setting("all")
    "galaxies that are clustered"
    properties: list[reference("property")] = setting(["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"], min_length=1)
    "whose means are shown"
    bins: int = setting(4, ge=2)
    "of a property, for its mutual information with the clusters"
    k: list[Annotated[int, Field(ge=1)]] = setting([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], min_length=3)
    "of the elbow"
    n_init: int = setting(3, ge=3)
    "starts of k-means, of which the best is kept"
    resamples_stability: int = setting(10, ge=3, le=100)
    "fits on bootstrap resamples, whose agreement says how stable the clusters are"
    permutations: int = setting(200, ge=19)
    "of the cluster labels, for the p of their mutual information"
    hdbscan_components: int = setting(10, ge=1)
    "principal components that HDBSCAN sees: density means little in hundreds of dimensions"
    min_cluster_size: int = setting(20, ge=2)
    "of HDBSCAN"
    min_samples: int = setting(5, ge=1)
    "of HDBSCAN"
    raw_galaxies: int = setting(5000, ge=2, le=8000)
    "galaxies at most, by a hash, whose whole embedding HDBSCAN sees, as published: all distances between them are held"
    raw_min_cluster_size: int = setting(5, ge=2)
    "of HDBSCAN there; published: at most 6, the number of galaxies in the smallest cluster"

    @model_validator(mode="after")
    def _three_k(self):
        if len(set(self.k)) < 3:
            raise refuse("k", f"{self.k} has {len(set(self.k))} different values; an elbow needs at least 3")
        return self


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue and the embeddings."""
    return {"galaxies": context.galaxies, "embeddings": context.embeddings(context.settings.embeddings)}


KIND = AnalysisKind(
    rule="cluster",
    title="Clusters of the embeddings (k-means and HDBSCAN)",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "clusters.csv",
        "members": "clusters.parquet",
        "figure_kmeans": "kmeans.png",
        "figure_hdbscan": "hdbscan.png",
    },
    run="skyloom.analysis.clusters.clusters:cluster",
    present="skyloom.analysis.clusters.present:present",
)
