"""SpecFormer: a transformer over slices of a galaxy spectrum, trained to fill in masked stretches (AstroCLIP).

Notable:
- the published shape is `PUBLISHED` of the package (43.2M parameters); the default is a small one for two CPU cores,
  which sees bins of equal velocity in units of noise (`inputs`): on a linear grid of pixels each place is learned anew
- masks are contiguous segments whose start is uniform over every place that touches the spectrum, so each token is
  masked equally often; `published: true` has instead what the public code does to slices, masks, loss and weights
- what is masked is masked before bad pixels are filled in and continua taken off, so that no visible token carries a
  masked neighbour; where slices overlap, pixels that a visible slice shows stay visible, and the first token (mean and
  deviation of the flux as published, or how bright it is) is that of all pixels
- the loss can weight pixels by their inverse variance, so that the network is not asked to predict sky residuals
- as published an embedding is the mean over the outputs of all slices, the first token apart; a mean forgets where a
  feature was, which a summary of a few numbers of every token in its place does not
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.specformer import Config, published
from skyloom.models.specformer.inputs import INPUTS
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import Block, init_by_depth, normal
from skyloom.nn.draws import Draws
from skyloom.nn.places import Stretches
from skyloom.nn.spectra import STATISTICS_CHANNELS, hidden_pixels


class SpecFormer(nn.Module):
    """Spectra to tokens, embeddings and reconstructions. Takes flux and ivar, both (B, pixels), of its modality."""

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config = config
        self.width = max(config.dim, config.summary + 1) if config.kept else config.dim
        (self.modality,) = takes
        self.inputs = {self.modality: ("flux", "ivar")}
        self.input = INPUTS[config.input](config)
        self.embed_slice = nn.Linear(self.input.sees, config.dim)
        self.position = nn.Parameter(torch.empty(1, config.positions or config.token_count, config.dim))
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.mlp_ratio, config.drop_path) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, self.input.predicts)
        self.narrow = nn.Linear(config.dim, config.kept) if config.kept else None
        pooled = config.token_count * config.kept or config.dim
        self.summary = nn.Linear(pooled, config.summary) if config.summary else nn.Identity()
        cut = published.CUT if config.published else 2.0
        init_by_depth(self.blocks, config.layers, cut)
        init_by_depth(self.head, 0.5, cut)
        if config.published:
            normal(self.embed_slice.weight, config.dim**-0.5, cut)
        else:
            init_by_depth(self.embed_slice, 0.5)
        normal(self.position, config.dim**-0.5, cut)

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Flux and ivar, (B, W) each, on the grid that is cut into slices."""
        return self.input.read(batch[self.modality])

    def encode(self, slices: Tensor) -> Tensor:
        """Input tokens (B, T, width) to output tokens (B, T, dim)."""
        x = self.embed_slice(slices) + self.position[:, : slices.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def tokens(self, batch: Batch) -> Tensor:
        """Output tokens of every slice and of the first token, (B, T, width).

        If numbers are kept of every token in its place, their summary is one more: what is built on this network need
        not find out where each token belongs. It is followed by ones, by which attention can tell it from the others.
        """
        found = self.encode(self.input.seen(*self.read(batch)))
        if self.narrow is None:
            return found
        summary = self.pool(found)
        summary = functional.pad(summary, (0, self.width - summary.shape[1]), value=1.0)
        return torch.cat([functional.pad(found, (0, self.width - found.shape[2])), summary[:, None]], 1)

    def places(self) -> Stretches:
        """What `tokens` show."""
        c, wavelength = self.config, self.input.wavelength
        start = c.stride * np.arange(c.token_count - 1)
        others = {0: "brightness"} | ({c.token_count: "summary"} if c.kept else {})
        half = np.gradient(wavelength) / 2
        end = start + c.size - 1
        return Stretches(1, (wavelength - half)[start], (wavelength + half)[end], c.grid.span, others=others)

    @property
    def wavelength(self) -> np.ndarray:
        """(W,) Angstrom, of what `read` gives."""
        return self.input.wavelength

    def hide(self, draws: Draws) -> Tensor:
        """Masks as in training, but that the first token is always seen, (B, T) bool."""
        c = self.config
        if c.published:
            return functional.pad(self.masks(draws)[:, 1:], (1, 0))
        mask = segments(draws, c.token_count - 1, c.mask_segments, c.segment_length)
        return functional.pad(mask, (1, 0))

    def masks(self, draws: Draws) -> Tensor:
        """Tokens hidden in training, (B, T) bool."""
        c = self.config
        return (published.segments if c.published else segments)(
            draws, c.token_count, c.mask_segments, c.segment_length
        )

    def hidden(self, mask: Tensor) -> Tensor:
        """What is hidden of the spectrum, (B, W) bool: what no other token shows."""
        return hidden_pixels(mask[:, 1:], len(self.wavelength), self.config.size, self.config.stride)

    def fill(self, flux: Tensor, ivar: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """The flux that the network puts where it is hidden, (B, W), in the unit it came in.

        Parameters
        ----------
        flux, ivar : (B, W), as `read` gives them
        mask : (B, T) bool, tokens that are hidden
        noise : (B, W) in the unit of flux, in whose units a network may say it. One that is measured where the spectrum
            is hidden tells of bright lines there
        """
        return self.input.drawn(self.head(self.encode(self.input.seen(flux, ivar, mask))), flux, ivar, mask, noise)

    def embed(self, batch: Batch, name: str) -> Tensor:
        """What the output tokens say together, (B, summary or dim)."""
        return self.pool(self.encode(self.input.seen(*self.read(batch))))

    def pool(self, tokens: Tensor) -> Tensor:
        """Output tokens (B, T, dim) to embeddings (B, summary or dim): a linear summary of the mean over slices, or of
        a few numbers of every token, each in its place."""
        if self.narrow is None:
            return self.summary(tokens[:, 1:].mean(dim=1))
        return self.summary(self.narrow(tokens).flatten(1))


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
            out = STATISTICS_CHANNELS + (c.token_count - 1) * (model.input.predicts - STATISTICS_CHANNELS)
            self.from_pooled = nn.Sequential(
                nn.Linear(c.summary or c.dim, c.pooled_hidden), nn.GELU(), nn.Linear(c.pooled_hidden, out)
            )

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model, config = self.model, self.model.config
        flux, ivar = model.read(batch)
        truth, weight = model.input.truth(flux, ivar), model.input.weights(flux, ivar)  # (B, T, predicts)
        mask = model.masks(draws)  # (B, T)
        tokens = model.encode(model.input.seen(flux, ivar, mask))
        if config.published:
            masked = published.error(model.head(tokens), truth, mask)
        else:
            masked = weighted_error(model.head(tokens), truth, weight * mask[..., None])
        if not config.pooled_weight:
            return masked.mean(), {}
        pooled = weighted_error(self.from_pooled(model.pool(tokens)), whole(truth), whole(weight))
        return (masked + config.pooled_weight * pooled).mean(), {"masked": masked.mean(), "pooled": pooled.mean()}


def whole(tokens: Tensor) -> Tensor:
    """Everything that tokens (B, T, predicts) hold, without the numbers that are always empty, (B, n)."""
    first, rest = tokens[:, 0, :STATISTICS_CHANNELS], tokens[:, 1:, STATISTICS_CHANNELS:]
    return torch.cat([first, rest.flatten(1)], 1)


def weighted_error(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of each sample, (B,), of (B, ...) values."""
    error = ((predicted - truth).square() * weight).flatten(1).sum(1)
    return error / weight.flatten(1).sum(1).clamp(min=1e-6)


def segments(draws: Draws, tokens: int, count: int, length: int) -> Tensor:
    """Masks of `count` contiguous stretches of `length` tokens a sample, (B, tokens) bool.

    Starts are uniform over 1 - length .. tokens - 1: stretches may run over an end, so that every token is equally
    likely.
    """
    start = draws.integers(1 - length, tokens, count)[..., None]  # (B, count, 1)
    place = torch.arange(tokens, device=start.device)
    return ((place >= start) & (place < start + length)).any(dim=1)
