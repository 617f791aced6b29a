"""A simulated catalogue: galaxies with all that MOSAIC learns from, part by part."""

from typing import Literal

from pydantic import model_validator

from skyloom.mock.layout import CITATION, LICENCE
from skyloom.settings.kinds import SurveyKind
from skyloom.settings.section import refuse, setting
from skyloom.settings.survey import SurveySettings

KEYS = ("population", "magnitude_limit", "redshift_max", "galaxies_per_part", "noise", "images")
"""What of a survey's configuration a part depends on."""


class SimulatedSettings(SurveySettings):
    """Keys of a survey of kind `simulated`."""

    population: Literal["parametric", "diffsky"] = setting("parametric")
    "how galaxies are drawn"
    magnitude_limit: float = setting(25.3, ge=16, le=28)
    "in LSST i: 25.3 is its gold sample"
    redshift_max: float = setting(3.0, gt=0.01, le=3)
    "largest redshift"
    noise: Literal["none", "survey"] = setting("none")
    "survey: LSST after ten years, SPHEREx all-sky"
    images: bool = setting(False)
    "small pictures too, modality `lsst_image`; 24 x 24 pixels in g, r, i"
    parts: int = setting(2, ge=1, le=9999)
    "files, one job each"
    galaxies_per_part: int = setting(2000, ge=1, le=999_999_999)
    "galaxies in each"

    @model_validator(mode="after")
    def _pictures(self):
        if "lsst_image" in self.modalities and not self.images:
            raise refuse("modalities", "'lsst_image' is not drawn; set images: true")
        return self


def part_file(part: int) -> str:
    """Part `part` of the catalogue, relative to the survey's raw folder."""
    return f"catalog/simulated-{part:04d}.h5"


def raw_files(settings: SimulatedSettings) -> dict[str, list[str]]:
    """The raw files by role."""
    return {"simulated": [part_file(part) for part in range(settings.parts)]}


KIND = SurveyKind(
    settings=SimulatedSettings,
    raw_files=raw_files,
    keys=KEYS,
    simulated=True,
    licence=LICENCE,
    citation=CITATION,
)
