"""A mock survey of a slitless spectrograph: emission-line galaxies as Euclid's red grism sees them, part by part."""

from typing import Annotated, Literal

from pydantic import Field

from skyloom.mock.layout import CITATION, LICENCE
from skyloom.settings.kinds import SurveyKind
from skyloom.settings.section import setting
from skyloom.settings.survey import Grid, SurveySettings

KEYS = ("population", "magnitude_limit", "redshift_max", "line_flux", "quasars", "galaxies_per_part", "grid")
"""What of a survey's configuration a part depends on."""


class MockGrismSettings(SurveySettings):
    """Keys of a survey of kind `mock_grism`."""

    population: Literal["parametric", "diffsky"] = setting("parametric")
    "how galaxies are drawn"
    magnitude_limit: float = setting(24.0, ge=16, le=28)
    "of galaxies in LSST i"
    redshift_max: float = setting(3.0, gt=0.01, le=3)
    "largest redshift"
    line_flux: float = setting(15.0, ge=0)
    "1e-17 erg/s/cm2, least flux of the brightest line in range"
    quasars: float = setting(0.06, ge=0, le=1)
    "share of the spectra that are of quasars"
    grid: Grid = setting(Grid(start=11900.0, step=13.4, pixels=531))
    "the pixels of the spectra: those of NISP's red grism"
    parts: int = setting(2, ge=1, le=9999)
    "files, one job each"
    galaxies_per_part: int = setting(2000, ge=1, le=999_999_999)
    "galaxies in each"
    modalities: Annotated[list[str], Field(min_length=1)] = setting(["spectrum"])
    "what is taken of a galaxy"


def raw_files(settings: MockGrismSettings) -> dict[str, list[str]]:
    """The raw files by role."""
    return {"spectra": [f"spectra/spectra-{part:04d}.h5" for part in range(settings.parts)]}


KIND = SurveyKind(
    settings=MockGrismSettings,
    raw_files=raw_files,
    keys=KEYS,
    simulated=True,
    licence=LICENCE,
    citation=CITATION,
)
