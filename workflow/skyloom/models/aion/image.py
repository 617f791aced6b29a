"""The encoding half of AION-1's codec of images: nanomaggy of any bands to discrete tokens, one a 4 x 4 patch.

Names of tensors and numbers are those of the public code (polymathic-aion 0.0.2, MIT); no code was copied. Parts: bands
in common places, a linear layer over them, a convolutional encoder after MAGVIT-v2 (Yu et al. 2024), and finite scalar
quantization (Mentzer et al. 2024).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.aion import ImageCodec

BANDS = ("HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y", "DES-G", "DES-R", "DES-I", "DES-Z")
LARGEST = (80.0, 110.0, 200.0, 330.0, 500.0, 6.0, 15.0, 20.0, 25.0)
"""Fluxes are cut at plus and minus these, nanomaggy."""
LEGACY = tuple(BANDS.index(f"DES-{band}") for band in "GRZ")
"""Where the bands of a Legacy Surveys image go, whose filters the published codec calls DES."""


class _Same(nn.Module):
    def __init__(self, width: int, out: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _Gate(nn.Module):
    """Channels weighted by what a pooled context says (squeeze and excite with attention)."""

    def __init__(self, dim: int):
        super().__init__()
        hidden = max(16, dim // 2)
        self.to_k = nn.Conv2d(dim, 1, 1)
        self.net = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, dim, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        share = self.to_k(x).flatten(2).softmax(-1)  # (B, 1, H W)
        context = (x.flatten(2) * share).sum(-1)[..., None, None]
        return self.net(context) * x


class _Residual(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(_Same(dim, dim, 3), nn.ELU(), nn.Conv2d(dim, dim, 1), nn.ELU(), _Gate(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + x


class _Half(nn.Module):
    def __init__(self, dim: int, out: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _ChannelNorm(nn.Sequential):
    """LayerNorm over channels; second of three, the others having no weights, by the published names."""

    def __init__(self, dim: int):
        super().__init__(nn.Identity(), nn.LayerNorm(dim), nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return self[1](x.movedim(1, -1)).movedim(-1, 1)


class _Encoder(nn.Module):
    def __init__(self, bands: int, width: int, halvings: int, several: int):
        super().__init__()
        self.conv_in = _Same(bands, width, 7)
        layers: list[nn.Module] = [_Residual(width)]
        for _ in range(halvings):
            layers += [_Half(width, 2 * width), nn.Sequential(*(_Residual(2 * width) for _ in range(several)))]
            width *= 2
        layers += [_Same(width, width, 7), nn.Sequential(*(_Residual(width) for _ in range(several)))]
        self.encoder_layers = nn.ModuleList([*layers, _ChannelNorm(width)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for layer in self.encoder_layers:
            x = layer(x)
        return x


class _Bands(nn.Module):
    """A linear layer over the places of all bands, of which some are there."""

    def __init__(self, bands: int, out: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(out, bands)), nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor, there: int) -> Tensor:
        scale = (self.weight.shape[1] / there) ** 0.5
        return scale * functional.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)


class _Levels(nn.Module):
    """Finite scalar quantization: each channel to one of a few levels, together the number of a code."""

    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("levels", torch.ones(count, dtype=torch.int32))

    def forward(self, z: Tensor) -> Tensor:
        """(B, C, ...) -> (B, ...) int64."""
        levels = self.levels
        half = (levels - 1) * 1.001 / 2
        offset = torch.where(levels % 2 == 1, 0.0, 0.5)
        bounded = torch.tanh(z.movedim(1, -1) + torch.atanh(offset / half)) * half - offset
        digits = bounded.round().to(torch.int64) + levels // 2
        basis = torch.cat([levels.new_ones(1), levels[:-1]]).cumprod(0)
        return (digits * basis).sum(-1)


class ImageTokens(nn.Module):
    """Images (B, 3, S, S), g, r, z in nanomaggy, to tokens (B, (S / 4)^2), row by row."""

    def __init__(self, config: ImageCodec):
        super().__init__()
        self.config = config
        s = {"projection": 54, "width": 128, "halvings": 2, "several": 4, "codes": 5} | config.shape
        self.subsample_in = _Bands(len(BANDS), s["projection"])
        self.model = _Encoder(s["projection"], s["width"], s["halvings"], s["several"])
        self.pre_quant_proj = nn.Conv2d(s["width"] * 2 ** s["halvings"], s["codes"], 1)
        self._quantizer = _Levels(s["codes"])

    def latent(self, flux: Tensor, places: tuple[int, ...] = LEGACY) -> Tensor:
        """What is quantized, (B, codes, S / 4, S / 4); `places` of the bands in BANDS."""
        largest = flux.new_tensor([LARGEST[place] for place in places]).view(-1, 1, 1)
        scale = self.config.range_compression
        seen = torch.asinh(flux.clamp(-largest, largest) / scale) * scale * self.config.factor
        padded = [torch.zeros_like(seen[:, 0])] * self.subsample_in.weight.shape[1]
        for number, place in enumerate(places):
            padded[place] = seen[:, number]
        return self.pre_quant_proj(self.model(self.subsample_in(torch.stack(padded, 1), len(places))))

    def forward(self, flux: Tensor) -> Tensor:
        return self._quantizer(self.latent(flux)).flatten(1)
