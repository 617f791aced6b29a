"""AstroCLIP: trained encoders of two or more modalities, each with a pooling head, brought into one space."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import MODALITIES
from skyloom.settings.section import Section, refuse, setting

PUBLISHED = {
    # Journal version, Table 2: embedding dimension 512, logit scale 15.5, cross-entropy both ways
    **{"dim": 512, "heads": 4, "mlp_ratio": 4.0, "logit_scale": 15.5, "temperature": "fixed", "loss": "infonce"},
    # its public code: the image head is given patches without positions, and its MLP has no residual
    **{"image_positions": False, "image_residual": False},
    **{"image_views": 1, "queue": 0, "heads_by": {}, "unfrozen": {}, "keep": {}},
}
PUBLISHED_V1 = {
    # arXiv:2310.03024, 3.2: 128-d, one cross-attention of 4 heads with one learned query, and an MLP (362k weights);
    # the dense layers of the image encoder, 4.5M, are tuned
    **{"dim": 128, "heads": 4, "mlp_ratio": 4.0, "heads_by": {"image": "dense"}, "unfrozen": {}, "keep": {}},
    # 3.1, 3.2: InfoNCE of a fixed temperature, its value not stated: that of the public code; 512 pairs in the queue
    **{"logit_scale": 15.5, "temperature": "fixed", "loss": "infonce", "queue": 512},
    # 3.2: flips and rotations of images
    **{"image_views": 8, "image_positions": True, "image_residual": True},
}

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
    "modality -> what makes its embedding: attention (without an entry), or dense layers over the mean of the tokens, which start as the encoder's own where it has such of this length"
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
    "modality -> weight of a second loss, the encoder's own embedding read off the aligned one by a line: what other modalities do not say is kept"
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
        """Modalities whose own embeddings are kept."""
        return sorted(modality for modality, weight in self.keep.items() if weight)


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astroclip.network:AstroCLIP",
    objective="skyloom.models.astroclip.objective:Objective",
    takes="backbones",
    shared_space=True,
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
)
