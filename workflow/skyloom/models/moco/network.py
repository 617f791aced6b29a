"""The network of MoCo: a ResNet (He et al. 2016) in plain torch, and the head that makes queries of its features.

Notable:
- input is flux, from which arcsinh RGB in 0..1 is made here: what changes an image on its way in training is physics of
  flux. Colours are not jittered otherwise
- layers and their number are those of torchvision's resnets, padding and strides too: with `PUBLISHED` 23,508,032
  weights without the head, 27,966,656 with it
- the embedding is the mean of the last maps, before the head, as Stein et al. 2021 and AstroCLIP use it
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.models.moco import Config
from skyloom.nn.batch import Batch
from skyloom.nn.batch_norm import BatchNorm
from skyloom.nn.images import dihedral
from skyloom.nn.rgb import arcsinh_rgb
from skyloom.tokens.crops import centre_crop

WIDENED = 4
"""Channels that come out of a bottleneck, in units of those inside."""


class Convolution(nn.Sequential):
    """A convolution without bias, (B, given, S, S) -> (B, channels, S / stride, S / stride), and a batch norm."""

    def __init__(self, given: int, channels: int, size: int, stride: int = 1):
        convolution = nn.Conv2d(given, channels, size, stride, size // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(convolution, BatchNorm(channels))


class Block(nn.Module):
    """A residual block; the stride is that of its first 3x3 convolution."""

    def __init__(self, given: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        channels = WIDENED * width if bottleneck else width
        sizes = (1, 3, 1) if bottleneck else (3, 3)
        widths = [given, *[width] * (len(sizes) - 1), channels]
        strided = sizes.index(3)
        self.layers = nn.ModuleList(
            Convolution(widths[place], widths[place + 1], size, stride if place == strided else 1)
            for place, size in enumerate(sizes)
        )
        self.short = Convolution(given, channels, 1, stride) if stride > 1 or given != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers[:-1]:
            y = layer(y).relu()
        return (self.layers[-1](y) + self.short(x)).relu()


class ResNet(nn.Module):
    """Images (B, 3, S, S) to maps (B, features, S', S')."""

    def __init__(self, blocks: list[int], width: int, bottleneck: bool, pooled_stem: bool):
        super().__init__()
        self.pooled_stem = pooled_stem
        self.stem = Convolution(3, width, 7, 2)
        given, stages = width, []
        for stage, count in enumerate(blocks):
            inside = width * 2**stage
            for place in range(count):
                stages.append(Block(given, inside, 2 if stage and not place else 1, bottleneck))
                given = WIDENED * inside if bottleneck else inside
        self.blocks, self.features = nn.Sequential(*stages), given

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images).relu()
        if self.pooled_stem:
            x = functional.max_pool2d(x, 3, 2, 1)
        return self.blocks(x)


class MoCo(nn.Module):
    """Images to embeddings. Takes flux in nanomaggy, (B, 3, H, W) in g, r, z, of its modality."""

    views = 8  # flips and rotations that leave the galaxy what it is

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, (self.modality,) = config, takes
        self.inputs = {self.modality: ("flux",)}
        self.encoder = ResNet(config.blocks, config.width, config.bottleneck, config.pooled_stem)
        self.width = self.encoder.features
        self.head = nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, config.dim))

    def maps(self, flux: Tensor) -> Tensor:
        """The last maps (B, width, S', S') of images (B, 3, S, S)."""
        return self.encoder((arcsinh_rgb(flux) - self.config.offset) / self.config.scale)

    def project(self, flux: Tensor) -> Tensor:
        """Queries or keys of images, (B, dim) of length 1."""
        features = self.maps(flux).float().mean((2, 3))
        with torch.autocast(flux.device.type, enabled=False):
            return functional.normalize(self.head(features), dim=1)

    def images(self, batch: Batch) -> Tensor:
        """The central image_size x image_size pixels, (B, 3, S, S); pixels that are not finite are 0, the sky."""
        return centre_crop(known(batch[self.modality]["flux"]), self.config.image_size, "image_size")

    def view(self, batch: Batch, number: int) -> Batch:
        """The batch with its images turned in one of `views` ways; 0 leaves them alone."""
        return batch.changed(self.modality, flux=dihedral(batch[self.modality]["flux"], number))

    def tokens(self, batch: Batch) -> Tensor:
        """The pixels of the last maps, (B, S' * S', width)."""
        return self.maps(self.images(batch)).flatten(2).mT

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The mean of the last maps, (B, width)."""
        return self.maps(self.images(batch)).float().mean((2, 3))


def known(flux: Tensor) -> Tensor:
    """Flux with 0 where it is not finite."""
    return torch.where(flux.isfinite(), flux, 0)
