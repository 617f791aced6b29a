"""What fine-tuning gains: head alone, last blocks, whole network, from scratch, photometry, on the same galaxies."""

from skyloom.core.errors import BadConfig
from skyloom.models.finetune import Config, query
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting

PHOTOMETRY = "photometry"
"""What the baseline is called."""


class Settings(AnalysisSettings):
    """Keys of a comparison of fine-tuned models. Those that learn the same label are compared with each other."""

    models: list[reference("model")] = setting([])
    "which; [] for all of the survey's that learn labels"
    photometry: list[str] = setting(["mag_g", "mag_r", "mag_z"])
    "columns of galaxies.parquet from which, and from their differences, gradient boosting learns; [] for no baseline"
    trees: int = setting(300, ge=1)
    "of gradient boosting, at most; how many, and their size, is chosen on the validation split"
    least: int = setting(20, ge=2)
    "test galaxies of which a label is known without which nothing is scored"
    resamples: int = setting(1000, ge=100)
    "of the paired bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, the users' tables, predictions; cards of the models and of the encoders that they stand on."""
    context.trains()
    able = {model.name: model for model in context.models() if isinstance(model.settings, Config)}
    for name in context.settings.models:
        if not isinstance(context.config.models[name].settings, Config):
            where = f"analyses.{context.analysis.name}.models"
            raise BadConfig(f"{where}: '{name}' learns no labels; those that do are {', '.join(able) or 'none'}")
        if name not in able:
            raise Lacking(f"has no model '{name}' that learns labels")
    chosen = [able[name] for name in context.settings.models or able]
    if not chosen:
        raise Lacking("has no model that learns labels")
    survey, tables = context.survey.name, {model.settings.table for model in chosen if model.settings.table}
    encoders = [layout.model_folder(survey, next(iter(model.backbones.values())), context.config) for model in chosen]
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "tables": sorted(tables),
        "predictions": [layout.prediction(survey, model.name, query(model)) for model in chosen],
        "cards": [context.model_files(model.name)[1] for model in chosen],
        "encoders": [f"{folder}/model.json" for folder in encoders],
    }


KIND = AnalysisKind(
    rule="compare_finetuned",
    title="What fine-tuning gains",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "finetune.csv",
        "predictions": "finetune-predictions.parquet",
        "figure": "finetune.png",
        "figure_predictions": "finetune-predictions.png",
    },
    run="skyloom.analysis.finetune.compare:compare",
    present="skyloom.analysis.finetune.present:present",
)
