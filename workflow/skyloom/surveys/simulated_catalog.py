"""A simulated catalogue of the user's own: one part file for each of the files."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from skyloom.settings.kinds import SurveyKind
from skyloom.settings.section import Section, setting
from skyloom.settings.survey import SurveySettings
from skyloom.surveys.simulated import part_file


class Source(Section):
    """A column of the user's file, and how its values become ours (`skyloom.formats.catalog_tables`)."""

    column: str | list[str | None] = setting()
    "its name"
    factor: float = setting(1.0)
    "values are multiplied by it"
    log10: bool = setting(False)
    "then their logarithm is taken"
    floor: float | None = setting(None)
    "least value there is"


class OneColumn(Source):
    """A column of numbers."""

    column: str = setting()
    "its name"


class Columns(Source):
    """One column of vectors, or several of numbers."""

    column: str | Annotated[list[str | None], Field(min_length=1)] = setting()
    "its name, or the names of several; null for one that the file does not have"


def _named(*words: str):
    """A name alone stands for the column of that name."""

    def check(value):
        if isinstance(value, str) or (isinstance(value, list) and "array" in words):
            return {"column": value}
        if not isinstance(value, dict):
            raise PydanticCustomError("expected", "{text}", {"text": f"expected {' or '.join(words)}"})
        return value

    return BeforeValidator(check)


Number = Annotated[OneColumn, _named("string", "object")]
Vector = Annotated[Columns, _named("string", "array", "object")]


class ColumnMap(Section):
    """Which column of the user's catalogue is what; units are those of `skyloom.formats.part_files`."""

    targetid: str | None = setting(None)
    "identifier; without it file number * 10^9 + row"
    ra: Number = setting()
    "degrees"
    dec: Number = setting()
    "degrees"
    redshift: Number | None = setting(None)
    "cosmological; what a catalogue does not know is missing for all its galaxies"
    log_mhalo: Number | None = setting(None)
    "log10 of the halo mass, Msun"
    log_mstar: Number | None = setting(None)
    "log10 of the stellar mass, Msun"
    z_mw: Number | None = setting(None)
    "mass-weighted stellar metallicity, mass fraction"
    t_age_mw: Number | None = setting(None)
    "mass-weighted stellar age, Gyr"
    avg_sfr: Number | None = setting(None)
    "star formation rate, Msun/yr"
    lsst: Vector | None = setting(None)
    "magnitudes, AB"
    spherex: Vector | None = setting(None)
    "magnitudes, AB"
    sfh: Vector | None = setting(None)
    "log10 of the star-formation rate, Msun/yr"
    sed: Vector | None = setting(None)
    "log10 of the flux density, Jy"
    lsst_image: Vector | None = setting(None)
    "pixels as numbers of any kind, always as many and in the same order"


class SimulatedCatalogSettings(SurveySettings):
    """Keys of a survey of kind `simulated_catalog`."""

    files: Annotated[list[str], Field(min_length=1, max_length=9999)] = setting()
    "HDF5 or Parquet, one job each"
    columns: ColumnMap = setting()
    "which column is what"


def raw_files(settings: SimulatedCatalogSettings) -> dict[str, list[str]]:
    """The raw files by role."""
    return {"simulated": [part_file(part) for part in range(len(settings.files))]}


KIND = SurveyKind(settings=SimulatedCatalogSettings, raw_files=raw_files, keys=("columns",), simulated=True)
