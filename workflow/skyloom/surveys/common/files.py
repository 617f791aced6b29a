"""Surveys made of files that hold samples already: spectra, images, or both, a row a galaxy.

The first modality of `SurveyKind.samples` is the one whose rows are the galaxies. Spectra are brought to one grid (part
files, a group of the user's files a job); images stay where they are, and galaxies.parquet says in which row of which
file. Images in the same files as the spectra are row by row those of the same galaxies; files of images of their own
are joined by position or by identifier. A kind of such a survey is one module: settings, and `kind` called with them.
"""

import functools
import glob
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings import layout
from skyloom.settings.kinds import SurveyKind
from skyloom.settings.names import IMAGES
from skyloom.settings.section import refuse, setting
from skyloom.settings.sharding import parts_of_shard
from skyloom.settings.survey import CrossMatch, Cut, Fractions, Grid, Split, SurveySettings
from skyloom.surveys.common import packaged, web
from skyloom.surveys.common.places import Catalog

PART_BYTES = 2**29
"""A job reads about as much: a large file has one for itself, small ones are read a thousand at a time."""
MADE = "raw:"
"""Before the name, below the survey's raw folder, of a file of samples that the workflow makes."""
KEYS = ("format", "columns", "grid", "minimum_good")
"""What a part of spectra depends on, besides its files."""


class FilesCrossMatch(CrossMatch):
    """How images that have files of their own come to the galaxies."""

    by: Literal["position", "identifier"] = setting("position")
    "identifier: an image is of the galaxy that its file calls the same (of Stein et al. the number that is a TARGETID)"


class FilesSplit(Split):
    """Train, validation and test."""

    kind: Literal["random", "healpix", "published"] = setting("random")
    "healpix: whole sky pixels go to one split; published: as the files have it, by their names or their order"
    fractions: Fractions = setting(Fractions())
    "shares of the three; of published splits without validation, validation / (train + validation) of train is it"


class FilesSettings(SurveySettings):
    """Keys of a survey of files."""

    files: Annotated[list[str], Field(min_length=1)] = setting()
    "paths of the user's files, patterns with * and **, URLs (#sha256=... verifies), or package:NAME/path (wheels.py)"
    images: list[str] = setting([])
    "files of Legacy images (g, r, z) of their own, named as `files`: joined to the galaxies by `crossmatch`"
    hsc_images: list[str] = setting([])
    "the same of HSC images (g, r, i, z, y)"
    hsc_size: int | None = setting(None, ge=8, le=512)
    "pixels kept from the centre of each HSC image; without it all"
    catalog: Catalog | None = setting(None)
    "tables with redshifts, classes, positions or labels of the objects"
    crossmatch: FilesCrossMatch = setting(FilesCrossMatch())
    "how images that have files of their own come to the galaxies"
    cuts: list[Cut] | None = setting(None)
    "of galaxies, by columns of galaxies.parquet (z, mag_r, ebv, log_mstar ...); without this key none"
    split: FilesSplit = setting(FilesSplit())
    "train, validation and test"

    @model_validator(mode="after")
    def _readable(self):
        if self.property_cuts is not None:
            raise refuse("property_cuts", "a survey of files has `cuts` for all columns of galaxies.parquet")
        given = {"files": self.files, "images": self.images, "hsc_images": self.hsc_images}
        given["catalog.files"] = self.catalog.files if self.catalog else ()
        for where, patterns in given.items():
            for pattern in patterns:
                if wrong := fault(pattern):
                    raise refuse(where, wrong)
        self._no_packaged_images()
        return self

    def _no_packaged_images(self):
        for modality in set(IMAGES) & set(self.modalities):
            where = f"{'' if modality == 'image' else 'hsc_'}images"
            for pattern in getattr(self, where) or self.files:
                if packaged.is_packaged(pattern):
                    raise refuse(where if getattr(self, where) else "files", f"'{pattern}': no images out of packages")


class WithSpectra(FilesSettings):
    """Keys of a survey of files with spectra."""

    grid: Grid = setting(Grid())
    "the pixels that all spectra are brought to; models see these"
    files_per_part: int = setting(1000, ge=1)
    "files that one job reads, at most (and not more than about 512 MB)"
    minimum_good: float = setting(0.1, ge=0, le=1)
    "least share of the grid's pixels that are good in a spectrum, or of an image's in each band"


