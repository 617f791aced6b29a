"""Clusters of galaxies' positions on the sky, and how well properties are predicted in each (benchmark, BE-14/15)."""

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of clusters of the sky."""

    regression: reference("analysis") = setting("regression")
    "whose predictions of the test split are scored in each cluster"
    clusters: int = setting(10, ge=2)
    "k of k-means on the sphere; published: 10, on right ascension and declination as if they were a plane"
    n_init: int = setting(5, ge=1)
    "starts of k-means, of which the best is kept"
    least: int = setting(20, ge=2)
    "galaxies with a prediction in a cluster that is scored"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue and the predictions of a regression."""
    return {"galaxies": context.galaxies, "predictions": context.output_of("regression", "predictions")}


KIND = AnalysisKind(
    rule="cluster_sky",
    title="Clusters of the sky, and the scores in each",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "sky.csv",
        "members": "sky.parquet",
        "figure": "sky.png",
        "figure_scores": "sky-scores.png",
    },
    run="skyloom.analysis.sky.clusters:cluster_sky",
    present="skyloom.analysis.sky.present:present",
)
