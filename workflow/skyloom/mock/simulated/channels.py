"""The filters of a simulated catalogue: LSST u, g, r, i, z, y, and the 102 measured channels of SPHEREx."""

import os
import re
from collections.abc import Sequence

import numpy as np
from speclite.filters import FilterResponse

from skyloom.core.errors import BadInput
from skyloom.mock.universe.light.photometry import LSST_FILTERS

LSST = tuple(name.split("-")[1] for name in LSST_FILTERS)
DETECTORS, CHANNELS = 6, 17
SPHEREX_FILES = tuple(f"spherex_band{detector}.par" for detector in range(1, DETECTORS + 1))
SPHEREX_MEMBERS = {name: f"sedpy/data/filters/{name}" for name in SPHEREX_FILES}
"""File -> the member of the wheel astro-sedpy: scans of individual pixels by M. Ashby, detector signal a photon."""


def spherex_filters(paths: Sequence[str | os.PathLike]) -> tuple[FilterResponse, ...]:
    """The 102 channels in order of wavelength, as photon-counting responses with AB zero points.

    Parameters
    ----------
    paths : the six files SPHEREX_FILES, in any folder

    Raises
    ------
    BadInput : a file is missing or is not a table of wavelength (Angstrom) and 17 responses.
    """
    by_name = {os.path.basename(os.fspath(path)): path for path in paths}
    if set(by_name) != set(SPHEREX_FILES):
        raise BadInput(f"SPHEREx filters: got {', '.join(sorted(by_name))}; expected {', '.join(SPHEREX_FILES)}")
    return tuple(channel for name in SPHEREX_FILES for channel in _detector(by_name[name]))


def _detector(path):
    try:
        table = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a table of numbers ({error})") from error
    if table.ndim != 2 or table.shape[1] != 1 + CHANNELS or (np.diff(table[:, 0]) <= 0).any():
        raise BadInput(f"{path}: table of shape {table.shape}, expected rising wavelengths and {CHANNELS} responses")
    number = re.search(r"(\d)\.par$", os.fspath(path)).group(1)
    # a response ends in zeros; the scans do so to .3 % of their peak
    wavelength = np.concatenate([[2 * table[0, 0] - table[1, 0]], table[:, 0], [2 * table[-1, 0] - table[-2, 0]]])
    for channel in range(CHANNELS):
        meta = {"group_name": f"spherex{number}", "band_name": f"ch{channel + 1:02d}"}
        yield FilterResponse(wavelength, np.pad(table[:, channel + 1], 1), meta)


def effective_wavelengths(filters: Sequence[FilterResponse]) -> np.ndarray:
    """Photon-weighted mean wavelengths (K,) of a source of constant F_nu, Angstrom."""
    return np.array([response.effective_wavelength.to_value("Angstrom") for response in filters])
