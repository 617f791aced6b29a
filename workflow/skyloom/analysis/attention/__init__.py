"""Where the queries that pool a network's tokens look: maps over images and spectra, head by head."""

from skyloom.core.errors import BadConfig
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.names import JOINT
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of the maps of attention."""

    models: list[reference("model")] = setting([])
    "whose; [] for all of the survey that pool tokens by attention"
    galaxies: int = setting(200, ge=10)
    "of the test split at most, chosen by a hash of the targetid, behind the table"
    near: float = setting(0.25, gt=0, lt=1)
    "share of the image's area, about its centre, that is compared with the rest"
    shown: int = setting(3, ge=1)
    "galaxies in a figure, spread over redshift"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """Catalogue, splits, the models and the tokens of their modalities."""
    there = {model.name: model for model in context.models()}
    for name in context.settings.models:
        if not context.config.models[name].kind.attends:
            where = f"analyses.{context.analysis.name}.models"
            raise BadConfig(f"{where}: '{name}' pools no tokens by attention; leave it out")
        if name not in there:
            raise Lacking(f"has no model '{name}' with embeddings")
    names = context.settings.models or [name for name, model in there.items() if model.kind.attends and model.trained]
    modalities = {}
    for name in names:
        given = context.config.embeddings_of(there[name], context.survey.name)
        modalities |= dict.fromkeys(m for m in given if m != JOINT)
    if not modalities:
        raise Lacking("has no trained model that pools tokens by attention")
    if not context.survey.settings.split.fractions.test:
        raise Lacking("has no galaxies to test on (split.fractions)")
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        **{f"model_{name}": context.model_files(name) for name in names},
        **{f"tokens_{modality}": context.tokens(modality) for modality in modalities},
    }


KIND = AnalysisKind(
    rule="map_attention",
    title="Where the pooling queries look",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "attention.csv",
        "figure_image": "attention-image.png",
        "figure_spectrum": "attention-spectrum.png",
    },
    run="skyloom.analysis.attention.measure:measure",
    present="skyloom.analysis.attention.present:present",
)
