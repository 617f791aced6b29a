"""What spectra with HSC images were chosen from, and whether both archives give these galaxies the same redshifts."""

from typing import Annotated

from pydantic import Field

from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import setting
from skyloom.surveys.common import files

SPECTRUM, IMAGE = "spectrum", "hsc_image"


class Settings(AnalysisSettings):
    """Keys of the table of parents and of the check of their redshifts."""

    percentile: Annotated[float, Field(gt=0, lt=100)] = setting(90.0)
    "of redshifts and i magnitudes that the table states; published: 90"
    agree: Annotated[float, Field(gt=0, lt=1)] = setting(0.005)
    "largest |dz|/(1+z) of two redshifts that agree"
    outlier: Annotated[float, Field(gt=0, lt=1)] = setting(0.15)
    "|dz|/(1+z) beyond which one of them is of something else"
    expected: Annotated[float, Field(ge=0, le=1)] = setting(0.9)
    "share that should agree; of fewer, the cross-match is to be doubted"
    resamples: int = setting(1000, ge=1)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """The galaxies; the redshift catalogue and the HSC files that they are from, or the files that have both."""
    for modality in (SPECTRUM, IMAGE):
        context.tokens(modality)  # lacking unless it is among the modalities
    if context.survey.kind.told:
        raise Lacking("has HSC images out of catalogues that do not say their redshifts")
    found = {"galaxies": context.galaxies, "published": [layout.PUBLISHED]}
    samples = context.survey.samples
    if IMAGE in samples:
        role = "hsc" if files.beside(samples, IMAGE) else "pairs"
        return {**found, role: [files.place(path, context.survey.name) for path in samples[IMAGE]]}
    raw = layout.raw(context.survey.name, context.config)
    return {**found, "hsc": context.raw("hsc"), **({"zcatalog": raw["zcatalog"]} if raw["zcatalog"] else {})}


KIND = AnalysisKind(
    rule="compare_parents",
    title="The parents of the sample, and their redshifts",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "parents.csv",
        "scores": "parents-redshifts.csv",
        "disagreeing": "parents-disagreeing.csv",
        "figure": "parents.png",
    },
    run="skyloom.analysis.parents.parents:run",
    present="skyloom.analysis.parents.present:present",
    keys=("cuts",),
    tidy=False,
)
