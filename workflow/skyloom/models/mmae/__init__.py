"""MMAE: a multi-modal masked autoencoder of HSC images and DESI spectra that says the redshift too (Himes+ 2025)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.formats.hsc import BANDS
from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import JOINT
from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import Grid, check_grid

IMAGE, SPECTRUM = "hsc_image", "spectrum"
Share = Annotated[float, Field(ge=0, le=1)]

PUBLISHED = {
    **{"image_size": 64, "patch": 8, "pooled": 30, "slice": 8, "dim": 256, "layers": 4, "heads": 8, "fusion": 4},
    **{"dropout": 0.1, "hidden": "zero", "decoder": "pooled", "redshift": "point", "norm": "after"},
    **{"stretch": "counts", "spectra": "averages", "lines": False, "stem": 0, "apertures": []},
    **{"turned": False, "exposure": 1.0, "shift": 0.0, "flags": False},
    **{"image_weight": 0.1, "spectrum_weight": 0.01, "redshift_weight": 1.0, "alone_weight": 0.0, "gamma": 0.15},
    "masks": {"image": [0.75, 0.75], "spectrum": [0.75, 0.75], "no_spectrum": 0.5, "no_image": 0.0, "band": 0.0},
}
"""The shape of the paper and its public code, about 16.4 million weights."""


class Query(Section):
    """How much of a galaxy is hidden when its redshift, and what is hidden, is asked for."""

    image: Share = setting(0.0)
    "share of the image's tokens that are hidden, which ones by a hash of the galaxy; 1: all"
    spectrum: Share = setting(0.0)
    "the same of the spectrum's; its mean and scale are those of all its pixels, as published"
    bands: list[Literal[BANDS]] = setting(list(BANDS), min_length=1)
    "of the image that are shown"
    level: float = setting(0.9, gt=0, lt=1)
    "of the redshift's interval, of a model that says a density"
    reconstruct: list[Literal[IMAGE, SPECTRUM]] = setting([])
    "what is drawn up again besides, as the network sees it: columns `hsc_image`, `spectrum`"
    samples: int = setting(0, ge=0)
    "spectra drawn for what is shown, noise and all, of a model with a generator: column `spectrum_samples`"

    @model_validator(mode="after")
    def _something(self):
        if self.image == 1 and self.spectrum == 1:
            raise refuse("image", "1 is not allowed with spectrum: 1; nothing would be shown")
        return self


class Masks(Section):
    """What is hidden in training. A range is drawn from for each galaxy; two equal ends are one share."""

    image: Annotated[list[Share], Field(min_length=2, max_length=2)] = setting([0.0, 1.0])
    "least and largest share of the image's tokens; [.75, .75] as published"
    spectrum: Annotated[list[Share], Field(min_length=2, max_length=2)] = setting([0.0, 1.0])
    "the same of the spectrum's"
    no_spectrum: Share = setting(0.4)
    "how often the whole spectrum is hidden, a coin for each galaxy; .5 as published"
    no_image: Share = setting(0.4)
    "how often the whole image is hidden, where the spectrum is not; 0 as published"
    band: Share = setting(0.1)
    "how often a band is missing, each for itself; 0 as published"

    @model_validator(mode="after")
    def _ordered(self):
        for key in ("image", "spectrum"):
            low, high = getattr(self, key)
            if low > high:
                raise refuse(key, f"[{low:g}, {high:g}] is not allowed; expected [least, largest]")
        return self


class Config(Section):
    """Tokens, layers and heads."""

    image_size: int = setting(64, ge=8)
    "pixels a side of the middle of an image that is seen"
    patch: int = setting(8, ge=1)
    "pixels a side of an image's token"
    grid: Grid = setting(Grid())
    "of the survey's spectra"
    spectra: Literal["averages", "velocity"] = setting("velocity")
    "averages of pixels, standardised, as published; or bins of equal velocity in units of their noise, arcsinh of them"
    pooled: int = setting(30, ge=1)
    "pixels of a spectrum that are averaged into one, of spectra: averages"
    velocity: float = setting(300.0, gt=0)
    "km/s, width of a bin, of spectra: velocity"
    lines: bool = setting(True)
    "of spectra: velocity, what is seen of a bin is also how far it is from the mean of those near it that are shown"
    continuum: float = setting(18_900.0, gt=0)
    "km/s, width of that mean"
    stem: int = setting(16, ge=0)
    "channels of convolutions over what is shown of spectra: velocity, beside it: what finds a line finds it anywhere"
    slice: int = setting(30, ge=1)
    "averages or bins in a token; published: 8 averages"
    dim: int = setting(256, ge=1)
    "width"
    layers: int = setting(4, ge=1)
    "of each modality's encoder"
    heads: int = setting(8, ge=1)
    "of attention"
    fusion: int = setting(4, ge=0)
    "blocks in which image and spectrum attend to each other, with one set of weights for both directions"
    norm: Literal["before", "after"] = setting("before")
    "where layers are normalised; after as published"
    dropout: float = setting(0.0, ge=0, lt=1)
    "in all layers; published: .1. Only where hidden tokens are zero: otherwise those that are left out do its work"
    hidden: Literal["zero", "drop"] = setting("drop")
    "hidden tokens are zero, as published, or do not enter the encoders at all"
    decoder: Literal["pooled", "tokens"] = setting("tokens")
    "what is hidden is drawn up from one pooled vector, as published, or attends to what is shown"
    redshift: Literal["point", "density", "product"] = setting("product")
    "one number, as published; a mixture of Gaussians in ln(1+z); or that times the match of rest-frame templates"
    components: int = setting(6, ge=1)
    "of that mixture, of redshift: density and product"
    templates: int = setting(8, ge=1)
    "of each kind, of redshift: product; hidden spectra are drawn with as many, which lie where the redshift puts them"
    stretch: Literal["counts", "arcsinh"] = setting("arcsinh")
    "pixels as counts of zero point 27, as published, or arcsinh of the flux over the noise"
    apertures: list[Annotated[float, Field(gt=0)]] = setting([0.6, 1.2, 2.4, 4.0])
    "arcsec, radii of circles: a token more says how much of the light in them is shown, in each band; [] as published"
    flags: bool = setting(True)
    "tokens of an image say which bands are there; false as published"
    turned: bool = setting(True)
    "images are flipped and rotated in training; false as published"
    exposure: float = setting(0.005, gt=0, le=1)
    "least share of its exposure to which noise may shorten a spectrum in training; 1, as published: no noise is added"
    shift: float = setting(0.06, ge=0)
    "in training, spectra: velocity without an image are moved by at most this much in ln(1 + z); 0 as published"
    generator: int = setting(0, ge=0)
    "layers that draw spectra from noise, given what is shown; they change nothing else. 0, as published: none"
    masks: Masks = setting(Masks())
    "what is hidden in training"
    image_weight: float = setting(0.1, ge=0)
    "of the image's loss"
    spectrum_weight: float = setting(0.01, ge=0)
    "of the spectrum's loss"
    redshift_weight: float = setting(1.0, ge=0)
    "of the redshift's loss"
    alone_weight: float = setting(0.0, ge=0)
    "of the redshift's loss of the whole image by itself, in every step besides; 0 as published"
    gamma: float = setting(0.15, gt=0)
    "error in (z - z') / (1 + z') at which the loss of redshift: point is half of its largest"

    @model_validator(mode="after")
    def _fits(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        if self.image_size % self.patch:
            raise refuse("patch", f"{self.patch} does not divide image_size {self.image_size}")
        if self.redshift == "product" and self.spectra != "velocity":
            raise refuse("redshift", "product is not allowed with spectra: averages; a redshift is no shift of these")
        if self.convolves and self.slice % 2:
            raise refuse("slice", f"{self.slice} is odd; expected an even number of bins with stem: {self.stem}")
        if self.hidden == "drop" and self.dropout:
            raise refuse("dropout", f"{self.dropout:g} is not allowed with hidden: drop; expected 0")
        return self

    @property
    def convolves(self) -> bool:
        """Whether there are convolutions over spectra."""
        return bool(self.stem) and self.spectra == "velocity"


def check(model, survey) -> None:
    """The survey's spectra have the model's pixels, its images are large enough, what draws has a generator."""
    for name, query in model.asked.items():
        if query.samples and not model.settings.generator:
            where = f"models.{model.name}.queries.{name}.samples"
            raise BadConfig(f"{where}: {query.samples} is not allowed; the model has no generator")
    check_grid(model, survey)
    size = getattr(survey.settings, "hsc_size", None)
    if IMAGE in survey.settings.modalities and size and size < model.settings.image_size:
        where = f"models.{model.name}.model.image_size"
        raise BadConfig(f"{where}: {model.settings.image_size} is not allowed; the images of {survey.name} have {size}")


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.mmae.network:Mmae",
    objective="skyloom.models.mmae.objective:Objective",
    takes="several",
    modalities=(IMAGE, SPECTRUM),
    training={"batch_size": 256, "learning_rate": 1e-4, "weight_decay": 0.01, "clip": 1.0, "incomplete": "keep"},
    embeddings=lambda model: (JOINT,),
    asks=Query,
    reconstructs=True,
    asked_of=lambda query: [name for name, share in ((IMAGE, query.image), (SPECTRUM, query.spectrum)) if share < 1],
    gives_redshift=True,
    hides={IMAGE: "image", SPECTRUM: "spectrum"},
    free=(
        "masks",
        "dropout",
        "turned",
        "exposure",
        "shift",
        "image_weight",
        "spectrum_weight",
        "redshift_weight",
        "alone_weight",
        "gamma",
    ),
    check=check,
)
