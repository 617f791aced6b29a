"""AION-1: tokens of several modalities to embeddings, by the encoder of a masked autoencoder of 4M's kind.

Names of tensors and numbers are those of the public code (polymathic-aion 0.0.2, MIT, after EPFL and Apple's ml-4m); no
code was copied. As there, an embedding is the mean over the encoder's output tokens, projected as for the decoder and
with their positions and modality added once more (`AION.encode`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.aion import Config
from skyloom.models.aion.image import ImageTokens
from skyloom.models.aion.spectrum import SpectrumTokens
from skyloom.models.astroclip_public.network import central
from skyloom.nn.batch import Batch
from skyloom.settings.names import JOINT

KEYS = {"image": "tok_image", "spectrum": "tok_spectrum_{spectra}"}
"""Modality -> what the published weights call its tokens."""
SHAPE = {"dim": 768, "layers": 12, "hidden": 2048, "gated": True, "qk_norm": True}
COUNTS = {"tok_image": (4375, 576), "tok_spectrum_desi": (1024, 273), "tok_spectrum_sdss": (1024, 273)}
"""Tokens' name -> words of their vocabulary, and places."""


class _Embedding(nn.Module):
    def __init__(self, words: int, places: int, dim: int):
        super().__init__()
        self.register_buffer("pos_emb", torch.zeros(1, places, dim))
        self.mod_emb = nn.Parameter(torch.zeros(1, 1, dim))
        self.token_emb = nn.Embedding(words, dim)


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int, normed: bool):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        if normed:
            self.q_norm, self.k_norm = (nn.LayerNorm(dim // heads, eps=1e-6) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _MLP(nn.Module):
    def __init__(self, dim: int, hidden: int, gated: bool, activation: str):
        super().__init__()
        self.activation = getattr(functional, activation)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        if gated:
            self.fc3 = nn.Linear(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.activation(self.fc1(x))
        return self.fc2(inner * self.fc3(x) if hasattr(self, "fc3") else inner)


class _Block(nn.Module):
    def __init__(self, shape: dict, heads: int, activation: str):
        super().__init__()
        dim = shape["dim"]
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, heads, shape["qk_norm"])
        self.mlp = _MLP(dim, shape["hidden"], shape["gated"], activation)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class AION(nn.Module):
    """Images and spectra, one or both. Takes flux (B, 3, S, S) in nanomaggy, and flux and ivar (B, W)."""

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, t = config, config.transformer
        shape = SHAPE | t.shape
        self.keys = {modality: key.format(spectra=t.spectra) for modality, key in KEYS.items()}
        self.inputs = {"image": ("flux",), "spectrum": ("flux", "ivar")}
        pixels, side = config.grid.pixels, config.image.size
        self.shapes = {"image": {"flux": (3, side, side)}, "spectrum": {"flux": (pixels,), "ivar": (pixels,)}}
        counts = COUNTS | {key: tuple(count) for key, count in shape.get("counts", {}).items()}
        self.codecs = nn.ModuleDict({"image": ImageTokens(config.image), "spectrum": SpectrumTokens(config.spectrum)})
        self.encoder_embeddings = nn.ModuleDict(
            {key: _Embedding(*counts[key], shape["dim"]) for key in self.keys.values()}
        )
        self.encoder = nn.ModuleList(_Block(shape, t.heads, t.activation) for _ in range(shape["layers"]))
        self.encoder_norm = nn.LayerNorm(shape["dim"], eps=1e-6)
        self.decoder_proj_context = nn.Linear(shape["dim"], shape["dim"])
        grid = config.grid
        wavelength = grid.start + grid.step * torch.arange(grid.pixels, dtype=torch.float64)
        self.register_buffer("wavelength", wavelength.float(), persistent=False)

    def needs(self, name: object) -> tuple[str, ...]:
        """The modalities an embedding is made of."""
        return tuple(self.inputs) if name == JOINT else (name,)

    def words(self, batch: Batch, modality: str) -> Tensor:
        """The discrete tokens of one modality, (B, T) int64."""
        if modality == "image":
            return self.codecs["image"](central(batch, "image", "flux", self.config.image.size))
        return self.codecs["spectrum"](batch["spectrum"]["flux"], batch["spectrum"]["ivar"], self.wavelength)

    def encode(self, words: dict[str, Tensor]) -> Tensor:
        """Discrete tokens by modality to output tokens of all, (B, T, dim)."""
        tokens, places = [], []
        for modality, ids in words.items():
            embedding = self.encoder_embeddings[self.keys[modality]]
            tokens.append(embedding.token_emb(ids))
            places.append((embedding.pos_emb + embedding.mod_emb).expand(ids.shape[0], -1, -1))
        most = self.config.transformer.tokens or None
        tokens, places = torch.cat(tokens, 1)[:, :most], torch.cat(places, 1)[:, :most]
        x = tokens + places
        for block in self.encoder:
            x = block(x)
        return self.decoder_proj_context(self.encoder_norm(x)) + places

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The mean over the output tokens of one modality, or of both together, (B, dim)."""
        return self.encode({modality: self.words(batch, modality) for modality in self.needs(name)}).mean(1)
