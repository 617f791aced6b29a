"""Real DESI spectra that travel inside Python packages: a handful, to run the same code on real data.

Four coadd files, 12 fibres, taken unmodified out of the test data of two wheels (code BSD-3, DESI data CC BY 4.0):

- ``coadd-4-80613-thru20210324.fits`` with redrock (fastspecfit): TARGETID 39633345008634465, a strong emission-line
  galaxy at z = 0.36874; H-alpha is in the z arm, g, r, z = 3.24, 5.95, 8.34 nanomaggy.
- ``coadd-special-dark-27247.fits`` with redrock (fastspecfit): TARGETID 39089837499744649, a nearby object at z = 0.00727.
- ``coadd-5-169-thru20210419.fits`` and ``coadd-sv3-dark-26065.fits`` (specutils): 5 fibres each, most of them sky or
  broken, without redshifts: what quality cuts are for.

Light to import: the Snakefile takes the file names from here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skyloom.surveys.wheels import PINNED

if TYPE_CHECKING:
    from astropy.table import Table

WHEELS = {name: PINNED[name].sha256 for name in ("fastspecfit", "specutils")}
"""Wheel -> sha256."""
_FOLDERS = {
    "fastspecfit": "fastspecfit/test/data",
    "specutils": "specutils/io/default_loaders/tests/desi_test_data",
}
_FILES = {
    "fastspecfit": (
        "coadd-4-80613-thru20210324.fits",
        "redrock-4-80613-thru20210324.fits",
        "coadd-special-dark-27247.fits",
        "redrock-special-dark-27247.fits",
    ),
    "specutils": ("coadd-5-169-thru20210419.fits", "coadd-sv3-dark-26065.fits"),
}
_ORIGIN = {file: wheel for wheel, files in _FILES.items() for file in files}


def file_names() -> list[str]:
    """All raw files, relative to the survey's raw folder."""
    return [f"spectra/{file}" for files in _FILES.values() for file in files]


def raw_files(survey: dict) -> dict[str, list[str]]:
    """The raw files by role; `survey` is its configuration, of which nothing here depends."""
    by_role = {"coadd": [], "redrock": []}
    for name in file_names():
        by_role[name.split("/")[-1].split("-")[0]].append(name)
    return by_role


def members(wheel: str) -> dict[str, str]:
    """The members of a wheel to take out: raw file name (as in `file_names`) -> path inside the wheel."""
    return {f"spectra/{file}": f"{_FOLDERS[wheel]}/{file}" for file in _FILES[wheel]}
