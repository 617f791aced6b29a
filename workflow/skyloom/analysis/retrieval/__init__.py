"""Does a galaxy in one modality find itself in another?"""

from typing import Annotated, Literal

from pydantic import Field

from skyloom.core.errors import BadConfig
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.names import JOINT
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of a retrieval."""

    models: list[reference("model")] = setting([])
    "models that embed several modalities in one space; [] for all of the survey"
    split: Literal["train", "validation", "test"] = setting("test")
    "galaxies that are ranked"
    top: list[Annotated[int, Field(ge=1)]] = setting([1, 5, 10], min_length=1)
    "k of recall@k"
    resamples: int = setting(1000, ge=1000)
    "of the bootstrap"
    narrow: float = setting(0.01, gt=0, lt=1)
    "largest |dz|/(1+z) of galaxies of the same redshift: does an embedding find more than that?"
    least: int = setting(20, ge=2)
    "galaxies of the same redshift without which a query is left out there"
    likeness: list[Annotated[str, Field(pattern=r"^\w+( - \w+)?$")]] = setting(
        ["log_mstar", "mag_g - mag_r", "shape_r"]
    )
    "columns of galaxies.parquet, or differences of two, in which what is found is compared; unknown ones are left out"
    examples: int = setting(2, ge=1)
    "queries shown in each pairing"
    neighbours: int = setting(4, ge=1)
    "retrieved galaxies shown for each"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, the embeddings in shared spaces, and the token shards of their modalities for the examples."""
    there = {model.name: model for model in context.models()}
    for name in context.settings.models:
        if not context.config.models[name].kind.shared_space:
            where = f"analyses.{context.analysis.name}.models"
            raise BadConfig(f"{where}: '{name}' has no space that its modalities share; leave it out")
        if name not in there:
            raise Lacking(f"has no model '{name}' with embeddings")
    embeddings, modalities = [], {}
    for name in context.settings.models or there:
        names = [m for m in context.config.embeddings_of(there[name], context.survey.name) if m != JOINT]
        if there[name].kind.shared_space and len(names) > 1:
            embeddings += [layout.embedding(context.survey.name, name, modality) for modality in names]
            modalities |= dict.fromkeys(names)
    if not embeddings:
        raise Lacking("has no model that embeds two of its modalities in one space")
    shards = {f"tokens_{modality}": context.tokens(modality) for modality in modalities}
    return {"galaxies": context.galaxies, "embeddings": embeddings, **shards}


KIND = AnalysisKind(
    rule="retrieve",
    title="Does a galaxy find itself in another modality?",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "retrieval.csv",
        "figure": "retrieval.png",
        "figure_spectra": "retrieval-spectra.png",
        "figure_recall": "retrieval-recall.png",
        "figure_likeness": "retrieval-likeness.png",
    },
    run="skyloom.analysis.retrieval.ranks:retrieve",
    present="skyloom.analysis.retrieval.present:present",
)
