"""Redshifts of images by inception blocks, after Pasquet et al. (2019, A&A 621, A26), trained with labels.

Convolutions of several widths side by side, averages of their maps in three concentric squares, dense layers, and a
density of the redshift. Different from the paper: a mixture of Gaussians in place of classes of redshift; and, each of
them a setting, blocks that see the image at their own resolution, and dense layers that see fluxes and colours in
apertures, without which a network takes many epochs to find what photometry says. No layer normalises over a batch or
an image: how bright a galaxy is, is part of the answer.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadInput
from skyloom.models.inception import Config
from skyloom.nn import redshift_density
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.images import HSC_SOFTENING, LEGACY_SOFTENING, arcsinh_flux, dihedral, turned
from skyloom.nn.photometry import Apertures

SOFTENING = {"hsc_image": HSC_SOFTENING, "image": LEGACY_SOFTENING}
"""Modality -> flux at which arcsinh bends, nanomaggy, of each band."""

HALVED = (0, 2)
"""The blocks before which the number of pixels a side is halved."""
SQUARES = (1, 2, 4)
"""The whole map is averaged, and the middle of it that is so many times smaller."""


class Convolution(nn.Sequential):
    """A convolution that keeps the size of a map, or divides it by `stride`, and a ReLU."""

    def __init__(self, given: int, channels: int, size: int, stride: int = 1):
        super().__init__(started(nn.Conv2d(given, channels, size, stride, size // 2)), nn.ReLU())


class Block(nn.Module):
    """An inception block, (B, given, S, S) -> (B, channels, S, S): 1x1, 3x3, 5x5 and average, side by side.

    The average over 3x3 follows its 1x1 convolution, with which it commutes, and so costs an eighth.
    """

    def __init__(self, given: int, channels: int):
        super().__init__()
        part = channels // 8
        self.parts = [channels - 6 * part, 2 * part, part]
        self.reduce = Convolution(given, sum(self.parts), 1)
        self.three = Convolution(2 * part, 3 * part, 3)
        self.five = Convolution(part, 2 * part, 5)
        self.pool = started(nn.Conv2d(given, part, 1))

    def forward(self, x: Tensor) -> Tensor:
        one, three, five = self.reduce(x).split(self.parts, 1)
        pool = functional.avg_pool2d(self.pool(x), 3, 1, 1, count_include_pad=False).relu()
        return torch.cat([one, self.three(three), self.five(five), pool], 1)


class Inception(nn.Module):
    """The redshift of an image.

    Parameters
    ----------
    config : its layers
    takes : the modality
    """

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, (self.modality,) = config, takes
        self.inputs = {self.modality: ("flux",)}
        self.softening = SOFTENING[self.modality]
        seen = 2 * len(self.softening) - 1  # bands and colours
        self.stem = Convolution(seen, config.stem, 5, 2)
        given = [config.stem, *config.channels[:-1]]
        more = [seen if config.coarse and place in HALVED else 0 for place in range(len(given))]
        self.blocks = nn.ModuleList(
            Block(g + m, channels) for g, m, channels in zip(given, more, config.channels, strict=True)
        )
        self.dense = started(nn.Linear(len(SQUARES) * config.channels[-1], config.dim))
        self.again = started(nn.Linear(config.dim, config.dim))
        self.head = nn.Linear(config.dim, 3 * config.components)
        nn.init.normal_(self.head.weight, std=0.1 * config.dim**-0.5)
        nn.init.zeros_(self.head.bias)
        if config.apertures:
            self.photometry = Apertures(config.image_size, self.softening)
            self.measured = started(nn.Linear(self.photometry.count, config.dim))

    def images(self, batch: Batch) -> Tensor:
        """The middle of the images, nanomaggy, (B, bands, S, S); pixels that are not finite are 0.

        Raises
        ------
        BadInput : they are smaller than that, or have other bands.
        """
        flux, size = batch[self.modality]["flux"], self.config.image_size
        if flux.shape[1] != len(self.softening):
            raise BadInput(f"images of {flux.shape[1]} bands; those of {self.modality} have {len(self.softening)}")
        edge = (flux.shape[-1] - size) // 2
        if edge < 0:
            raise BadInput(f"images of {flux.shape[-1]} pixels; the model sees {size} (image_size)")
        flux = flux[..., edge : edge + size, edge : edge + size]
        return torch.where(flux.isfinite(), flux, 0)

    def seen(self, flux: Tensor, side: int) -> Tensor:
        """Bands and colours (B, 2 bands - 1, side, side) of images, in units of the noise."""
        times = flux.shape[-1] // side
        if times > 1:
            flux = functional.avg_pool2d(flux, times) * times
        stretched = arcsinh_flux(flux, self.softening)
        return torch.cat([stretched / 2, stretched.diff(dim=1)], 1)

    def maps(self, flux: Tensor) -> Tensor:
        """Averages of the last block's maps in squares around the middle, (B, squares * channels)."""
        x = self.stem(self.seen(flux, flux.shape[-1]))
        for place, block in enumerate(self.blocks):
            if place in HALVED:
                x = functional.avg_pool2d(x, 2)
                if self.config.coarse:
                    x = torch.cat([x, self.seen(flux, x.shape[-1]).to(x.dtype)], 1)
            x = block(x)
        side = x.shape[-1]
        edges = [(side - max(side // times, 2 - side % 2)) // 2 for times in SQUARES]
        return torch.cat([x[..., e : side - e, e : side - e].float().mean((2, 3)) for e in edges], 1)

    def hidden(self, flux: Tensor, draws: Draws | None = None) -> Tensor:
        """What the head is given (B, dim), of images as `images` has them; with dropout from `draws`."""
        maps = self.maps(flux)
        numbers = self.photometry(flux) if self.config.apertures else None
        with torch.autocast(flux.device.type, enabled=False):
            x = self.dense(maps)
            if numbers is not None:
                x = x + self.measured(numbers)
            x = dropped(x.relu(), self.config.dropout, draws)
            return dropped(self.again(x).relu(), self.config.dropout, draws)

    def says(self, hidden: Tensor) -> Tensor:
        """The numbers of the density, (B, 3 components)."""
        with torch.autocast(hidden.device.type, enabled=False):
            return self.head(hidden)

    def embed(self, batch: Batch, name: str) -> Tensor:
        """What the head is given, (B, dim)."""
        return self.hidden(self.images(batch))

    def predict(self, batch: Batch, query: str) -> dict[str, Tensor]:
        """`z`, `z_lower`, `z_upper` and `posterior`."""
        flux = self.images(batch)
        views = range(8 if self.config.averaged else 1)
        says = [self.says(self.hidden(dihedral(flux, view))) for view in views]
        return redshift_density.said(redshift_density.averaged(says), self.config.level)

    def about(self, query: str) -> dict:
        """On which redshifts `posterior` is, and the level of the interval."""
        return {"level": self.config.level, "log_scale": redshift_density.LOG_SCALE}


class Objective(nn.Module):
    """Minus the log density of the redshifts that are known."""

    labels = redshift_density.LABELS
    begin_samples = 2000

    def __init__(self, model: Inception):
        super().__init__()
        self.model, self.inputs = model, model.inputs

    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Take mean and deviation of the fluxes in apertures from training galaxies."""
        if self.model.config.apertures:
            seen = self.model.photometry
            seen.standard.learn(torch.cat([seen.measured(self.model.images(batch)) for batch in batches]))

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model, flux = self.model, self.model.images(batch)
        if self.training and model.config.augment:
            flux = turned(flux, draws.integers(0, 8).to(flux.device))
        z = redshift_density.learned(batch.labels)
        says = model.says(model.hidden(flux, draws if self.training else None))
        return redshift_density.loss(says, z.nan_to_num(), z.isfinite()), {}


def started(layer: nn.Conv2d | nn.Linear):
    """A layer with weights for a ReLU after it (He et al. 2015), and no bias to begin with."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def dropped(x: Tensor, rate: float, draws: Draws | None) -> Tensor:
    """(B, dim) with numbers zeroed and the others scaled up; unchanged without `draws`."""
    if draws is None or not rate:
        return x
    return x * (draws.uniform(x.shape[1]) >= rate).to(x.device) / (1 - rate)
