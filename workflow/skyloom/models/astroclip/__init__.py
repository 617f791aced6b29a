"""AstroCLIP: frozen encoders of two or more modalities, each with a trained pooling head, brought into one space."""

from pydantic import model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, refuse, setting

PUBLISHED = {"dim": 1024}


class Config(Section):
    """Heads, loss and augmentations of an AstroCLIP."""

    dim: int = setting(128, ge=1)
    "length of an embedding"
    heads: int = setting(4, ge=1)
    "attention heads of the pooling heads; they divide dim"
    mlp_ratio: float = setting(4.0, gt=0)
    "hidden units of a pooling head's MLP, in units of dim"
    logit_scale: float = setting(15.5, gt=0)
    "fixed inverse temperature of the InfoNCE loss"
    token_dropout: float = setting(0.0, ge=0, lt=1)
    "fraction of tokens left out at random in training"
    token_noise: float = setting(0.0, ge=0)
    "noise added to tokens in training, in units of their standard deviation"
    dropout: float = setting(0.0, ge=0, lt=1)
    "fraction of the channels of the tokens set to zero in training"
    image_views: int = setting(1, ge=1, le=8)
    "1, or how many of the 8 flips and rotations of an image are used in training"

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        return self


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astroclip.network:AstroCLIP",
    objective="skyloom.models.astroclip.network:Objective",
    takes="backbones",
    shared_space=True,
    whole_batch=True,
    attends=True,
    training={
        "steps": 300,
        "batch_size": 256,
        "learning_rate": 2e-3,
        "weight_decay": 0.05,
        "clip": 1.0,
        "select": "best",
    },
)
