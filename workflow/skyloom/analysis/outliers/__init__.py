"""Galaxies that are badly predicted: in how many properties at once, and by which models alike (benchmark, BE-20)."""

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of a count of outliers."""

    regression: reference("analysis") = setting("regression")
    "whose predictions of the test split are read"
    properties: list[reference("property")] = setting(["log_mstar", "log_z_mw", "t_age", "log_ssfr"], min_length=1)
    "in which a galaxy can be an outlier; of these, the ones that were predicted. Published: these four"
    whisker: float = setting(1.5, gt=0)
    "interquartile ranges above the third quartile of a model's absolute residuals, beyond which one is an outlier"
    methods: list[str] = setting(["knn", "mlp"], min_length=1)
    "of the models whose outliers are compared; the figure shows the first of them"
    least: int = setting(20, ge=2)
    "galaxies with a prediction, without which a model has no outliers"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap over galaxies of how often outliers coincide with all models together"


def inputs(context: Context) -> dict[str, list[str]]:
    """The predictions of a regression, and the embeddings for the traits of their models."""
    return {"predictions": context.output_of("regression", "predictions"), "embeddings": context.embeddings()}


KIND = AnalysisKind(
    rule="count_outliers",
    title="Outliers of predicted properties",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "outliers.csv", "galaxies": "outliers.parquet", "figure": "outliers.png"},
    run="skyloom.analysis.outliers.count:count",
    present="skyloom.analysis.outliers.present:present",
)
