"""MoCo-v2: a ResNet for galaxy images, trained without labels to know an image in two ways of observing it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, refuse, setting

PUBLISHED = {
    # ResNet-50 (He et al. 2016, table 1) with the head of MoCo-v2 (Chen et al. 2020): the 28M of AstroCLIP v1, 3.2
    "image_size": 96,
    "blocks": [3, 4, 6, 3],
    "width": 64,
    "bottleneck": True,
    "pooled_stem": True,
    "offset": 0.0,
    "scale": 1.0,
    "dim": 128,
    # github.com/georgestein/ssl-legacysurvey, scripts/slurm/train_ssl.sh; temperature of the ResNet-50 that it names
    "queue": 65536,
    "momentum": 0.996,
    "temperature": 0.1,
    # its scripts/train_ssl.py (grrrssgbjcgn) and decals_augmentations.py
    "augment": {
        "drawn": "uniform",
        "extinction": True,
        "rotate": True,
        "sizes": [0.9, 1.1],
        "blur": True,
        "jitter": 7,
        "noise": True,
    },
}


class Augment(Section):
    """How an image is observed anew in training, twice."""

    drawn: Literal["survey", "uniform"] = setting("survey")
    "dust, seeing and depth: as often as the Legacy Surveys have them; uniform: over all they have, as published"
    extinction: bool = setting(True)
    "behind another E(B-V) of the Milky Way, in place of the galaxy's own (where that is not known, of one drawn)"
    rotate: bool = setting(True)
    "turned by any angle, half of them mirrored"
    sizes: tuple[float, float] = setting((0.9, 1.1))
    "range of the size in units of its own; surface brightness stays. [1, 1]: none"
    blur: bool = setting(True)
    "in seeing worse than its own, each band by itself"
    jitter: int = setting(4, ge=0)
    "moved by at most so many whole pixels in x and y; published 7, of larger images"
    noise: bool = setting(True)
    "less deep than it is, each band by itself"

    @model_validator(mode="after")
    def _range(self):
        if not 0 < self.sizes[0] <= self.sizes[1]:
            raise refuse("sizes", f"{list(self.sizes)} is not allowed; expected 0 < least <= largest")
        return self


class Config(Section):
    """Layers, queue and augmentations of a MoCo."""

    image_size: int = setting(48, ge=8)
    "side of the images to embed, pixels (larger ones are cropped at the centre)"
    blocks: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = setting([1, 1, 1, 1])
    "residual blocks of each stage; a stage has half the pixels a side and twice the channels of the one before"
    width: int = setting(16, ge=1)
    "channels of the first stage, before a bottleneck's widening"
    bottleneck: bool = setting(False)
    "blocks of 1x1, 3x3 and 1x1 that widen four times, as in a ResNet-50; false: of two 3x3, as in a ResNet-18"
    pooled_stem: bool = setting(False)
    "halve the image once more after the first convolution, as published for larger ones"
    offset: float = setting(0.15, ge=0)
    "the network sees (rgb - offset) / scale; published 0. The default is about the mean of all pixels"
    scale: float = setting(0.15, gt=0)
    "published 1. The default is about the deviation of all pixels"
    dim: int = setting(64, ge=1)
    "length of queries and keys, which the head makes of the embedding"
    queue: int = setting(1024, ge=1)
    "keys of earlier steps that a query is told from"
    momentum: float = setting(0.98, ge=0, le=1)
    "of the running mean of the network that makes the keys"
    temperature: float = setting(0.2, gt=0)
    "of the InfoNCE loss"
    augment: Augment = setting(Augment())
    "what makes two images of one"


def check(model, survey) -> None:
    """The images of the survey are at least as large as those the network embeds."""
    if model.settings.image_size > survey.settings.crop:
        raise BadConfig(
            f"models.{model.name}.model.image_size: {model.settings.image_size} is not allowed; "
            f"must be at most {survey.settings.crop}, the crop of survey {survey.name}"
        )


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.moco.network:MoCo",
    objective="skyloom.models.moco.objective:Objective",
    modalities=("image",),
    whole_batch=True,
    training={"steps": 300, "batch_size": 64, "learning_rate": 2e-3, "weight_decay": 1e-4, "clip": 1.0},
    check=check,
)
