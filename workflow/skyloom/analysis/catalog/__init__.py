"""What a survey holds: redshifts, magnitudes, colours, positions."""

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind


class Settings(AnalysisSettings):
    """Keys of the figure of the catalogue: none of its own."""


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue and the splits, which every survey has."""
    return {"galaxies": context.galaxies, "splits": context.splits}


KIND = AnalysisKind(
    rule="draw_catalog",
    title="The catalogue",
    settings=Settings,
    inputs=inputs,
    outputs={"figure": "catalog.png"},
    run="skyloom.analysis.catalog.figures:run",
)
