"""A few galaxies as the models see them."""

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of the figure of examples."""

    modalities: list[reference("modality")] = setting([])
    "which, in the order of the figure's columns; [] for all of the survey"
    galaxies: int = setting(5, ge=1)
    "how many are shown, spread over redshift"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue and the token shards of each modality."""
    names = context.settings.modalities or context.survey.settings.modalities
    return {"galaxies": context.galaxies, **{f"tokens_{name}": context.tokens(name) for name in names}}


KIND = AnalysisKind(
    rule="draw_examples",
    title="Galaxies as the models see them",
    settings=Settings,
    inputs=inputs,
    outputs={"figure": "examples.png"},
    run="skyloom.analysis.examples.figures:run",
)
