"""AstroDINO: a vision transformer for galaxy images, trained without labels by self-distillation (DINO)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, refuse, setting

Share = Annotated[float, Field(ge=0, le=1)]

PUBLISHED = {
    "teacher_temperature_end": 0.07,
    "teacher_temperature": 0.04,
    "teacher_warmup": 0.15,
    "centring": "centre",
    "patch": 12,
    "offset": 0.0,
    "scale": 1.0,
    "image_size": 144,
    "dim": 1024,
    "layers": 24,
    "heads": 16,
    "drop_path": 0.3,
    "drop_path_uniform": True,
    "layer_decay": 0.9,
    "patch_rate": 0.2,
    "layer_scale": 1e-5,
    "global_size": 144,
    "local_size": 60,
    "local_crops": 8,
    "prototypes": 65536,
    "head_hidden": 2048,
    "head_dim": 256,
    "prototypes_still": 0.005,
    "momentum": 0.992,
    "momentum_end": 1.0,
    "koleo": 0.2,
    "ibot": 1.0,
    "ibot_head": "shared",
    "light": 0.0,
    "hidden_share": 0.5,
    "hidden_ratio": (0.1, 0.5),
    "brightness": 0.0,
    "noise": 0.0,
    "nights": (0.0, 0.9, 0.5),
}
"""ViT-L of patch 12, 304 million weights, and DINOv2's recipe, from the paper and the public configuration; `nights`
from the public code, whose probabilities are those of leaving a crop as it is."""

PUBLISHED_TRAINING = {
    **{"steps": 250_000, "batch_size": 1536, "learning_rate": 2.45e-4, "warmup": 40_000, "minimum_rate": 1e-6},
    **{"weight_decay": 0.001, "weight_decay_end": 0.01, "betas": (0.9, 0.999), "clip": 3.0},
}
"""200 epochs of 1250 steps, 32 of them up to the peak; a rate of 2e-4 for 1,024 images, times the root of 1.5."""


class Config(Section):
    """Shape, crops and loss of an AstroDINO."""

    image_size: int = setting(48, ge=1)
    "side of the images to embed, pixels (larger ones are cropped at the centre)"
    patch: int = setting(6, ge=1)
    "side of a patch, pixels"
    offset: float = setting(0.15, ge=0)
    "the network sees (rgb - offset) / scale; published 0. The default is about the mean of all pixels"
    scale: float = setting(0.15, gt=0)
    "published 1. The default is about the deviation of all pixels: a small network does not find it by itself"
    dim: int = setting(128, ge=1)
    "width of the transformer"
    layers: int = setting(4, ge=1)
    "blocks of the transformer"
    heads: int = setting(2, ge=1)
    "attention heads; they divide dim"
    mlp_ratio: float = setting(4.0, gt=0)
    "hidden units of a block's MLP, in units of dim"
    drop_path: float = setting(0.0, ge=0, lt=1)
    "largest share of residual branches left out in training, growing with depth"
    drop_path_uniform: bool = setting(False)
    "the same share in every block, as published"
    layer_scale: float = setting(0.0, ge=0)
    "start of the learned factors on residual branches; 0: none"
    registers: int = setting(0, ge=0)
    "extra tokens that carry nothing of the image"
    embedding: Literal["cls", "patches", "both"] = setting("cls")
    "the CLS token, as published, the mean of the tokens of patches, or both"
    layer_decay: float = setting(1.0, gt=0, le=1)
    "learning rate of a block in units of that of the next one; published .9"
    patch_rate: float = setting(1.0, gt=0)
    "factor of the learning rate of what patches are first multiplied with; published .2"
    global_size: int = setting(0, ge=0)
    "side of the two large crops, pixels; 0: 7/8 of the image, in whole patches"
    local_size: int = setting(0, ge=0)
    "side of the small crops, pixels; 0: half of the image, in whole patches"
    local_crops: int = setting(3, ge=0)
    "number of small crops"
    noise: float = setting(0.01, ge=0)
    "deviation of the noise added to a crop, in units of RGB; published 0"
    nights: tuple[Share, Share, Share] = setting((0.0, 0.0, 0.0))
    "how often the first large crop, the second and small ones have another night's seeing, and another's noise"
    brightness: float = setting(0.05, ge=0)
    "a crop is multiplied by 1 +- at most this, the same factor for all bands"
    prototypes: int = setting(256, ge=2)
    "of the projection head"
    head_hidden: int = setting(512, ge=1)
    "hidden units of the projection head"
    head_dim: int = setting(64, ge=1)
    "width in which the head compares with prototypes"
    prototypes_still: float = setting(0.0, ge=0, lt=1)
    "share of the training, its beginning, in which prototypes do not learn; published 1 of 200 epochs"
    student_temperature: float = setting(0.1, gt=0)
    "sharpness of the student"
    teacher_temperature: float = setting(0.03, gt=0)
    "sharpness of the teacher at the start"
    teacher_temperature_end: float = setting(0.03, gt=0)
    "sharpness of the teacher after teacher_warmup"
    teacher_warmup: float = setting(0.3, ge=0, le=1)
    "share of the training in which the teacher's sharpness changes"
    momentum: float = setting(0.95, ge=0, le=1)
    "of the teacher's running mean at the start"
    momentum_end: float = setting(1.0, ge=0, le=1)
    "of the teacher's running mean at the end, along a cosine"
    centring: Literal["centre", "sinkhorn"] = setting("sinkhorn")
    "centre: running mean of the logits"
    centre_momentum: float = setting(0.9, ge=0, le=1)
    "of that running mean"
    koleo: float = setting(0.1, ge=0)
    "weight of the loss that spreads embeddings out, a mean over the two large crops; published .1 for each, so .2"
    ibot: float = setting(0.0, ge=0)
    "weight of the loss of hidden patches, in which the student says what the teacher sees there; published 1; 0: none"
    ibot_head: Literal["shared", "own"] = setting("shared")
    "the projection head of patches: that of the CLS token, as published, or one of their own"
    light: float = setting(1.0, ge=0)
    "weight of a loss of photometry: CLS of a large crop says fluxes and colours in apertures of the image; published 0"
    hidden_share: float = setting(0.5, gt=0, le=1)
    "share of the large crops in which patches are hidden from the student, of ibot"
    hidden_ratio: tuple[float, float] = setting((0.1, 0.5))
    "least and largest share of the patches hidden in such a crop"

    @property
    def of_flux(self) -> bool:
        """Whether crops are cut from flux, which nights change, and then become pictures."""
        return any(self.nights)

    @property
    def global_side(self) -> int:
        """Side of the two large crops, pixels."""
        return self.global_size or self._whole_patches(7 / 8)

    @property
    def local_side(self) -> int:
        """Side of the small crops, pixels."""
        return self.local_size or self._whole_patches(1 / 2)

    def _whole_patches(self, share: float) -> int:
        return max(1, int(self.image_size * share) // self.patch) * self.patch

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        sides = {"image_size": self.image_size, "global_size": self.global_side, "local_size": self.local_side}
        low, high = self.hidden_ratio
        if not 0 < low <= high <= 1:
            raise refuse("hidden_ratio", f"[{low:g}, {high:g}] is not allowed; expected 0 < least <= largest <= 1")
        for name, side in sides.items():
            if side % self.patch:
                raise refuse(name, f"{side} is not a multiple of patch {self.patch}")
            if side > self.image_size:
                raise refuse(name, f"{side} is more than image_size {self.image_size}")
        return self


def check(model, survey) -> None:
    """The images of the survey are at least as large as those the network embeds."""
    if model.settings.image_size > survey.settings.crop:
        raise BadConfig(
            f"models.{model.name}.model.image_size: {model.settings.image_size} is not allowed; "
            f"must be at most {survey.settings.crop}, the crop of survey {survey.name}"
        )


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astrodino.network:AstroDINO",
    objective="skyloom.models.astrodino.objective:Objective",
    blocks=lambda settings: settings.layers,
    modalities=("image",),
    training={
        "batch_size": 64,
        "learning_rate": 2e-3,
        "weight_decay": 0.001,
        "weight_decay_end": 0.01,
        "clip": 3.0,
    },
    check=check,
)
