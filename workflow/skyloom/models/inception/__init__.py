"""A convolutional network of inception blocks that says the redshift of an image (after Pasquet et al. 2019)."""

from typing import Annotated

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import IMAGES
from skyloom.settings.section import Section, refuse, setting

QUERY = "redshift"


class Config(Section):
    """Layers, and what an image meets in training."""

    image_size: int = setting(64, ge=16)
    "pixels a side of the middle of an image that is seen, a multiple of 8"
    stem: int = setting(32, ge=1)
    "channels of the first convolution"
    channels: Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=3)] = setting([64, 96, 128, 160])
    "of each inception block; the first and the third see half as many pixels a side as what is before them"
    coarse: bool = setting(True)
    "these two blocks are given the image of their own resolution besides; false as published"
    apertures: bool = setting(True)
    "the dense layer is given fluxes and colours in five circular apertures besides; false as published"
    dim: int = setting(256, ge=1)
    "width of the dense layers and of the embedding"
    dropout: float = setting(0.2, ge=0, lt=1)
    "of what the dense layers say, in training"
    components: int = setting(6, ge=1)
    "of the mixture of Gaussians in ln(1+z)"
    level: float = setting(0.9, gt=0, lt=1)
    "of the redshift's interval"
    augment: bool = setting(True)
    "images are flipped and rotated in training, each in a way of its own"
    averaged: bool = setting(False)
    "the posterior is the mean of those of all eight flips and rotations"

    @model_validator(mode="after")
    def _whole(self):
        if self.image_size % 8:
            raise refuse("image_size", f"{self.image_size} is not a multiple of 8")
        return self


def check(model, survey) -> None:
    """The survey's images are large enough."""
    (modality,) = model.takes
    size = survey.settings.crop if modality == "image" else getattr(survey.settings, "hsc_size", None)
    if modality in survey.settings.modalities and size and size < model.settings.image_size:
        where = f"models.{model.name}.model.image_size"
        raise BadConfig(f"{where}: {model.settings.image_size} is not allowed; the images of {survey.name} have {size}")


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.inception.network:Inception",
    objective="skyloom.models.inception.network:Objective",
    modalities=IMAGES,
    training={
        **{"steps": 3600, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.05, "clip": 1.0},
        "learning_rates": {"model.stem": 0.3, "model.blocks": 0.3},
        **{"select": "best", "validate_every": 200, "validation_samples": 1000},
    },
    queries=lambda model: (QUERY,),
    gives_redshift=True,
    whole_batch=True,
    free=("dropout", "level", "augment", "averaged"),
    check=check,
)
