"""What all surveys share: the keys of an entry of `surveys`."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.settings.names import IMAGES
from skyloom.settings.section import Section, reference, refuse, setting

SPEED_OF_LIGHT = 299792.458  # km/s
Modality = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
OPERATORS = ("equals", "at_least", "at_most", "above", "below", "in", "finite")
"""What a cut may ask of a column."""


class Cut(Section):
    """A quality cut: a name, a column and one operator."""

    name: str = setting()
    "what the flow table calls it"
    column: str = setting()
    "of the catalogue"
    equals: bool | int | float | str | None = setting(None)
    "the one value that passes"
    at_least: float | None = setting(None)
    "least value that passes"
    at_most: float | None = setting(None)
    "largest value that passes"
    above: float | None = setting(None)
    "values above it pass"
    below: float | None = setting(None)
    "values below it pass"
    among: list[bool | int | float | str] | None = Field(None, alias="in")
    "values that pass"
    finite: Literal[True] | None = setting(None)
    "numbers that are finite pass"

    @model_validator(mode="after")
    def _one_operator(self):
        given = [name for name in OPERATORS if getattr(self, "among" if name == "in" else name) is not None]
        if len(given) != 1:
            raise refuse("", f"cut '{self.name}' has {len(given)} operators; expected one of {', '.join(OPERATORS)}")
        return self


class Dask(Section):
    """Who works on a cross-match by LSDB; the pairs do not depend on it."""

    where: Literal["local", "slurm"] = setting("local")
    "threads of the job, or Slurm jobs that the job submits (dask-jobqueue); these are for hundreds of millions"
    workers: int = setting(1, ge=1)
    "threads of the job, or Slurm jobs"
    threads: int = setting(8, ge=1)
    "of each Slurm job"
    memory: str = setting("32GB", pattern=r"^\d+ ?[KMGT]i?B$")
    "of each Slurm job, as 32GB"
    walltime: str = setting("04:00:00", pattern=r"^(\d+-)?\d+:\d\d(:\d\d)?$")
    "of each Slurm job"
    queue: str | None = setting(None)
    "partition of the cluster"
    account: str | None = setting(None)
    "who pays"


class CrossMatch(Section):
    """How images come to spectra."""

    by: Literal["position", "key"] = setting("position")
    "key: a Legacy image is of the source (RELEASE, BRICKID, BRICK_OBJID) that the spectrum was targeted as, wherever"
    radius_arcsec: float = setting(1.0, gt=0, le=60)
    "spectra and images further apart are different objects"
    one_to_one: bool = setting(True)
    "an image belongs to one spectrum at most"
    require: list[Literal[IMAGES]] | None = setting(None)
    "kinds of image without which a galaxy is dropped; without this key, all among the modalities"
    lsdb_above: int | None = setting(50_000_000, ge=0)
    "rows of two catalogues together above which LSDB matches them, in partitions (extra 'hats'); null: never"
    dask: Dask = setting(Dask())
    "who works on that"

    def how(self) -> dict:
        """What of it says how pairs are found, not which: results do not depend on it."""
        return {key: value for key, value in self.plain().items() if key in ("lsdb_above", "dask")}


class Fractions(Section):
    """Shares of the galaxies; together 1."""

    train: float = setting(0.8, ge=0, le=1)
    "share that models learn from"
    validation: float = setting(0.1, ge=0, le=1)
    "share that choices are made on"
    test: float = setting(0.1, ge=0, le=1)
    "share that is scored once"


class Grid(Section):
    """The pixels of spectra, all of one width; without a word those of DESI."""

    start: float = setting(3600.0, gt=0)
    "Angstrom in vacuum, centre of the first pixel"
    step: float = setting(0.8, gt=0)
    "Angstrom a pixel"
    pixels: int = setting(7781, ge=2, le=100_000)
    "how many"

    @property
    def span(self) -> tuple[float, float]:
        """The outer edges of the outer pixels, Angstrom."""
        return self.start - self.step / 2, self.start + self.step * (self.pixels - 0.5)


def velocity_bins(first: float, last: float, velocity: float) -> int:
    """How many bins of `velocity` km/s there are between two wavelengths."""
    return int(math.log(last / first) * SPEED_OF_LIGHT / velocity)


Separation = Annotated[float, Field(ge=0, le=3600)] | Literal["crop"]


class Split(Section):
    """Train, validation and test."""

    kind: Literal["random", "healpix"] = setting("random")
    "healpix: whole sky pixels go to one split"
    nside: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096] = setting(256)
    "of those pixels"
    fractions: Fractions = setting(Fractions())
    "shares of the three"
    separation_arcsec: Separation = setting(1.0)
    "galaxies closer than this are never in two splits (0 to 3600); crop: those whose images overlap"

    @model_validator(mode="after")
    def _whole(self):
        total = self.fractions.train + self.fractions.validation + self.fractions.test
        if abs(total - 1) > 1e-6:
            raise refuse("fractions", f"the fractions add up to {total:g}; they must add up to 1")
        return self


class SurveySettings(Section):
    """An entry of `surveys`; a kind adds its own keys."""

    kind: str = setting()
    "the module of `skyloom/surveys` behind it, or one of your own"
    modalities: Annotated[list[str], Field(min_length=1)] = setting()
    "what is taken of a galaxy; tokens are made of each"
    models: list[reference("model")] = setting([])
    "which models are trained on it, or embed it"
    models_from: reference("survey") | dict[str, reference("survey")] | None = setting(None)
    "the survey whose trained models embed this one, or model -> survey; those not named here are its own"
    about: str = setting("")
    "what reports say of it, a sentence or two: where it comes from, what its known redshifts are"
    licence: str | None = setting(None, min_length=1)
    "of its data, for archives: an SPDX identifier, or the address of the terms; without it that of its kind"
    citation: list[str] | None = setting(None)
    "what who uses its data cites, each with its address (https://doi.org/...); without it that of its kind"
    report_with: list[str] = setting([])
    "further surveys in its report, besides those that it shares models with; those that there are"
    analyses: list[str] | None = setting(None)
    "that are made of it, those that there are and as far as it has what they take; without this key all that can be"
    shards: int = setting(1, ge=1, le=9999)
    "token files a modality, one job each"
    compression: Literal["none", "bitshuffle-lz4"] = setting("none")
    "of the token files"
    minimum_good: float = setting(0.5, ge=0, le=1)
    "least share of good pixels of a spectrum or an image"
    crop: int = setting(96, ge=8, le=152)
    "pixels of 0.262 arcsec kept from the centre of each Legacy image"
    crossmatch: CrossMatch = setting(CrossMatch())
    "how images come to spectra"
    cuts: list[Cut] | None = setting(None)
    "of spectra; without this key those of skyloom/catalog/cuts.py (DESI_GALAXIES)"
    property_cuts: list[Cut] | None = setting(None)
    "of physical properties; without this key those of skyloom/catalog/cuts.py (PROPERTIES)"
    require_properties: bool = setting(False)
    "drop galaxies without stellar mass, metallicity and age"
    split: Split = setting(Split())
    "train, validation and test"

    @model_validator(mode="after")
    def _images(self):
        for modality in self.crossmatch.require or ():
            if modality not in self.modalities:
                allowed = ", ".join(self.modalities)
                text = f"'{modality}' is not among the survey's modalities, {allowed}"
                raise refuse("crossmatch.require", text)
        if self.split.separation_arcsec == "crop" and not set(IMAGES) & set(self.modalities):
            raise refuse("split.separation_arcsec", f"'crop' needs {' or '.join(IMAGES)} among the modalities")
        return self


def check_grid(model, survey) -> None:
    """The spectra of the survey have the pixels that the model expects."""
    expected, found = model.settings.grid, survey.grid
    if expected != found:
        raise BadConfig(
            f"models.{model.name}.model.grid: {expected.plain()} is not allowed; "
            f"the spectra of survey {survey.name} have {found.plain()}"
        )
