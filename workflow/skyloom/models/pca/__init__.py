"""Principal components of normalised spectra, stretched images or standardised vectors: needs no network."""

from typing import Literal

from skyloom.core.errors import BadConfig
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, setting


class Config(Section):
    """Shape of a PCA."""

    pixels: int = setting(0, ge=0)
    "the first pixels of a spectrum (numbers of a vector), or the side of the central part of an image; 0 for all"
    components: int = setting(64, ge=1)
    "how many are kept"
    samples: int = setting(4096, ge=2)
    "at most this many training galaxies are used for the fit (they are held in memory)"
    std_floor: float = setting(0.2, gt=0)
    "smallest standard deviation a spectrum is divided by, 1e-17 erg/s/cm2/Angstrom"
    normalise: Literal["zscore", "ivar"] = setting("ivar")
    "of spectra: zscore, or ivar, as SpecFormer's input of pixels: mean and deviation weighted, noisy pixels shrunk"


def check(model, survey) -> None:
    """The images of the survey are at least as large as the part that is used."""
    side = {"image": survey.settings.crop}.get(model.takes[0])
    if side and model.settings.pixels > side:
        raise BadConfig(
            f"models.{model.name}.model.pixels: {model.settings.pixels} is not allowed; "
            f"must be at most {side}, the crop of survey {survey.name}"
        )


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.pca.network:PCA",
    ordered=True,
    baseline=True,
    training={"steps": 0},
    check=check,
)
