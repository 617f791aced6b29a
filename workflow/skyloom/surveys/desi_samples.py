"""Real DESI spectra that travel inside Python packages: a handful, to run the same code on real data.

Four coadd files, 12 fibres, taken unmodified out of the test data of two wheels (code BSD-3, DESI data CC BY 4.0):

- ``coadd-4-80613-thru20210324.fits`` with redrock (fastspecfit): TARGETID 39633345008634465, a strong emission-line
  galaxy at z = 0.36874; H-alpha is in the z arm, g, r, z = 3.24, 5.95, 8.34 nanomaggy.
- ``coadd-special-dark-27247.fits`` with redrock (fastspecfit): TARGETID 39089837499744649, a nearby galaxy at
  z = 0.00727.
- ``coadd-5-169-thru20210419.fits`` and ``coadd-sv3-dark-26065.fits`` (specutils): 5 fibres each, most of them sky or
  broken, without redshifts: what quality cuts are for.

Light to import: the Snakefile takes the file names from here.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skyloom.settings.kinds import SurveyKind
from skyloom.settings.survey import SurveySettings
from skyloom.surveys.common.wheels import PINNED, extract

if TYPE_CHECKING:  # what the functions below import when they run: file names must not cost numpy
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


def file_names() -> list[str]:
    """All raw files, relative to the survey's raw folder."""
    return [f"spectra/{file}" for files in _FILES.values() for file in files]


def raw_files(settings: SurveySettings) -> dict[str, list[str]]:
    """The raw files by role; of its settings nothing here depends."""
    by_role = {"coadd": [], "redrock": []}
    for name in file_names():
        by_role[name.split("/")[-1].split("-")[0]].append(name)
    return by_role


def members(wheel: str) -> dict[str, str]:
    """The members of a wheel to take out: raw file name (as in `file_names`) -> path inside the wheel."""
    return {f"spectra/{file}": f"{_FOLDERS[wheel]}/{file}" for file in _FILES[wheel]}


def extract_samples(wheel_paths: Sequence[str | os.PathLike], folder: str | os.PathLike) -> None:
    """Take all raw files out of the wheels (paths in the order of WHEELS) into the survey's raw `folder`."""
    for wheel, path in zip(WHEELS, wheel_paths, strict=True):
        for name, member in members(wheel).items():
            extract(path, member, Path(folder) / name)


def redshifts(coadd_paths: Sequence[str | os.PathLike], redrock_paths: Sequence[str | os.PathLike]) -> "Table":
    """Every fibre of the coadds with the redrock fit of its TARGETID, where there is one.

    Returns
    -------
    Table
        FILE (basename of the coadd), ROW, TARGETID, OBJTYPE, COADD_FIBERSTATUS, SIGNAL (a pixel with ivar > 0), Z,
        ZERR, ZWARN, SPECTYPE. Where no redrock file knows the target these four are NaN, NaN, -1 and empty.
    """
    import numpy as np
    from astropy.table import vstack

    from skyloom.formats.desi import read_redrock

    table = vstack([_fibres(path) for path in coadd_paths], metadata_conflicts="silent")
    table["Z"], table["ZERR"] = np.full(len(table), np.nan), np.full(len(table), np.nan)
    table["ZWARN"], table["SPECTYPE"] = np.full(len(table), -1), np.full(len(table), "", "U6")
    for path in redrock_paths:
        for fit in read_redrock(path):
            same = table["TARGETID"] == fit["TARGETID"]
            for name in ("Z", "ZERR", "ZWARN", "SPECTYPE"):
                table[name][same] = fit[name]
    return table


def _fibres(path: str | os.PathLike) -> "Table":
    """What the coadd itself says of each of its fibres: the columns of `redshifts` up to SIGNAL."""
    import numpy as np
    from astropy.table import Table

    from skyloom.formats.desi import combine_arms, read_coadd

    coadd = read_coadd(path)
    table = Table({"FILE": np.full(len(coadd.fibermap), Path(path).name), "ROW": np.arange(len(coadd.fibermap))})
    for name in ("TARGETID", "OBJTYPE", "COADD_FIBERSTATUS"):
        table[name] = coadd.fibermap[name]
    table["SIGNAL"] = (combine_arms(coadd)[1] > 0).any(axis=1)
    return table


def fibre_counts(coadd_paths: Sequence[str | os.PathLike]) -> "Table":
    """How many fibres each coadd loses, and to what: one row a file.

    Returns
    -------
    Table
        file, fibres, and a partition of them: not_target (sky and unassigned fibres: OBJTYPE is not TGT), bad_fibre (of
        the targets, COADD_FIBERSTATUS is not 0), no_signal (of those left, no pixel with ivar > 0), usable.
    """
    from astropy.table import Table

    counts = []
    for path in coadd_paths:
        fibres = _fibres(path)
        target = fibres["OBJTYPE"] == "TGT"
        sound = target & (fibres["COADD_FIBERSTATUS"] == 0)
        usable = sound & fibres["SIGNAL"]
        steps = [len(fibres), int(target.sum()), int(sound.sum()), int(usable.sum())]
        lost = [before - after for before, after in zip(steps[:-1], steps[1:], strict=True)]
        counts.append((Path(path).name, len(fibres), *lost, steps[-1]))
    return Table(rows=counts, names=("file", "fibres", "not_target", "bad_fibre", "no_signal", "usable"))


KIND = SurveyKind(
    settings=SurveySettings,
    raw_files=raw_files,
    licence="CC-BY-4.0",
    citation=("DESI Collaboration 2024, The Early Data Release of DESI, https://doi.org/10.3847/1538-3881/ad3217",),
)
