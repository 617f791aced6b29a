"""GalaxiesML-Spectra: DESI spectra and HSC images of the same galaxies, row by row in one file.

Published as ``DESI_HSC_64x64_v2.hdf5``, zenodo record 16989593, or made here by the rule `build_galaxiesml_spectra`.
"""

from typing import Annotated

from pydantic import Field

from skyloom.settings.section import setting
from skyloom.surveys.common import files
from skyloom.surveys.common.files import WithSpectra


class GalaxiesmlSpectraSettings(WithSpectra):
    """Keys of a survey of kind `galaxiesml_spectra`."""

    modalities: Annotated[list[str], Field(min_length=1)] = setting(["spectrum", "hsc_image"])
    "what is taken of a galaxy"


KIND = files.kind(
    GalaxiesmlSpectraSettings,
    ("spectrum", "hsc_image"),
    citation=("Himes et al. 2025, GalaxiesML-Spectra, https://doi.org/10.5281/zenodo.16989593",),
)
