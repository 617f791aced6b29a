"""SpecFormer: a transformer over slices of a galaxy spectrum, trained to fill in masked stretches (AstroCLIP).

Notable:
- the published shape is `PUBLISHED` of the package (43.2M parameters); the default is a small one for two CPU cores
- masks are contiguous segments whose start is uniform over every place that touches the spectrum, so each token is
  masked equally often (the published code hardly ever masks the last ten)
- what is masked is masked before bad pixels are filled in, so that no visible token carries a masked neighbour; where
  slices overlap, pixels that a visible slice shows stay visible, and the mean and deviation of a spectrum are those of
  all its pixels: both as published
- the loss can weight pixels by their inverse variance, so that the network is not asked to predict sky residuals
- an embedding is the mean over the outputs of all slices; the first token (mean and deviation of the flux) takes part
  in the attention but not in the mean
"""

import torch
from torch import Tensor, nn

from skyloom.models.specformer import Config
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import Block, init_by_depth, normal
from skyloom.nn.draws import Draws
from skyloom.nn.spectra import (
    STATISTICS_CHANNELS,
    hidden_pixels,
    specformer_tokens,
    token_shrinkage,
    token_weights,
)


class SpecFormer(nn.Module):
    """Spectra to tokens, embeddings and reconstructions. Takes flux and ivar, both (B, pixels), of its modality."""

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, self.width = config, config.dim
        (self.modality,) = takes
        self.inputs = {self.modality: ("flux", "ivar")}
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

    def slices(self, batch: Batch, hidden: Tensor | None = None) -> Tensor:
        """Normalised tokens, (B, T, width): what the network is to predict. `hidden`: see `nn.spectra.normalise`."""
        c, spectra = self.config, batch[self.modality]
        return specformer_tokens(
            spectra["flux"],
            spectra["ivar"],
            c.size,
            c.stride,
            c.std_floor,
            weighted=c.normalise == "ivar",
            hidden=hidden,
        )

    def shrink(self, slices: Tensor, batch: Batch) -> Tensor:
        """The tokens as they enter the network: with noisy pixels shrunk, if so configured."""
        c = self.config
        if c.normalise == "zscore":
            return slices
        factor = torch.ones_like(slices)
        factor[:, 1:, STATISTICS_CHANNELS:] = token_shrinkage(batch[self.modality]["ivar"], c.size, c.stride)
        return slices * factor

    def seen(self, batch: Batch, slices: Tensor, mask: Tensor) -> Tensor:
        """The tokens as they enter the network when those of `mask`, (B, T), are hidden from it.

        Bad pixels of visible tokens are filled from visible pixels alone; where they are shrunk to zero anyway, the
        tokens need not be made a second time.
        """
        c = self.config
        if c.normalise == "zscore":
            width = batch[self.modality]["flux"].shape[1]
            slices = self.slices(batch, hidden_pixels(mask[:, 1:], width, c.size, c.stride))
        return self.shrink(slices, batch).masked_fill(mask[..., None], 0)

    def encode(self, slices: Tensor) -> Tensor:
        """Input tokens (B, T, width) to output tokens (B, T, dim)."""
        x = self.embed_slice(slices) + self.position[:, : slices.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def tokens(self, batch: Batch) -> Tensor:
        """Output tokens of every slice and of the first token, (B, T, dim)."""
        return self.encode(self.shrink(self.slices(batch), batch))

    def embed(self, batch: Batch, name: str) -> Tensor:
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

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.model.config
        slices = self.model.slices(batch)  # (B, T, width)
        mask = segments(draws, slices.shape[1], config.mask_segments, config.segment_length)  # (B, T)
        tokens = self.model.encode(self.model.seen(batch, slices, mask))
        weight = self.weights(batch, slices)
        masked = weighted_error(self.model.head(tokens), slices, weight * mask[..., None])
        if not config.pooled_weight:
            return masked.mean(), {}
        whole = self.from_pooled(self.model.pool(tokens)).unflatten(1, (-1, config.size))
        pooled = weighted_error(whole, slices[:, 1:, STATISTICS_CHANNELS:], weight[:, 1:, STATISTICS_CHANNELS:])
        return (masked + config.pooled_weight * pooled).mean(), {"masked": masked.mean(), "pooled": pooled.mean()}

    def weights(self, batch: Batch, slices: Tensor) -> Tensor:
        """Weight of every value of every token, (B, T, width) or (1, 1, 1)."""
        config = self.model.config
        if config.loss_weight == "none":
            return slices.new_ones(1, 1, 1).expand_as(slices)
        weights = torch.zeros_like(slices)
        weights[:, 0, :STATISTICS_CHANNELS] = 1
        weights[:, 1:, STATISTICS_CHANNELS:] = token_weights(
            batch[self.model.modality]["ivar"], config.size, config.stride, config.weight_cap
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
