"""Do training galaxies score higher than test galaxies, each one left out of what predicts it?"""

import dataclasses

from skyloom.analysis.common.predictors import PredictorSettings
from skyloom.core.errors import BadConfig
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of scores on the training split. Everything else (k, metric, epochs, ...) is as that regression has it."""

    regression: reference("analysis") = setting("regression")
    "entry of `analyses` whose choices are scored, of kind regression"
    embeddings: list[reference("embedding")] = setting([])
    "of that regression, as MODEL-MODALITY, those that a survey has; [] for all. The catalogue's columns are scored too"
    folds: int = setting(5, ge=2)
    "of the cross-validated MLP"
    galaxies: int = setting(20_000, ge=100)
    "training galaxies at most that are scored, and that the MLP learns from; neighbours are sought among all"
    resamples: int = setting(1000, ge=1000)
    "of the bootstrap; more where that many gaps need finer p-values"


def inputs(context: Context) -> dict[str, list[str]]:
    """What the regression had, and its predictions, which say what it chose."""
    predictions = context.output_of("regression", "predictions")
    other = context.config.analyses[context.settings.regression]
    if not isinstance(other.settings, PredictorSettings):
        where = f"analyses.{context.analysis.name}.regression"
        raise BadConfig(f"{where}: '{other.name}' is of kind {other.kind_name}; name one of kind regression")
    given = other.kind.inputs(dataclasses.replace(context, analysis=other))
    there = layout.embeddings(context.survey.name, context.config)
    embeddings = [there[name] for name in context.settings.embeddings if name in there] or given["embeddings"]
    embeddings = [path for path in embeddings if path in given["embeddings"]]
    if not embeddings:
        raise Lacking(f"has no embedding that '{other.name}' has too")
    found = {"galaxies": given["galaxies"], "splits": given["splits"]}
    return found | {"embeddings": embeddings, "predictions": predictions}


KIND = AnalysisKind(
    rule="score_training",
    title="Scores on the training split, each galaxy left out",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "training_scores.csv", "figure": "training_scores.png"},
    run="skyloom.analysis.training_scores.scores:score_training",
    present="skyloom.analysis.training_scores.present:present",
)
