"""Images of the Legacy Surveys alone: the cutouts of Stein et al., from a folder, an address or files named one by one.

North and south have files of the same names: paths tell them apart. Source: github.com/georgestein/ssl-legacysurvey.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.section import setting
from skyloom.surveys import archives, files
from skyloom.surveys.archives import Addresses
from skyloom.surveys.files import FilesSettings


class LegacySettings(FilesSettings):
    """Keys of a survey of kind `legacy`."""

    source: Literal["stein"] = setting("stein")
    "which images: files of cutouts in the form of Stein et al."
    files: Annotated[list[str], Field(min_length=1)] = setting()
    "north/images_npix152_000000000_001000000.h5 ..., below `addresses.stein` if that is given; patterns; URLs"
    addresses: Addresses = setting(Addresses())
    "base URLs of the archives, of mirrors, or folders with a copy"
    modalities: Annotated[list[str], Field(min_length=1)] = setting(["image"])
    "what is taken of a galaxy"

    @model_validator(mode="before")
    @classmethod
    def _below_the_address(cls, given):
        base = (given.get("addresses") or {}).get("stein") if isinstance(given, dict) else None
        named = given.get("files") if base else None
        if not isinstance(base, str) or not base or not isinstance(named, list):
            return given
        return {**given, "files": [archives.below(base, name) for name in named]}


KIND = files.kind(
    LegacySettings,
    ("image",),
    citation=(
        "Stein et al. 2021, Self-supervised similarity search, https://arxiv.org/abs/2110.13151",
        "Dey et al. 2019, Overview of the DESI Legacy Imaging Surveys, https://doi.org/10.3847/1538-3881/ab089d",
    ),
)