def fault(pattern: str) -> str:
    """What is wrong with a path, pattern or URL; empty if nothing is."""
    if packaged.is_packaged(pattern):
        return packaged.fault(pattern)
    if web.is_url(pattern):
        return web.fault(pattern)
    return "" if matching(pattern) else f"'{pattern}' matches no file"


def comes_later(path: str) -> bool:
    """Whether a file may have to be made or fetched first, by whatever name a survey knows it."""
    made = path.startswith(MADE) or layout.of_pairs(path)
    return bool(made) or packaged.is_packaged(path) or web.is_url(path)


def place(path: str, survey: str = "") -> str:
    """Where a file is once it is there, of a survey: of those inside a package the package."""
    if path.startswith(MADE):
        return f"{layout.survey_folder(survey)}/raw/{path.removeprefix(MADE)}"
    return web.place(path) if web.is_url(path) else packaged.archive(path)


@functools.cache
def matching(pattern: str) -> tuple[str, ...]:
    """The files that a path or pattern names, sorted; of those that may come later the pattern itself."""
    if comes_later(pattern) or os.path.isfile(pattern):
        return (pattern,)
    return tuple(sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)))


def named_by(patterns: Sequence[str]) -> list[str]:
    """The files that patterns name, sorted, each once."""
    return sorted({path for pattern in patterns for path in matching(pattern)})


def parts(paths: Sequence[str], most: int) -> tuple[tuple[str, ...], ...]:
    """The files of every part: in order, at most `most`, and at most PART_BYTES unless it is one; what a pattern names
    inside a package is a part of its own, and what is not here yet."""
    return _parts(tuple(paths), most, PART_BYTES)


@functools.cache
def _parts(paths: tuple[str, ...], most: int, largest: int) -> tuple[tuple[str, ...], ...]:
    found: list[list[str]] = []
    room = 0
    for path in paths:
        size = largest if comes_later(path) else os.path.getsize(path)
        if not found or len(found[-1]) == most or size > room:
            found.append([])
            room = largest
        found[-1].append(path)
        room -= size
    return tuple(map(tuple, found))


def parts_of(samples: Mapping[str, Sequence[str]], settings: FilesSettings) -> tuple[tuple[str, ...], ...]:
    """The user's files by part: groups of files of spectra, or of images each file."""
    own, paths = next(iter(samples.items()))
    return parts(paths, getattr(settings, "files_per_part", 1)) if own == "spectrum" else tuple((p,) for p in paths)


def beside(samples: Mapping[str, Sequence[str]], modality: str) -> bool:
    """Whether the samples of a modality have files of their own, beside those whose rows are the galaxies."""
    return list(samples[modality]) != list(next(iter(samples.values())))


def files_of_shard(samples: Mapping, groups: Sequence, modality: str, shards: int, shard: int) -> list[str]:
    """The user's files with the samples of a modality for the galaxies of a shard, given the files of every part; of
    files that are joined to the galaxies all, since any may hold any of them."""
    if beside(samples, modality):
        return list(samples[modality])
    return [path for number in parts_of_shard(len(groups), shards, shard) for path in groups[number]]


def tables(settings: SurveySettings) -> list[str]:
    """The user's tables of what is known of the objects."""
    catalog = getattr(settings, "catalog", None)
    return named_by(catalog.files if catalog else ())


def kind(
    settings: type[FilesSettings],
    own: Sequence[str],
    files: Callable[[FilesSettings], Sequence[str]] = lambda settings: settings.files,
    **more,
) -> SurveyKind:
    """A kind of survey of files.

    Parameters
    ----------
    own : the modalities that its files may hold, that whose rows are the galaxies first
    files : settings -> paths, patterns and URLs of its files
    more : of `SurveyKind`
    """

    def samples(given: FilesSettings) -> dict[str, list[str]]:
        found = {modality: named_by(files(given)) for modality in own}
        apart = {"image": given.images, "hsc_image": given.hsc_images}
        return found | {modality: named_by(patterns) for modality, patterns in apart.items() if patterns}

    def raw_files(given: FilesSettings) -> dict[str, list[str]]:
        if own[0] != "spectrum":
            return {}
        return {"spectra": [f"spectra/spectra-{part:04d}.h5" for part in range(len(parts_of(samples(given), given)))]}

    return SurveyKind(settings=settings, raw_files=raw_files, samples=samples, tables=tables, keys=KEYS, **more)
