"""Spectra of the user's own: files of many forms, a group of them a job."""

import functools
import glob
import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from skyloom.settings.kinds import SurveyKind
from skyloom.settings.names import CLASSES
from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import Fractions, Grid, Split, SurveySettings
from skyloom.surveys import packaged, web

PART_BYTES = 2**29
"""A job reads about as much: a large file has one for itself, small ones are read a thousand at a time."""


class Source(Section):
    """Where in a file a quantity is."""

    column: str | None = setting(None)
    "name of a FITS column or image, an HDF5 or npz array (also group/array), a Parquet column (also struct.column)"
    hdu: int | str | None = setting(None)
    "of a FITS file, its number or name; without it the first that has the column, and its image without a column"
    row: Annotated[int, Field(ge=0)] | None = setting(None)
    "of an array of several: wavelengths, flux and error one below the other"


class Value(Source):
    """Something known of an object, one value a spectrum."""

    header: str | None = setting(None)
    "a keyword of the header (of the first HDU that has it, unless `hdu` says which)"


class Identifier(Value):
    """What an object is called."""

    column: str | list[str] | None = setting(None)
    "its name, or the names of several, joined by -"


class ObjectClass(Value):
    """What an object is."""

    names: dict[str, Literal[CLASSES]] = setting({})
    "what the file calls a class: ours; GALAXY, QSO, STAR need no entry"


class Flux(Source):
    """Flux densities. A column with a * is many: every column that fits is a spectrum, called by what * stands for."""

    unit: str | None = setting(None)
    "per wavelength or frequency, for astropy.units; else what the file states, else 1e-17 erg / (s cm2 Angstrom)"
    factor: float | str = setting(1.0)
    "values (and their noise) are multiplied by it; or by the keyword of the header with this name"


class Noise(Source):
    """The noise of the flux, in its unit (and with its factor) unless another is given."""

    unit: str | None = setting(None)
    "of its square root: a unit of flux density"


class Wavelength(Source):
    """Wavelengths of the pixels; without column, start or image those of the header of the flux (CRVAL1, CDELT1)."""

    scale: Literal["linear", "log10", "ln"] = setting("linear")
    "log10, ln: the file has logarithms"
    medium: Literal["vacuum", "air"] = setting("vacuum")
    "air: they are converted (Ciddor 1996)"
    unit: str | None = setting(None)
    "for astropy.units; else what the file states, else Angstrom"
    start: float | None = setting(None)
    "of the first pixel, where there is no column"
    step: Annotated[float, Field(gt=0)] | None = setting(None)
    "a pixel"


class Mask(Source):
    """Which pixels are bad: those that are not 0."""

    good: bool = setting(False)
    "true: those that are not 0 are the good ones"
    bits: Annotated[int, Field(ge=1)] | None = setting(None)
    "only these bits count"


def _named(value):
    """A name alone, or names, stand for the column of that name."""
    if isinstance(value, str | list):
        return {"column": value}
    if not isinstance(value, dict):
        raise PydanticCustomError("expected", "{text}", {"text": "expected string or object"})
    return value


def _or_name(section: type[Section], name: object = str) -> object:
    """The type of a place in a file that may be given by its name alone, also in the schema."""
    return Annotated[section, BeforeValidator(_named, json_schema_input_type=name | section)]


Label = _or_name(Value)


class Known(Section):
    """What is known of the objects, one value a spectrum; a name alone is the column of that name."""

    redshift: Label | None = setting(None)
    "known redshift: models are compared with it"
    zerr: Label | None = setting(None)
    "its standard error"
    object_class: _or_name(ObjectClass) | None = Field(None, alias="class")
    "GALAXY, QSO or STAR"
    ra: Label | None = setting(None)
    "degrees"
    dec: Label | None = setting(None)
    "degrees"
    log_mstar: Label | None = setting(None)
    "log10 of the stellar mass, Msun"
    z_mw: Label | None = setting(None)
    "mass-weighted stellar metallicity, mass fraction"
    t_age: Label | None = setting(None)
    "mass-weighted stellar age, Gyr"
    avg_sfr: Label | None = setting(None)
    "star formation rate, Msun/yr"


class ColumnMap(Known):
    """Which column of the user's files is what; a name alone is the column of that name."""

    flux: _or_name(Flux) = setting()
    "flux densities: (N, P) a row a spectrum, or (P,) one spectrum a file"
    ivar: _or_name(Noise) | None = setting(None)
    "inverse variance; without ivar, error and variance the noise is estimated from the flux, and said so"
    error: _or_name(Noise) | None = setting(None)
    "standard deviation"
    variance: _or_name(Noise) | None = setting(None)
    "its square"
    wavelength: _or_name(Wavelength) | None = setting(None)
    "of all spectra, or of each"
    mask: _or_name(Mask) | None = setting(None)
    "bad pixels"
    identifier: _or_name(Identifier, str | list[str]) | None = setting(None)
    "text or number; without it the file's name, and the row in a file of several"

    @model_validator(mode="after")
    def _fit(self):
        given = [name for name in ("ivar", "error", "variance") if getattr(self, name) is not None]
        if len(given) > 1:
            raise refuse("", f"{' and '.join(given)} are given; expected one of ivar, error, variance, or none")
        wave = self.wavelength
        if wave is not None and (wave.start is None) != (wave.step is None):
            raise refuse("wavelength", "start and step come together")
        if wave is not None and wave.start is not None and wave.column is not None:
            raise refuse("wavelength", f"column '{wave.column}' and start are given; expected one of them")
        return self


