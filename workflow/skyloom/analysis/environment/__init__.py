"""Does it matter for predictions how crowded a galaxy's neighbourhood is? (benchmark, BE-16)"""

from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting

ANGULAR = ("few neighbours", "moderate", "many neighbours")
"""Bins by neighbours on the sky, as published."""
SPATIAL = ("low density", "medium density", "high density")
"""Bins by density in a cylinder along the line of sight."""


class Settings(AnalysisSettings):
    """Keys of a comparison of environments."""

    regression: reference("analysis") = setting("regression")
    "whose predictions of the test split are scored"
    threshold: float = setting(5.0, gt=0)
    "arcmin within which galaxies are neighbours on the sky"
    radius: float = setting(2.0, gt=0)
    "comoving Mpc, of the cylinder in which a density is counted"
    velocity: float = setting(1000.0, gt=0)
    "km/s, half its length"
    smoothed: float = setting(10.0, ge=1)
    "lengths of the cylinder over which the mean number of galaxies is taken"
    nside: int = setting(64, ge=1)
    "of the HEALPix pixels that hold galaxies: they are the footprint, by which counts at its edge are corrected"
    inside: float = setting(0.5, gt=0, le=1)
    "share of the cylinder within the footprint without which no density is stated"
    least: int = setting(20, ge=2)
    "galaxies with a prediction in a bin that is scored"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, the predictions of a regression, and where it is known what is truly near."""
    given = {"galaxies": context.galaxies, "predictions": context.output_of("regression", "predictions")}
    try:
        given["truth"] = context.raw("truth")
    except Lacking:  # a real survey
        given["truth"] = []
    return given


KIND = AnalysisKind(
    rule="compare_environments",
    title="Galaxies by environment",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "environment.csv",
        "galaxies": "environment.parquet",
        "figure": "environment.png",
        "figure_scores": "environment-scores.png",
    },
    run="skyloom.analysis.environment.compare:compare",
    present="skyloom.analysis.environment.present:present",
)
