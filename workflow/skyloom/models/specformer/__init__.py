"""SpecFormer: a transformer over slices of a galaxy spectrum, trained to fill in masked stretches (AstroCLIP)."""

from typing import Literal

from pydantic import model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, refuse, setting

PUBLISHED = {
    "size": 20,
    "stride": 10,
    "dim": 768,
    "layers": 6,
    "heads": 6,
    "positions": 800,
    "loss_weight": "none",
    "normalise": "zscore",
    "summary": 0,
    "pooled_weight": 0.0,
}


class Config(Section):
    """Shape and masks of a SpecFormer."""

    pixels: int = setting(7781, ge=1)
    "pixels of a spectrum (7781 for DESI)"
    size: int = setting(40, ge=1)
    "pixels in a slice"
    stride: int = setting(40, ge=1)
    "pixels between the starts of two slices"
    dim: int = setting(128, ge=1)
    "width of the transformer"
    layers: int = setting(3, ge=1)
    "blocks of the transformer"
    heads: int = setting(2, ge=1)
    "attention heads; they divide dim"
    mlp_ratio: float = setting(4.0, gt=0)
    "hidden units of a block's MLP, in units of dim"
    drop_path: float = setting(0.0, ge=0, lt=1)
    "share of residual branches left out in training"
    positions: int = setting(0, ge=0)
    "learned positions; 0 for exactly as many as there are tokens"
    mask_segments: int = setting(6, ge=1)
    "stretches masked in each spectrum"
    mask_length: int = setting(0, ge=0)
    "tokens in a stretch; 0 for 30 of 778 tokens as published, scaled to the number of tokens"
    loss_weight: Literal["none", "ivar"] = setting("ivar")
    "none, or ivar for normalised, capped inverse variances"
    weight_cap: float = setting(4.0, gt=0)
    "largest weight, in units of the spectrum's median"
    std_floor: float = setting(0.2, gt=0)
    "smallest standard deviation a spectrum is divided by, 1e-17 erg/s/cm2/Angstrom"
    normalise: Literal["zscore", "ivar"] = setting("ivar")
    "zscore as published, or ivar: mean and deviation weighted, and noisy pixels of the input shrunk"
    summary: int = setting(24, ge=0)
    "length of the embedding, a linear summary of the mean of the tokens; 0: that mean itself, as published"
    pooled_weight: float = setting(1.0, ge=0)
    "weight of a second loss, the whole spectrum predicted from the embedding alone (0: none, as published)"
    pooled_hidden: int = setting(512, ge=1)
    "units of the hidden layer of that prediction"

    @property
    def token_count(self) -> int:
        """Tokens of a spectrum, the first one (statistics) included."""
        return 2 + (self.pixels - self.size) // self.stride

    @property
    def segment_length(self) -> int:
        """Tokens in one masked stretch."""
        return self.mask_length or max(1, round(30 / 778 * self.token_count))

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        if not self.stride <= self.size <= self.pixels:
            text = f"size {self.size}, stride {self.stride}: expected 0 < stride <= size <= {self.pixels} pixels"
            raise refuse("size", text)
        if 0 < self.positions < self.token_count:
            raise refuse("positions", f"{self.positions} is less than the {self.token_count} tokens; 0 takes as many")
        if self.summary and not self.pooled_weight:
            text = f"{self.summary} with pooled_weight 0 would never be trained; set summary 0 or pooled_weight above 0"
            raise refuse("summary", text)
        return self


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.specformer.network:SpecFormer",
    objective="skyloom.models.specformer.network:Objective",
    modalities=("spectrum",),
    training={"batch_size": 64, "learning_rate": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1, "clip": 1.0},
)
