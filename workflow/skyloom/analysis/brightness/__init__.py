"""Are bright galaxies predicted better than faint ones? (benchmark, BE-17)"""

from typing import Annotated

from pydantic import Field

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting

WORDS = {"z": ("low z (bright)", "high z (faint)")}
"""By redshift, as published; any other column is a magnitude: bright, faint, with its name."""


class Settings(AnalysisSettings):
    """Keys of a comparison of bright and faint galaxies."""

    regression: reference("analysis") = setting("regression")
    "whose predictions of the test split are scored"
    by: list[str] = setting(["z", "mag_r"], min_length=1)
    "columns of galaxies.parquet, at whose median galaxies are parted; z, as published, stands for brightness too"
    least: Annotated[int, Field(ge=2)] = setting(20)
    "galaxies with a prediction in a half that is scored"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap"


def words(column: str) -> tuple[str, str]:
    """What the lower and the upper half are called."""
    return WORDS.get(column, (f"bright in {column}", f"faint in {column}"))


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue and the predictions of a regression."""
    return {"galaxies": context.galaxies, "predictions": context.output_of("regression", "predictions")}


KIND = AnalysisKind(
    rule="compare_brightness",
    title="Bright and faint galaxies",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "brightness.csv", "figure": "brightness.png"},
    run="skyloom.analysis.brightness.compare:compare",
    present="skyloom.analysis.brightness.present:present",
)
