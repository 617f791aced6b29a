"""Where in a user's files a quantity is: the settings of column maps and of tables beside the files."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from skyloom.settings.names import CLASSES
from skyloom.settings.section import Section, refuse, setting


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
    flux_g: Label | None = setting(None)
    "total flux in g, nanomaggy"
    flux_r: Label | None = setting(None)
    "the same in r"
    flux_z: Label | None = setting(None)
    "the same in z"
    ebv: Label | None = setting(None)
    "Galactic reddening E(B-V), mag"


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
