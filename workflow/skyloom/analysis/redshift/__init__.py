"""Redshifts of a survey that is embedded with the models of another one."""

from typing import Literal

from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of a redshift estimate."""

    model: reference("model") | None = setting(None)
    "whose embeddings; without this key the first model of the survey that embeds the modality"
    modality: reference("modality") = setting("spectrum")
    "of the embeddings"
    k: int = setting(16, ge=1)
    "neighbours"
    weights: Literal["distance", "uniform"] = setting("distance")
    "of the neighbours"
    metric: Literal["euclidean", "cosine"] = setting("euclidean")
    "of standardised embeddings; cosine L2-normalises them first"
    far: float = setting(99.0, ge=0, le=100)
    "percentile of the training survey's own distances beyond which an estimate is not to be trusted"
    shown: int = setting(12, ge=1)
    "galaxies drawn at most"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogues and embeddings of a survey and of the one whose models embed it, and the tokens of the former."""
    if not context.survey.settings.models_from:
        raise Lacking("is embedded with models of its own (models_from)")
    modality, host = context.settings.modality, context.of_host()
    model = context.settings.model or _first(context, modality)
    embedding, reference_ = context.embeddings_of(model), host.embeddings_of(model)
    if modality not in embedding or modality not in reference_:
        raise Lacking(f"has no embedding '{model}-{modality}' that its host has too")
    return {
        "galaxies": context.galaxies,
        "tokens": context.tokens(modality),
        "embedding": [embedding[modality]],
        "reference": [reference_[modality]],
        "reference_galaxies": host.galaxies,
    }


def _first(context: Context, modality: str) -> str:
    for model in context.models():
        if modality in context.embeddings_of(model.name):
            return model.name
    raise Lacking(f"has no model that embeds {modality}")


KIND = AnalysisKind(
    rule="estimate_redshift",
    title="Redshifts from the neighbours in the survey that the models were trained on",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "redshift.csv", "figure": "redshift.png"},
    run="skyloom.analysis.redshift.neighbours:estimate_redshift",
    present="skyloom.analysis.redshift.present:present",
)
