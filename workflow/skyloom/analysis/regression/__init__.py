"""Galaxy properties from embeddings: zero-shot kNN, few-shot MLP, baselines, and who is better than whom."""

from typing import Annotated

from pydantic import Field, model_validator

from skyloom.analysis.common.predictors import BASELINES, PredictorSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.names import PROPERTIES_QUERY
from skyloom.settings.section import reference, refuse, setting

Pair = Annotated[list[reference("model", *BASELINES)], Field(min_length=2, max_length=2)]


class Settings(PredictorSettings):
    """Keys of a regression. A list of candidates is a choice made on the validation split, property by property."""

    resamples: int = setting(1000, ge=1000)
    "of the paired bootstrap; more on the test split where that many differences need finer p-values"
    differences: list[Pair] = setting([])
    "pairs of models whose difference in R2 is stated with interval and p (Holm); the first is claimed to be better"

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
        "figure_cross": "regression-cross.png",
    },
    run="skyloom.analysis.regression.scores:regress",
    present="skyloom.analysis.regression.present:present",
    read=True,
)