class Catalog(Known):
    """Tables with what is known of the objects, found by identifier: redshifts from files of their own."""

    files: Annotated[list[str], Field(min_length=1)] = setting()
    "FITS, HDF5, Parquet or CSV, paths or patterns"
    identifier: _or_name(Identifier, str | list[str]) = setting()
    "the same texts or numbers as those of the spectra"


class SpectraSettings(SurveySettings):
    """Keys of a survey of kind `spectra`."""

    files: Annotated[list[str], Field(min_length=1)] = setting()
    "paths of the user's files, patterns with * and **, URLs (#sha256=... verifies), or package:NAME/path (wheels.py)"
    format: Literal["auto", "table", "sdss", "desi", "multimodal_universe", "astroclip"] = setting("auto")
    "of the files (skyloom/formats/spectrum_files/readers.py); auto looks into each"
    columns: ColumnMap | None = setting(None)
    "which column is what, of tables whose names do not say it"
    catalog: Catalog | None = setting(None)
    "tables with redshifts, classes, positions or labels of the objects"
    grid: Grid = setting(Grid())
    "the pixels that all spectra are brought to; models see these"
    files_per_part: int = setting(1000, ge=1)
    "files that one job reads, at most (and not more than about 512 MB)"
    modalities: Annotated[list[str], Field(min_length=1)] = setting(["spectrum"])
    "what is taken of a galaxy"
    minimum_good: float = setting(0.1, ge=0, le=1)
    "least share of the grid's pixels that are good in a spectrum"
    split: Split = setting(Split(fractions=Fractions(train=0.0, validation=0.0, test=1.0)))
    "train, validation and test; without a word all are test"

    @model_validator(mode="after")
    def _readable(self):
        if self.columns is not None and self.format not in ("auto", "table"):
            raise refuse("columns", f"format '{self.format}' has columns of its own; only auto and table take a map")
        for where, patterns in (("files", self.files), ("catalog.files", self.catalog.files if self.catalog else ())):
            for pattern in patterns:
                if packaged.is_packaged(pattern):
                    if wrong := packaged.fault(pattern):
                        raise refuse(where, wrong)
                elif web.is_url(pattern):
                    if wrong := web.fault(pattern):
                        raise refuse(where, wrong)
                elif not matching(pattern):
                    raise refuse(where, f"'{pattern}' matches no file")
        return self


@functools.cache
def matching(pattern: str) -> tuple[str, ...]:
    """The files that a path or pattern names, sorted; of those inside a package the pattern itself, as of a URL."""
    if packaged.is_packaged(pattern) or web.is_url(pattern) or os.path.isfile(pattern):
        return (pattern,)
    return tuple(sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)))


@functools.cache
def _parts(patterns: tuple[str, ...], most: int) -> tuple[tuple[str, ...], ...]:
    """The files of every part: in order, at most `most`, and at most PART_BYTES unless it is one; what a pattern names
    inside a package is a part of its own, and what is fetched by its URL."""
    parts: list[list[str]] = []
    room = 0
    for path in sorted({path for pattern in patterns for path in matching(pattern)}):
        size = PART_BYTES if packaged.is_packaged(path) or web.is_url(path) else os.path.getsize(path)
        if not parts or len(parts[-1]) == most or size > room:
            parts.append([])
            room = PART_BYTES
        parts[-1].append(path)
        room -= size
    return tuple(map(tuple, parts))


def files_of_part(settings: SpectraSettings, part: int) -> list[str]:
    """The user's files that go to a part."""
    return list(_parts(tuple(settings.files), settings.files_per_part)[part])


def catalog_files(settings: SurveySettings) -> list[str]:
    """The user's tables of what is known of the objects."""
    catalog = getattr(settings, "catalog", None)
    patterns = catalog.files if catalog else ()
    return sorted({path for pattern in patterns for path in matching(pattern)})


def urls(settings: SurveySettings) -> list[str]:
    """The URLs among the files that a survey of this kind names; a survey of another names none."""
    own = settings.files if isinstance(settings, SpectraSettings) else ()
    return [path for path in (*own, *catalog_files(settings)) if web.is_url(path)]


def raw_files(settings: SpectraSettings) -> dict[str, list[str]]:
    """The raw files by role."""
    parts = _parts(tuple(settings.files), settings.files_per_part)
    return {"spectra": [f"spectra/spectra-{number:04d}.h5" for number in range(len(parts))]}


KEYS = ("format", "columns", "grid", "minimum_good")
"""What a part depends on, besides its files."""

KIND = SurveyKind(settings=SpectraSettings, raw_files=raw_files, keys=KEYS)
