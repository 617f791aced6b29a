"""Principal components of normalised spectra or stretched images: the baseline that needs no network.

Components are ordered by explained variance, so the first k columns of an embedding are the PCA with k components: a k
can be chosen later, on the validation split.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from skyloom.core.errors import BadInput
from skyloom.nn.images import arcsinh_flux
from skyloom.nn.spectra import normalise
from skyloom.tokens.images import centre_crop

INPUTS = {"spectrum": ("flux", "ivar"), "image": ("rgb",), "hsc_image": ("flux",)}
SIDES = {"spectrum": 7781, "image": 96, "hsc_image": 64}  # pixels of a sample, or of its side, unless the config says
CHANNELS = {"image": 3, "hsc_image": 5}


@dataclass(frozen=True)
class Config:
    """Shape of a PCA.

    Attributes
    ----------
    modality : "spectrum" (z-scored flux), "image" (rgb) or "hsc_image" (arcsinh of the flux in five bands)
    pixels : pixels of a spectrum, or side of the central part of an image that is used; 0 for all of SIDES
    components : how many are kept
    samples : at most this many training galaxies are used for the fit (they are held in memory)
    std_floor : see `skyloom.nn.spectra.normalise`
    """

    modality: Literal["spectrum", "image", "hsc_image"] = "spectrum"
    pixels: int = 0
    components: int = 64
    samples: int = 4096
    std_floor: float = 0.2

    @property
    def side(self) -> int:
        """`pixels`, or its default for the modality."""
        return self.pixels or SIDES[self.modality]

    @property
    def width(self) -> int:
        """Numbers in a sample."""
        return self.side if self.modality == "spectrum" else CHANNELS[self.modality] * self.side**2


TRAINING = {"steps": 0}


class PCA(nn.Module):
    """Samples to components. A batch holds flux and ivar (B, pixels), or rgb (B, 3, S, S), or flux (B, 5, S, S)."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.inputs = {config.modality: INPUTS[config.modality]}
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("directions", torch.zeros(config.components, config.width))
        self.register_buffer("explained_variance_ratio", torch.zeros(config.components))

    def vectors(self, batch: dict[str, Tensor]) -> Tensor:
        """What the components describe, (B, width)."""
        if self.config.modality == "spectrum":
            return normalise(batch["flux"], batch["ivar"], self.config.std_floor)[0]
        if self.config.modality == "hsc_image":
            return arcsinh_flux(centre_crop(batch["flux"], self.config.side)).flatten(1)
        return centre_crop(batch["rgb"], self.config.side).flatten(1)

    def embed(self, batch: dict[str, Tensor], modality: str = "") -> Tensor:
        """Components, (B, components), the one with the largest variance first."""
        return (self.vectors(batch) - self.mean) @ self.directions.T

    def tokens(self, batch: dict[str, Tensor]) -> Tensor:
        """The embedding as a single token, (B, 1, components)."""
        return self.embed(batch)[:, None]

    def fit(self, vectors: Tensor) -> None:
        """Take mean and components from (N, width) vectors, which are overwritten (they can be large).

        Randomised subspace iteration (Halko et al. 2011), so that cost is linear in N and width; the sign of a
        component is such that its largest loading is positive. The caller seeds torch.
        """
        count = self.config.components
        if len(vectors) <= count:
            raise BadInput(f"pca: {len(vectors)} training samples, but components: {count} needs at least {count + 1}")
        self.mean.copy_(vectors.mean(0))
        vectors -= self.mean
        _, values, directions = torch.svd_lowrank(vectors, q=min(count + 16, *vectors.shape), niter=6)
        directions = directions[:, :count].T
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        self.directions.copy_(directions * largest.sign())
        self.explained_variance_ratio.copy_(values[:count].square() / vectors.square().sum())
