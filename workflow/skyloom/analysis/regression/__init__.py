"""Galaxy properties from embeddings: zero-shot kNN, few-shot MLP, baselines, and who is better than whom."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.names import PROPERTIES_QUERY
from skyloom.settings.section import reference, refuse, setting

Count = Annotated[int, Field(ge=1)]
PHOTOMETRY = "photometry"
"""What the baseline of magnitudes is called, as a model and as an input."""
WITH_REDSHIFT = "photometry+z"
"""The same magnitudes and the redshift: what a spectrum that gives nothing else would add."""
TRUTH = "truth"
"""What was put in, of a simulated survey: no model does better against labels as noisy as these."""
BASELINES = (PHOTOMETRY, WITH_REDSHIFT, TRUTH)
Pair = Annotated[list[reference("model", *BASELINES)], Field(min_length=2, max_length=2)]


class Settings(AnalysisSettings):
    """Keys of a regression. A list of candidates is a choice made on the validation split, property by property."""

    embeddings: list[reference("embedding")] = setting([])
    "which, as MODEL-MODALITY; [] for all of the survey"
    properties: list[reference("property")] = setting(["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"], min_length=1)
    "columns of galaxies.parquet; one that a survey does not know is left out there"
    photometry: list[str] = setting(["mag_g", "mag_r", "mag_z"])
    "magnitudes of the baseline, columns of galaxies.parquet; [] or a survey without them: no such baseline"
    k: list[Count] = setting([64], min_length=1)
    "neighbours; published: 64"
    weights: Literal["distance", "uniform"] = setting("distance")
    "of the neighbours"
    metric: list[Literal["euclidean", "cosine"]] = setting(["euclidean"], min_length=1)
    "of standardised embeddings; cosine L2-normalises them first. Published: euclidean"
    components: list[Count] = setting([4, 8, 16, 32, 64], min_length=1)
    "leading columns of embeddings whose columns are ordered (PCA)"
    whitened: list[Annotated[int, Field(ge=0)]] = setting([0, 4, 8, 16], min_length=1)
    "leading principal components of other embeddings, whitened, that kNN compares; 0: all, as published"
    hidden: int = setting(64, ge=1)
    "units in each of the two hidden layers of the MLP"
    dropout: float = setting(0.1, ge=0, lt=1)
    "of the MLP"
    learning_rate: float = setting(1e-3, gt=0)
    "of the MLP"
    batch_size: int = setting(64, ge=1)
    "of the MLP"
    epochs: list[Count] = setting([10], min_length=1)
    "of the MLP; published: 10"
    resamples: int = setting(1000, ge=1000)
    "of the paired bootstrap"
    differences: list[Pair] = setting([])
    "pairs of models whose difference in R2 is stated with its interval; the first of a pair is claimed to be better"

    @model_validator(mode="after")
    def _pairs(self):
        for first, second in self.differences:
            if first == second:
                raise refuse("differences", f"'{first}' is compared with itself; name two models")
        return self


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, the splits and the embeddings of a survey that trains its own models."""
    context.trains()
    answering = context.answering(PROPERTIES_QUERY)
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "embeddings": context.embeddings(context.settings.embeddings),
        "predictions": [path for model in answering for path in context.predictions(model, PROPERTIES_QUERY)],
    }


KIND = AnalysisKind(
    rule="regress",
    title="Galaxy properties from embeddings",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "regression.csv",
        "predictions": "regression-predictions.parquet",
        "figure_predictions": "regression-predictions.png",
        "figure_scores": "regression.png",
    },
    run="skyloom.analysis.regression.scores:regress",
    present="skyloom.analysis.regression.present:present",
)
