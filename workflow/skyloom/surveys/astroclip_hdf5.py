"""AstroCLIP's sample from its own file (``astroclip_desi.1.1.5.h5``), or as Parquet from a mirror.

Spectra of DESI's early data release and images of the Legacy Surveys of the same galaxies, row by row, without noise of
the spectra (it is estimated) and without positions: `catalog` may name DESI's redshift catalogue (identifier TARGETID,
ra TARGET_RA, dec TARGET_DEC) or PROVABGS for what the file has not. Source: github.com/PolymathicAI/AstroCLIP.
"""

from typing import Annotated

from pydantic import Field

from skyloom.settings.section import setting
from skyloom.surveys.common import files
from skyloom.surveys.common.files import FilesSplit, WithSpectra


class AstroclipSettings(WithSpectra):
    """Keys of a survey of kind `astroclip_hdf5`."""

    modalities: Annotated[list[str], Field(min_length=1)] = setting(["spectrum", "image"])
    "what is taken of a galaxy"
    split: FilesSplit = setting(FilesSplit(kind="published"))
    "train, validation and test; published: the first 80 % of each group of the HDF5 file train, the rest is test"


KIND = files.kind(
    AstroclipSettings,
    ("spectrum", "image"),
    citation=(
        "Parker et al. 2024, AstroCLIP, https://doi.org/10.1093/mnras/stae1450",
        "DESI Collaboration 2024, The Early Data Release of DESI, https://doi.org/10.3847/1538-3881/ad3217",
        "Dey et al. 2019, Overview of the DESI Legacy Imaging Surveys, https://doi.org/10.3847/1538-3881/ab089d",
    ),
)
