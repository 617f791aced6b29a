"""The mock survey beside published relations and real data: what holds, what does not, where each number comes from."""

from typing import Annotated

from pydantic import Field

from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import setting

SECTION_OF = {
    "relations": "Galaxies and their stars",
    "structure": "Structure and neighbours",
    "counts": "Counts, redshifts, colours",
    "colours": "Counts, redshifts, colours",
    "lines": "Emission lines",
    "quality": "Spectra",
    "indices": "Real spectra",
    "which_spectra": "Real spectra",
    "images": "Images",
    "which_images": "Real images",
    "difficulty": "Learning difficulty",
    "learning_curve": "Learning difficulty",
}
"""Figure (its role) -> the section of the page and of the table of checks that it belongs to."""
EXPECTED = "resources/mock_validation.csv"
"""Expected ranges of all checks, each with its source."""
DOWNLOADS = "results/downloads"
"""Where the grid of stellar populations and the sky of the mock spectrograph are."""


class Settings(AnalysisSettings):
    """Keys of the comparison of a mock survey with the sky."""

    observations: str = setting("")
    "a folder of real observations to set beside the mock; what is looked for: analysis/mock_validation/observations.py"
    learning_curve: list[Annotated[int, Field(ge=100)]] = setting([])
    "so many galaxies teach a network their redshifts from images, beside photometry; 20000 take half an hour"


def inputs(context: Context) -> dict[str, list[str]]:
    """Raw files of a survey that knows the truth, what it was made from, real spectra if a survey has them."""
    roles = {role: context.raw(role) for role in ("truth", "zcatalog", "coadd", "images")}
    samples = [
        path
        for name, survey in context.config.surveys.items()
        if survey.kind_name == "desi_samples"
        for path in layout.raw(name, context.config)["coadd"]
    ]
    return roles | {
        "hsc": layout.raw(context.survey.name, context.config)["hsc"],
        "grid": [f"{DOWNLOADS}/ssp_grid.h5"],
        "sky": [f"{DOWNLOADS}/spec-sky.dat"],
        "samples": samples,
        "expected": [EXPECTED],
    }


KIND = AnalysisKind(
    rule="validate_mock",
    title="Is the mock survey like the sky?",
    settings=Settings,
    inputs=inputs,
    outputs={
        "page": "mock_validation.html",
        "table": "mock_validation.csv",
        "curve": "learning_curve.csv",
        **{role: f"{role.replace('_', '-')}.png" for role in SECTION_OF},
    },
    run="skyloom.analysis.mock_validation.compare:compare",
    mem_mb=3000,
    runtime=30,
    data=("templates/*", "captions/*"),
    folder="validation",
    default=False,
    keys=("population",),
    tidy=False,
)
