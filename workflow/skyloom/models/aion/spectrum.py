"""The encoding half of AION-1's codec of spectra: flux and errors on any grid to 1 + 272 discrete tokens.

Names of tensors and numbers are those of the public code (polymathic-aion 0.0.2, MIT); no code was copied. Parts: a
normalisation that is itself a token, a common grid, ConvNeXt V2 in one dimension (Woo et al. 2023), and lookup-free
quantization (Yu et al. 2024): the signs of ten numbers are the bits of a code.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.aion import SpectrumCodec

LEAST = 0.1
"""Smallest normalisation, 1e-17 erg/s/cm2/Angstrom."""


class _Norm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, N)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class _Response(nn.Module):
    """Global response normalization of (B, N, C)."""

    def __init__(self, dim: int):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(1, 1, dim)), nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        size = x.norm(dim=1, keepdim=True)
        return self.gamma * (x * (size / (size.mean(-1, keepdim=True) + 1e-6))) + self.beta + x


class _Block(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1, self.grn, self.pwconv2 = nn.Linear(dim, 4 * dim), _Response(4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2))
        return x + self.pwconv2(self.grn(functional.gelu(self.pwconv1(y)))).transpose(1, 2)


class _Encoder(nn.Module):
    def __init__(self, depths: list[int], dims: list[int]):
        super().__init__()
        stem = nn.Sequential(nn.Conv1d(2, dims[0], 4, 4), _Norm(dims[0], eps=1e-6))
        halves = [nn.Sequential(_Norm(a, eps=1e-6), nn.Conv1d(a, b, 2, 2)) for a, b in itertools.pairwise(dims)]
        self.downsample_layers = nn.ModuleList([stem, *halves])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(dim) for _ in range(depth))) for depth, dim in zip(depths, dims, strict=True)
        )
        self.norm = _Norm(dims[-1], eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        return self.norm(x)


class _Grid(nn.Module):
    def __init__(self, pixels: int):
        super().__init__()
        self.register_buffer("_wavelength", torch.zeros(1, pixels))


class _Buckets(nn.Module):
    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("buckets", torch.zeros(count))


class SpectrumTokens(nn.Module):
    """Flux and ivar (B, W) in 1e-17 erg/s/cm2/Angstrom, and wavelengths (W,), to tokens (B, 1 + N) int64."""

    def __init__(self, config: SpectrumCodec):
        super().__init__()
        self.config = config
        shape = {"depths": [3, 3, 9, 3], "dims": [96, 192, 384, 512], "pixels": 8704, "codes": 10, "buckets": 1024}
        shape |= config.shape
        self.encoder = _Encoder(shape["depths"], shape["dims"])
        self.pre_quant_norm = nn.LayerNorm(shape["dims"][-1])
        self.quant_conv = nn.Conv1d(shape["dims"][-1], shape["codes"], 1)
        self.latent_grid, self.normalization_quantizer = _Grid(shape["pixels"]), _Buckets(shape["buckets"])
        self.register_buffer("bits", 2 ** torch.arange(shape["codes"] - 1, -1, -1), persistent=False)

    def scale(self, flux: Tensor, mask: Tensor) -> Tensor:
        """The bucket of the normalisation of each spectrum, (B,) int64."""
        mean = (flux * ~mask).sum(-1) / ((~mask).sum(-1) + 1.0)
        buckets = self.normalization_quantizer.buckets
        found = torch.searchsorted(buckets, torch.log10(mean.clamp(min=LEAST) + 1.0))
        return found.clamp(max=len(buckets) - 1)

    def latent(self, flux: Tensor, ivar: Tensor, mask: Tensor, wavelength: Tensor) -> tuple[Tensor, Tensor]:
        """What is quantized, (B, codes, N), and the bucket of the normalisation."""
        c = self.config
        flux = torch.nan_to_num(flux)
        flux = flux.clamp(-c.largest_flux, c.largest_flux) if c.largest_flux else flux
        error = torch.nan_to_num(ivar).clamp(0, c.largest_ivar).sqrt()
        bucket = self.scale(flux, mask)
        unit = (10 ** self.normalization_quantizer.buckets[bucket] - 1.0).clamp(min=LEAST)[:, None]
        seen = torch.stack([(flux / unit - 1.0) * c.scaling, error / unit * c.scaling], 1)
        found = self.encoder(torch.asinh(interpolated(seen, wavelength, self.latent_grid._wavelength[0])))
        return self.quant_conv(self.pre_quant_norm(found.transpose(1, 2)).transpose(1, 2)), bucket

    def forward(self, flux: Tensor, ivar: Tensor, wavelength: Tensor) -> Tensor:
        latent, bucket = self.latent(flux, ivar, ivar <= 0, wavelength)
        codes = ((latent > 0) * self.bits[:, None]).sum(1)
        return torch.cat([bucket[:, None], codes], 1)


def interpolated(values: Tensor, at: Tensor, wanted: Tensor) -> Tensor:
    """Linear interpolation of values (..., W) at rising places (W,) to others (N,); 0 beyond the ends."""
    left = (torch.searchsorted(at, wanted) - 1).clamp(0, len(at) - 2)
    slope = (values[..., 1:] - values[..., :-1]) / (at[1:] - at[:-1])
    found = values[..., left] + (wanted - at[left]) * slope[..., left]
    return torch.where((wanted < at[0]) | (wanted > at[-1]), 0, found)
