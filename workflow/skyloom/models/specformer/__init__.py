"""SpecFormer: a transformer over slices of a galaxy spectrum, trained to fill in masked stretches (AstroCLIP)."""

from typing import Literal

from pydantic import model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import Grid, check_grid, velocity_bins

PUBLISHED = {
    "published": True,
    "input": "pixels",
    "size": 20,
    "stride": 10,
    "dim": 768,
    "layers": 6,
    "heads": 6,
    "positions": 800,
    "mask_segments": 6,
    "mask_length": 30,
    "std_floor": 0.2,
    "loss_weight": "none",
    "normalise": "zscore",
    "kept": 0,
    "summary": 0,
    "pooled_weight": 0.0,
}
"""The shape of the paper, 43.2 million weights. The public code has the same but for masks of 50 tokens, not 30."""

PUBLISHED_TRAINING = {
    **{"steps": 500_000, "batch_size": 64, "learning_rate": 1e-5, "warmup": 2000, "minimum_rate": 0.0},
    **{"weight_decay": 0.1, "betas": (0.9, 0.95), "clip": 1.0},
}
"""Table 2 of the benchmark paper, and the public configuration."""


class Config(Section):
    """Shape and masks of a SpecFormer."""

    grid: Grid = setting(Grid())
    "of the survey's spectra"
    published: bool = setting(False)
    "slices, masks, loss and first weights as in the public code, quirks included: see `models.specformer.published`"
    input: Literal["pixels", "velocity"] = setting("velocity")
    "slices of pixels, z-scored, as published; or of bins of equal velocity, in units of noise and without continuum"
    velocity: float = setting(125.0, gt=0)
    "km/s, width of a bin of input velocity"
    continuum: float = setting(18_900.0, gt=0)
    "km/s, width of the running mean that is taken off; of input velocity"
    broad: float = setting(112_600.0, gt=0)
    "km/s, width of the running mean that the continuum itself is compared with; of input velocity"
    size: int = setting(16, ge=1)
    "pixels or bins in a slice"
    stride: int = setting(16, ge=1)
    "pixels or bins between the starts of two slices"
    dim: int = setting(128, ge=1)
    "width of the transformer"
    layers: int = setting(2, ge=1)
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
    "none, or ivar for normalised, capped inverse variances; of input pixels"
    weight_cap: float = setting(4.0, gt=0)
    "largest weight, in units of the spectrum's median"
    std_floor: float = setting(0.2, gt=0)
    "smallest standard deviation a spectrum is divided by, 1e-17 erg/s/cm2/Angstrom"
    normalise: Literal["zscore", "ivar"] = setting("ivar")
    "zscore as published, or ivar: mean and deviation weighted, and noisy pixels shrunk; of input pixels"
    kept: int = setting(8, ge=0)
    "numbers of every token, each in its place, that the embedding is made of; 0: of the tokens' mean, as published"
    summary: int = setting(64, ge=0)
    "length of the embedding, a linear summary; 0: the mean of the tokens itself, as published"
    pooled_weight: float = setting(1.0, ge=0)
    "weight of a second loss, the whole spectrum predicted from the embedding alone (0: none, as published)"
    pooled_hidden: int = setting(512, ge=1)
    "units of the hidden layer of that prediction"

    @property
    def length(self) -> int:
        """Pixels or bins that are cut into slices."""
        return self.grid.pixels if self.input == "pixels" else velocity_bins(*self.grid.span, self.velocity)

    @property
    def token_count(self) -> int:
        """Tokens of a spectrum, the first one (statistics) included."""
        full, rest = divmod(self.length - self.size, self.stride)
        lost = self.published and not rest  # the public code throws the last section away, full or not
        return 2 + full - lost

    @property
    def segment_length(self) -> int:
        """Tokens in one masked stretch."""
        return self.mask_length or max(1, round(30 / 778 * self.token_count))

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        if not self.stride <= self.size <= self.length:
            what = "pixels" if self.input == "pixels" else "bins"
            text = f"size {self.size}, stride {self.stride}: expected 0 < stride <= size <= {self.length} {what}"
            raise refuse("size", text)
        if 0 < self.positions < self.token_count:
            raise refuse("positions", f"{self.positions} is less than the {self.token_count} tokens; 0 takes as many")
        if self.summary and not self.pooled_weight:
            text = f"{self.summary} with pooled_weight 0 would never be trained; set summary 0 or pooled_weight above 0"
            raise refuse("summary", text)
        if self.published:
            self._as_published()
        if self.kept and not self.summary:
            raise refuse("kept", f"{self.kept} with summary 0 makes no embedding; set kept 0 or summary above 0")
        return self

    def _as_published(self) -> None:
        """What the public code does to spectra and losses has no other form."""
        for name in ("input", "normalise", "loss_weight"):
            if getattr(self, name) != PUBLISHED[name]:
                raise refuse(name, f"{getattr(self, name)} with published: true; expected {PUBLISHED[name]}")
        if self.segment_length >= self.token_count // self.mask_segments:
            text = f"{self.segment_length} tokens with published: true; expected less than a stretch of the spectrum, "
            raise refuse("mask_length", text + f"{self.token_count} tokens in {self.mask_segments} mask_segments")


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.specformer.network:SpecFormer",
    objective="skyloom.models.specformer.network:Objective",
    blocks=lambda settings: settings.layers,
    modalities=("spectrum",),
    fills=True,
    training={"batch_size": 64, "learning_rate": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1, "clip": 1.0},
    check=check_grid,
)
