"""Files of the user's own with spectra, of many forms; images may be in the same files, or in files of their own."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.section import refuse, setting
from skyloom.settings.survey import Fractions
from skyloom.surveys.common import files
from skyloom.surveys.common.files import FilesSplit, WithSpectra
from skyloom.surveys.common.places import ColumnMap


class SpectraSettings(WithSpectra):
    """Keys of a survey of kind `spectra`."""

    format: Literal["auto", "table", "sdss", "desi", "multimodal_universe", "astroclip", "galaxiesml_spectra"] = (
        setting("auto")
    )
    "of the files (skyloom/formats/spectrum_files/readers.py); auto looks into each"
    columns: ColumnMap | None = setting(None)
    "which column is what, of tables whose names do not say it"
    modalities: Annotated[list[str], Field(min_length=1)] = setting(["spectrum"])
    "what is taken of a galaxy: spectrum, image, hsc_image"
    split: FilesSplit = setting(FilesSplit(fractions=Fractions(train=0.0, validation=0.0, test=1.0)))
    "train, validation and test; without a word all are test"

    @model_validator(mode="after")
    def _one_map(self):
        if self.columns is not None and self.format not in ("auto", "table"):
            raise refuse("columns", f"format '{self.format}' has columns of its own; only auto and table take a map")
        return self


KIND = files.kind(SpectraSettings, ("spectrum", "image", "hsc_image"))
