"""Principal components of normalised spectra, stretched images or standardised vectors: the baseline without a network.

Components are ordered by explained variance, so the first k columns of an embedding are the PCA with k components: a k
can be chosen later, on the validation split.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.pca import Config
from skyloom.nn.batch import Batch
from skyloom.nn.images import arcsinh_flux
from skyloom.nn.spectra import normalise, shrinkage
from skyloom.tokens.crops import centre_crop

INPUTS = {"spectrum": ("flux", "ivar"), "image": ("rgb",), "hsc_image": ("flux",)}
VECTORS = ("values",)
"""Datasets of a modality that is not in INPUTS: numbers, each standardised by its own mean and deviation."""


class PCA(nn.Module):
    """Samples of one modality to components. How many numbers a sample has is taken from the data at the fit.

    Datasets: flux and ivar (B, pixels) of spectra, rgb (B, 3, S, S) of images, flux (B, 5, S, S) in nanomaggy of HSC
    images, values (B, D) of all others.
    """

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, self.width = config, config.components
        (self.modality,) = takes
        self.inputs = {self.modality: INPUTS.get(self.modality, VECTORS)}
        self.fit_samples = config.samples
        # empty until fitted; a saved PCA brings the shapes (`_load_from_state_dict`)
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("directions", torch.zeros(config.components, 0))
        self.register_buffer("explained_variance_ratio", torch.zeros(config.components))
        if self.inputs[self.modality] == VECTORS:
            self.register_buffer("scale", torch.ones(0))

    def _load_from_state_dict(self, state_dict, prefix, *arguments):
        for name, _ in self.named_buffers(recurse=False):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def vectors(self, batch: Batch) -> Tensor:
        """What the components describe, (B, numbers)."""
        c, sample = self.config, batch[self.modality]
        if self.modality == "spectrum":
            flux, ivar = (self._first(sample[name]) for name in ("flux", "ivar"))
            if c.normalise == "zscore":
                return normalise(flux, ivar, c.std_floor)[0]
            return normalise(flux, ivar, c.std_floor, weighted=True)[0] * shrinkage(ivar)
        if self.inputs[self.modality] == VECTORS:
            return self._first(sample["values"])
        (name,) = self.inputs[self.modality]
        images = sample[name]
        images = centre_crop(images, c.pixels) if c.pixels else images
        return (arcsinh_flux(images) if name == "flux" else images).flatten(1)

    def _first(self, values: Tensor) -> Tensor:
        """The first `pixels` of (B, D), or all."""
        pixels, there = self.config.pixels, values.shape[1]
        if pixels > there:
            raise BadConfig(f"pixels: {pixels} is not allowed; {self.modality} has {there}")
        return values[:, :pixels] if pixels else values

    def embed(self, batch: Batch, name: str) -> Tensor:
        """Components, (B, components), the one with the largest variance first."""
        centred = self.vectors(batch) - self.mean
        if "scale" in self._buffers:
            centred = centred / self.scale
        return centred @ self.directions.T

    def tokens(self, batch: Batch) -> Tensor:
        """The embedding as a single token, (B, 1, components)."""
        return self.embed(batch, self.modality)[:, None]

    def fit(self, batches: Iterable[Batch]) -> list[dict]:
        """Take mean and components from training galaxies; the explained variance of the first 1, 2, ... of them."""
        self.decompose(torch.cat([self.vectors(batch) for batch in batches]))
        total = self.explained_variance_ratio.cumsum(0).tolist()
        return [{"component": i + 1, "split": "train", "explained_variance": value} for i, value in enumerate(total)]

    def decompose(self, vectors: Tensor) -> None:
        """Take mean and components from (N, numbers) vectors, which are overwritten (they can be large).

        Randomised subspace iteration (Halko et al. 2011), so that cost is linear in N and width; the sign of a
        component is such that its largest loading is positive. The caller seeds torch.
        """
        count = self.config.components
        samples, numbers = vectors.shape
        if samples <= count:
            raise BadInput(f"pca: {samples} training samples, but components: {count} needs at least {count + 1}")
        if numbers < count:
            raise BadConfig(
                f"components: {count} is not allowed; must be at most {numbers}, the numbers of {self.modality}"
            )
        self.mean = vectors.mean(0)
        vectors -= self.mean
        if "scale" in self._buffers:
            deviation = vectors.square().mean(0).sqrt()
            self.scale = torch.where(deviation > 1e-6 * self.mean.abs(), deviation, 1)  # constant but for rounding: 0
            vectors /= self.scale
        _, values, directions = torch.svd_lowrank(vectors, q=min(count + 16, *vectors.shape), niter=6)
        directions = directions[:, :count].T
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        self.directions = directions * largest.sign()
        self.explained_variance_ratio = values[:count].square() / vectors.square().sum()
