"""SpecFormer: a transformer over slices of a galaxy spectrum, trained to fill in masked stretches (AstroCLIP).

Notable:
- the published shape is `PUBLISHED` (43.2M parameters); the default is a small one for two CPU cores
- masks are contiguous segments whose start is uniform over every place that touches the spectrum, so each token is
  masked equally often (the published code hardly ever masks the last ten)
- the loss can weight pixels by their inverse variance, so that the network is not asked to predict sky residuals
- an embedding is the mean over the outputs of all slices; the first token (mean and deviation of the flux) takes part
  in the attention but not in the mean
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from skyloom.nn.blocks import Block, init_by_depth, normal
from skyloom.nn.draws import Draws
from skyloom.nn.spectra import STATISTICS_CHANNELS, slice_count, specformer_tokens, token_shrinkage, token_weights


@dataclass(frozen=True)
class Config:
    """Shape and masks of a SpecFormer.

    Attributes
    ----------
    pixels : pixels of a spectrum (7781 for DESI)
    size, stride : pixels in a slice, and between the starts of two slices
    dim, layers, heads, mlp_ratio, drop_path : the transformer
    positions : learned positions; 0 for exactly as many as there are tokens
    mask_segments : stretches masked in each spectrum
    mask_length : tokens in a stretch; 0 for 30 of 778 tokens as published, scaled to the number of tokens
    loss_weight : "none", or "ivar" for normalised, capped inverse variances
    weight_cap : largest weight, in units of the spectrum's mean
    std_floor : smallest standard deviation a spectrum is divided by, 1e-17 erg/s/cm2/Angstrom
    normalise : "zscore" as published, or "ivar": mean and deviation weighted by inverse variance, and every pixel of
        the input shrunk by ivar / (ivar + median ivar), so that a noisy blue end neither sets the scale nor fills the
        input
    summary : length of the embedding, a linear summary of the mean of the tokens; 0: that mean itself, as published
    pooled_weight : weight of a second loss, the whole spectrum predicted from the embedding alone (0: none, as
        published). It makes the embedding carry what the tokens know, redshift first
    pooled_hidden : units of the hidden layer of that prediction
    """

    pixels: int = 7781
    size: int = 40
    stride: int = 40
    dim: int = 128
    layers: int = 3
    heads: int = 2
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    positions: int = 0
    mask_segments: int = 6
    mask_length: int = 0
    loss_weight: Literal["none", "ivar"] = "ivar"
    weight_cap: float = 4.0
    std_floor: float = 0.2
    normalise: Literal["zscore", "ivar"] = "ivar"
    summary: int = 24
    pooled_weight: float = 1.0
    pooled_hidden: int = 512

    @property
    def token_count(self) -> int:
        """Tokens of a spectrum, the first one (statistics) included."""
        return 1 + slice_count(self.pixels, self.size, self.stride)

    @property
    def segment_length(self) -> int:
        """Tokens in one masked stretch."""
        return self.mask_length or max(1, round(30 / 778 * self.token_count))


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
TRAINING = {"batch_size": 64, "learning_rate": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1, "clip": 1.0}


class SpecFormer(nn.Module):
    """Spectra to tokens, embeddings and reconstructions.

    A batch is a dict with flux and ivar, both (B, pixels).
    """

    inputs = {"spectrum": ("flux", "ivar")}

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width = config.size + STATISTICS_CHANNELS
        self.embed_slice = nn.Linear(width, config.dim)
        self.position = nn.Parameter(torch.empty(1, config.positions or config.token_count, config.dim))
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.mlp_ratio, config.drop_path) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, width)
        self.summary = nn.Linear(config.dim, config.summary) if config.summary else nn.Identity()
        init_by_depth(self.blocks, config.layers)
        init_by_depth(self.head, 0.5)
        init_by_depth(self.embed_slice, 0.5)
        normal(self.position, config.dim**-0.5)

    def slices(self, batch: dict[str, Tensor]) -> Tensor:
        """Normalised tokens, (B, T, width): what the network is to predict."""
        c = self.config
        weighted = c.normalise == "ivar"
        return specformer_tokens(batch["flux"], batch["ivar"], c.size, c.stride, c.std_floor, weighted=weighted)

    def shrink(self, slices: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The tokens as they enter the network: with noisy pixels shrunk, if so configured."""
        c = self.config
        if c.normalise == "zscore":
            return slices
        factor = torch.ones_like(slices)
        factor[:, 1:, STATISTICS_CHANNELS:] = token_shrinkage(batch["ivar"], c.size, c.stride)
        return slices * factor

    def encode(self, slices: Tensor) -> Tensor:
        """Input tokens (B, T, width) to output tokens (B, T, dim)."""
        x = self.embed_slice(slices) + self.position[:, : slices.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def tokens(self, batch: dict[str, Tensor]) -> Tensor:
        """Output tokens of every slice and of the first token, (B, T, dim)."""
        return self.encode(self.shrink(self.slices(batch), batch))

    def embed(self, batch: dict[str, Tensor], modality: str = "spectrum") -> Tensor:
        """What the output tokens of all slices say together, (B, summary or dim)."""
        return self.pool(self.tokens(batch))

    def pool(self, tokens: Tensor) -> Tensor:
        """Output tokens (B, T, dim) to embeddings (B, summary or dim): the mean over slices, and its linear summary."""
        return self.summary(tokens[:, 1:].mean(dim=1))


class Objective(nn.Module):
    """Masked modelling: zero some stretches of tokens and predict them.

    The loss of a spectrum is the (weighted) mean squared error over its masked values, that of a batch the mean over
    spectra.
    """

    def __init__(self, model: SpecFormer):
        super().__init__()
        self.model = model
        self.inputs = model.inputs
        c = model.config
        if c.pooled_weight:
            out = (c.token_count - 1) * c.size
            self.from_pooled = nn.Sequential(
                nn.Linear(c.summary or c.dim, c.pooled_hidden), nn.GELU(), nn.Linear(c.pooled_hidden, out)
            )

    def forward(self, batch: dict[str, Tensor], draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.model.config
        slices = self.model.slices(batch)  # (B, T, width)
        mask = segments(draws, slices.shape[1], config.mask_segments, config.segment_length)  # (B, T)
        seen = self.model.shrink(slices, batch).masked_fill(mask[..., None], 0)
        tokens = self.model.encode(seen)
        weight = self.weights(batch, slices)
        masked = weighted_error(self.model.head(tokens), slices, weight * mask[..., None])
        if not config.pooled_weight:
            return masked.mean(), {}
        whole = self.from_pooled(self.model.pool(tokens)).unflatten(1, (-1, config.size))
        pooled = weighted_error(whole, slices[:, 1:, STATISTICS_CHANNELS:], weight[:, 1:, STATISTICS_CHANNELS:])
        return (masked + config.pooled_weight * pooled).mean(), {"masked": masked.mean(), "pooled": pooled.mean()}

    def weights(self, batch: dict[str, Tensor], slices: Tensor) -> Tensor:
        """Weight of every value of every token, (B, T, width) or (1, 1, 1)."""
        config = self.model.config
        if config.loss_weight == "none":
            return slices.new_ones(1, 1, 1).expand_as(slices)
        weights = torch.zeros_like(slices)
        weights[:, 0, :STATISTICS_CHANNELS] = 1
        weights[:, 1:, STATISTICS_CHANNELS:] = token_weights(
            batch["ivar"], config.size, config.stride, config.weight_cap
        )
        return weights


def weighted_error(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of each sample, (B,), of (B, T, width) values."""
    return ((predicted - truth).square() * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)


def segments(draws: Draws, tokens: int, count: int, length: int) -> Tensor:
    """Masks of `count` contiguous stretches of `length` tokens a sample, (B, tokens) bool.

    Starts are uniform over 1 - length .. tokens - 1: stretches may run over an end, so that every token is equally
    likely.
    """
    start = draws.integers(1 - length, tokens, count)[..., None]  # (B, count, 1)
    place = torch.arange(tokens, device=start.device)
    return ((place >= start) & (place < start + length)).any(dim=1)
