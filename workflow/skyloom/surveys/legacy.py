"""Images of the Legacy Surveys alone: cutouts of Stein et al., or cutouts at a user's own positions.

Files of Stein et al. are in a folder, at an address, or named one by one; north and south have files of the same names:
paths tell them apart (github.com/georgestein/ssl-legacysurvey). Positions are cut out by the Legacy Surveys' viewer, a
request each, or out of whole bricks; as many files as there are shards, in the layout of Stein et al.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.listing import Listed
from skyloom.settings.section import Section, refuse, setting
from skyloom.surveys.common import archives, bricks, files
from skyloom.surveys.common.archives import Access, Addresses
from skyloom.surveys.common.files import FilesSettings


class Positions(Section):
    """A table of the user's own; columns by their names, upper or lower case."""

    file: str = setting()
    "FITS, Parquet, CSV, ECSV or VOTable, by the ending of its name"
    ra: str = setting("ra")
    "degrees"
    dec: str = setting("dec")
    "degrees"
    identifier: str | None = setting(None)
    "what a galaxy is called; without it the number of the row"
    redshift: str | None = setting(None)
    "known redshift"


class LegacySettings(FilesSettings):
    """Keys of a survey of kind `legacy`."""

    source: Literal["stein", "ls-dr9", "ls-dr10", "bricks-dr9", "bricks-dr10"] = setting("stein")
    "which images: `files` in the form of Stein et al.; at `positions`: layers of the viewer, or whole bricks"
    files: list[str] = setting([])
    "north/images_npix152_000000000_001000000.h5 ..., below `addresses.stein` if that is given; patterns; URLs"
    positions: Positions | None = setting(None)
    "where images are cut out, of other sources than stein"
    addresses: Addresses = setting(Addresses())
    "base URLs of the archives, of mirrors, or folders with a copy"
    access: Access = setting(Access())
    "how they are asked"
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

    @model_validator(mode="after")
    def _one_source(self):
        stein = self.source == "stein"
        if stein and not self.files:
            raise refuse("files", "the key is missing; source stein needs files (or set `source` and `positions`)")
        if stein == (self.positions is not None):
            words = "takes `files`, not `positions`" if stein else "needs `positions`, a table with ra and dec"
            raise refuse("positions", f"source {self.source} {words}")
        if not stein and self.files:
            raise refuse("files", f"source {self.source} takes `positions`, not `files`")
        if self.positions and not os.path.isfile(self.positions.file):
            raise refuse("positions.file", f"'{self.positions.file}' is no file")
        return self


def made_files(settings: LegacySettings) -> list[str]:
    """The files of cutouts at the user's positions, below the raw folder: one a shard."""
    return [f"images/positions-{shard:04d}.h5" for shard in range(settings.shards if settings.positions else 0)]


def shard_of_file(name: str) -> int:
    """The number in the name of such a file."""
    return int(re.search(r"(\d+)\.h5$", name)[1])


def fetch(settings: Mapping, seed: int, name: str, path: str | os.PathLike) -> None:
    """Make one file of cutouts."""
    from skyloom.surveys.common import cutouts

    cutouts.at_positions(settings, shard_of_file(name), os.fspath(path).removesuffix(name), path)


def planned(settings: Mapping) -> list[Listed]:
    """The files of cutouts, how many galaxies are in each, and the bricks they come from."""
    from skyloom.surveys.common import cutouts

    if not settings.get("positions"):
        return []
    found = []
    for shard in range(settings["shards"]):
        rows = cutouts.rows_of_shard(settings, shard)
        parts = tuple(sorted({str(brick) for brick in rows["brick"]} - {""}))
        found.append(Listed("images", f"images/positions-{shard:04d}.h5", len(rows), "", "", parts))
    return found


def url(name: str, settings: Mapping) -> str:
    """Where an archive has the image of a brick; "" for cutouts."""
    return bricks.url(name, settings["addresses"])


_STEIN = files.kind(
    LegacySettings,
    ("image",),
    citation=(
        "Stein et al. 2021, Self-supervised similarity search, https://arxiv.org/abs/2110.13151",
        "Dey et al. 2019, Overview of the DESI Legacy Imaging Surveys, https://doi.org/10.3847/1538-3881/ab089d",
    ),
)

KIND = dataclasses.replace(
    _STEIN,
    raw_files=lambda settings: {"images": made_files(settings)},
    samples=lambda settings: (
        {"image": [f"{files.MADE}{name}" for name in made_files(settings)]}
        if settings.positions
        else _STEIN.samples(settings)
    ),
    made_from=lambda settings: [settings.positions.file] if settings.positions else [],
    fetch="skyloom.surveys.legacy:fetch",
    planned="skyloom.surveys.legacy:planned",
    parts=bricks.files,
    url="skyloom.surveys.legacy:url",
    keys=(*_STEIN.keys, "source", "positions", "shards"),
    access=("addresses", "access"),
)
