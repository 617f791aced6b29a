"""AION-1 (Parker et al. 2025, arXiv 2510.17960) with its published weights: embeddings of images and spectra.

An image and a spectrum become discrete tokens (`image`, `spectrum`: the encoding halves of the published codecs), which
one transformer encodes (`network`). Decoders, and the tokens of the other 37 modalities, are not here.
"""

from typing import Literal

from skyloom.models.common.published import HUB, File, WithGrid, check
from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import JOINT
from skyloom.settings.section import Section, setting

BASE = f"{HUB}/aion-base/resolve/main"
SIDE = 96
"""Pixels of the images that the published codec takes."""


class Files(Section):
    """Where the weights are; their sha256 are not known here: state them after # when you have them."""

    transformer: File = setting(f"{BASE}/model.safetensors")
    "of the transformer (1.3 GB, MIT)"
    image: File = setting(f"{BASE}/codecs/image/model.safetensors")
    "of the codec of images"
    spectrum: File = setting(f"{BASE}/codecs/spectrum/model.safetensors")
    "of the codec of spectra"


class Transformer(Section):
    """What the weights do not tell; layers, widths, gates and norms of queries and keys are read off them."""

    heads: int = setting(12, ge=1)
    "attention heads; of the large model 16, of the extra large 32"
    activation: Literal["silu", "gelu"] = setting("silu")
    "of the MLPs"
    tokens: int = setting(0, ge=0)
    "the first so many tokens are encoded, the public code's default being 256; 0: all"
    spectra: Literal["desi", "sdss"] = setting("desi")
    "which survey's spectra these are taken for"
    shape: dict = setting({})
    "read off the weights"


class ImageCodec(Section):
    """What the weights of the codec of images do not tell."""

    range_compression: float = setting(0.01, gt=0)
    "nanomaggy at which the stretch turns logarithmic"
    factor: float = setting(10.0, gt=0)
    "after it"
    size: int = setting(SIDE, ge=4)
    "side of the images, pixels"
    shape: dict = setting({})
    "read off the weights"


class SpectrumCodec(Section):
    """What the weights of the codec of spectra do not tell."""

    largest_ivar: float = setting(100.0, gt=0)
    "inverse variances are cut here"
    largest_flux: float = setting(0.0, ge=0)
    "fluxes are cut here; 0: not"
    scaling: float = setting(0.2, gt=0)
    "of normalised flux and its error"
    shape: dict = setting({})
    "read off the weights"


class Config(WithGrid):
    """Where the weights are, and what they do not tell."""

    weights: Files = setting(Files())
    "paths or URLs#sha256=... of the files of aion-base, aion-large or aion-xlarge"
    transformer: Transformer = setting(Transformer())
    "of tokens"
    image: ImageCodec = setting(ImageCodec())
    "images to tokens"
    spectrum: SpectrumCodec = setting(SpectrumCodec())
    "spectra to tokens"


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.aion.network:AION",
    takes="several",
    modalities=("image", "spectrum"),
    embeddings=lambda model: (*model.takes, JOINT),
    weights=lambda settings: settings.weights.plain(),
    reads="skyloom.models.aion.read:read_aion",
    training={"steps": 0},
    check=lambda model, survey: check(model, survey, model.settings.image.size),
)
