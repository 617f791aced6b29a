"""AstroCLIP: trained encoders of two or more modalities, each with a pooling head, brought into one space."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import MODALITIES
from skyloom.settings.section import Section, refuse, setting

PUBLISHED = {
    # journal version, Tables 1 and 2: cross-attention into 512 numbers, InfoNCE, logit scale fixed at 15.5
    **{"dim": 512, "logit_scale": 15.5, "temperature": "fixed", "loss": "infonce"},
    # [code] 4 heads, an MLP of four times the width, no augmentation
    **{"heads": 4, "mlp_ratio": 4.0, "image_views": 1},
}
PUBLISHED_TRAINING = {"batch_size": 256, "learning_rate": 1e-4, "weight_decay": 0.05, "clip": 1.0}
"""Table 2, with AdamW and a cosine, for 100 epochs."""
PUBLIC_CODE = {**PUBLISHED, "dim": 1024, "image_positions": False, "image_residual": False}
"""The network of the public weights: other than the paper says, and its image head with two faults."""
PUBLISHED_V1 = {
    # arXiv:2310.03024, 3.2: 128 numbers; a cross-attention of 4 heads with one learned query and an MLP for spectra
    # (362k weights, which says that it is four times as wide); of the ResNet the dense layers are tuned (4.5M)
    **{"dim": 128, "heads": 4, "mlp_ratio": 4.0, "heads_by": {"image": "dense"}},
    # 3.1, 3.2: InfoNCE of a fixed temperature (its value is not stated: that of the journal version), 512 pairs in a
    # queue, flips and rotations of images
    **{"loss": "infonce", "temperature": "fixed", "logit_scale": 15.5, "queue": 512, "image_views": 8},
}
PUBLISHED_V1_TRAINING = {"steps": 15000, "batch_size": 512, "learning_rate": 5e-5, "weight_decay": 0.2}
"""Steps as in 3.2; [code] AdamW and its rate, weight decay, cosine, batch."""

Modality = Literal[(*MODALITIES,)]


class Config(Section):
    """Heads, loss and augmentations of an AstroCLIP."""

    dim: int = setting(128, ge=1)
    "length of an embedding"
    heads: int = setting(4, ge=1)
    "attention heads of the pooling heads; they divide dim"
    mlp_ratio: float = setting(4.0, gt=0)
    "hidden units of a pooling head's MLP, in units of dim"
    heads_by: dict[Modality, Literal["attention", "dense"]] = setting({})
    "modality -> dense: layers over the mean of its tokens, at first the encoder's own if of this shape; or attention"
    image_positions: bool = setting(True)
    "false: the image head sees patches without positions and no class token, as in the public code by mistake"
    image_residual: bool = setting(True)
    "false: the MLP of an image head has no residual, which those of spectra have, as in the public code"
    loss: Literal["infonce", "sigmoid"] = setting("infonce")
    "InfoNCE both ways, or a yes or no for every pair of galaxies (SigLIP)"
    logit_scale: float = setting(15.5, gt=0)
    "inverse temperature of the loss; where the temperature is learned, at the start"
    temperature: Literal["fixed", "learned"] = setting("fixed")
    "whether the inverse temperature learns, up to 100"
    queue: int = setting(0, ge=0)
    "pairs of earlier steps from which a counterpart is to be told too"
    keep: dict[Modality, Annotated[float, Field(ge=0)]] = setting({})
    "modality -> weight of a second loss: neighbours in its encoder's own embedding that are no longer such"
    unfrozen: dict[Modality, Annotated[int, Field(ge=0)]] = setting({})
    "modality -> last blocks of its encoder that learn on"
    rate: float = setting(0.1, gt=0)
    "learning rate of these blocks, over that of the heads"
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

    @property
    def kept(self) -> list[str]:
        """Modalities whose neighbours are kept."""
        return sorted(modality for modality, weight in self.keep.items() if weight)


def check(model, survey) -> None:
    """What is set for a modality is set for one that the model has a backbone of. Raises BadConfig."""
    for key in ("heads_by", "keep", "unfrozen"):
        for modality in getattr(model.settings, key):
            if modality not in model.backbones:
                where = f"models.{model.name}.model.{key}.{modality}"
                raise BadConfig(f"{where}: not a modality of the model; allowed are {', '.join(model.backbones)}")


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astroclip.network:AstroCLIP",
    objective="skyloom.models.astroclip.objective:Objective",
    takes="backbones",
    shared_space=True,
    whole_batch=True,
    attends=True,
    unfrozen=lambda settings, modality: settings.unfrozen.get(modality, 0),
    training={
        "steps": 300,
        "batch_size": 256,
        "learning_rate": 2e-3,
        "weight_decay": 0.05,
        "clip": 1.0,
        "select": "best",
    },
    check=check,
)
