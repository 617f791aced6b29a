"""What kinds whose weights are published share: where the weights are, and that the survey suits them."""

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from skyloom.core.errors import BadConfig
from skyloom.settings.section import Section, setting
from skyloom.settings.survey import Grid, check_grid
from skyloom.surveys.common import web

if TYPE_CHECKING:
    from skyloom.settings.config import Survey
    from skyloom.settings.models import Model

HUB = "https://huggingface.co/polymathic-ai"


def _file(where: str) -> str:
    wrong = web.fault(where) if web.is_url(where) else ""
    if wrong:
        raise PydanticCustomError("refused", "{text}", {"text": wrong, "key": ""})
    return where


File = Annotated[str, AfterValidator(_file)]
"""A path, or a URL: with #sha256=... it is verified; without, the sha256 of what came is in the model's card."""


class ImageEncoder(Section):
    """Shape of the published image encoder, a ViT-L of DINOv2."""

    image_size: int = setting(144, ge=1)
    "side of the images to embed, pixels (larger ones are cropped at the centre)"
    patch: int = setting(12, ge=1)
    "side of a patch, pixels; it divides image_size"
    dim: int = setting(1024, ge=1)
    "width of the transformer"
    layers: int = setting(24, ge=1)
    "blocks of the transformer"
    heads: int = setting(16, ge=1)
    "attention heads; they divide dim"


class SpectrumEncoder(Section):
    """Shape of the published SpecFormer."""

    size: int = setting(20, ge=1)
    "pixels in a slice"
    stride: int = setting(10, ge=1)
    "pixels between the starts of two slices"
    std_floor: float = setting(0.2, gt=0)
    "smallest standard deviation a spectrum is divided by, 1e-17 erg/s/cm2/Angstrom"
    dim: int = setting(768, ge=1)
    "width of the transformer"
    layers: int = setting(6, ge=1)
    "blocks of the transformer"
    heads: int = setting(6, ge=1)
    "attention heads; they divide dim"
    positions: int = setting(800, ge=1)
    "learned positions; at least as many as tokens"


class WithGrid(Section):
    """A key of models that take spectra."""

    grid: Grid = setting(Grid())
    "of the survey's spectra; published weights were learned on this one"


def check(model: "Model", survey: "Survey", image_size: int | None = None, crop: str = "crop") -> None:
    """Spectra and images of the survey are those that the network takes. Raises BadConfig."""
    if "spectrum" in model.takes and hasattr(model.settings, "grid"):
        check_grid(model, survey)
    if image_size and "image" in model.takes and survey.settings.crop < image_size:
        raise BadConfig(
            f"surveys.{survey.name}.{crop}: {survey.settings.crop} is not allowed; "
            f"the model {model.name} embeds images of {image_size} pixels"
        )
