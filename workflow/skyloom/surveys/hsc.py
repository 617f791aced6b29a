"""GalaxiesML: images of Hyper Suprime-Cam with redshifts, from its archive or from files of the user's own."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.section import refuse, setting
from skyloom.surveys.common import archives, files
from skyloom.surveys.common.archives import Addresses
from skyloom.surveys.common.files import FilesSettings


class HscSettings(FilesSettings):
    """Keys of a survey of kind `hsc`."""

    files: list[str] = setting([])
    "files in GalaxiesML's form, paths, patterns or URLs; without them those of `parts` at `addresses.galaxiesml`"
    pixels: Literal[64, 127] = setting(64)
    "side of the images of the archive's files"
    parts: Annotated[list[Literal[archives.GALAXIESML_SPLITS]], Field(min_length=1)] = setting(
        list(archives.GALAXIESML_SPLITS)
    )
    "the archive's files that are taken; `split.kind: published` keeps them apart"
    addresses: Addresses = setting(Addresses())
    "base URLs of the archives, of mirrors, or folders with a copy"
    modalities: Annotated[list[str], Field(min_length=1)] = setting(["hsc_image"])
    "what is taken of a galaxy"

    @model_validator(mode="after")
    def _there(self):
        for path in paths(self):
            if wrong := files.fault(path):
                raise refuse("files" if self.files else "addresses.galaxiesml", wrong)
        return self


def paths(settings: HscSettings) -> list[str]:
    """The files, or their URLs."""
    if settings.files:
        return settings.files
    base = settings.addresses.galaxiesml.rstrip("/")
    return [f"{base}/{archives.galaxiesml_file(settings.pixels, part)}" for part in settings.parts]


KIND = files.kind(
    HscSettings,
    ("hsc_image",),
    paths,
    citation=("Do et al. 2024, GalaxiesML, https://doi.org/10.5281/zenodo.11117528",),
)
