"""Physical properties from the parameters of PROVABGS: a companion table of the published file.

    python -m skyloom.formats.provabgs_model BGS_ANY_full.provabgs.sv3.v0.hdf5 BASES derived.hdf5

BASES is a folder with the three text files of BASIS_FILES: `src/provabgs/dat` of github.com/changhoonhahn/provabgs (MIT
licence), which no package of the package index carries. The model (Hahn et al. 2023, arXiv 2202.01809, section 2): the
star formation rate is a sum of four basis histories, normalised to one solar mass over the age of the universe at the
galaxy's redshift (Planck 2013), of which a share f_burst is replaced by one burst t_burst ago; metallicity is a sum of
two basis histories, within those of the isochrones. Both are constant in bins of lookback time, 0.1 dex wide, as the
authors have them, so that the numbers are theirs. Masses are masses formed, not those that survive.
"""

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.cosmology import Planck13
from astropy.table import Table

from skyloom.core.errors import BadInput, SkyloomError
from skyloom.formats import provabgs

log = logging.getLogger(__name__)

BASIS_FILES = {
    "sfh": "NMF_2basis_SFH_components_nowgt_lin_Nc4.txt",
    "zh": "NMF_2basis_Z_components_nowgt_lin_Nc2.txt",
    "time": "sfh_t_int.txt",
}
SFH_ORDER = (2, 0, 1, 3)  # rows of the file that beta_1 to beta_4 belong to, as the authors' code has them
EDGES = np.concatenate([[0], 10 ** (6.05 + 0.1 * np.arange(41) - 9), [13.8]])
"""Gyr of lookback time: edges of the bins; the last is the age of the universe where that is less."""
METALLICITIES = (4.49043431e-05, 4.49043431e-02)  # mass fractions, of the MIST isochrones
AVERAGED = 1.0  # Gyr, over which AVG_SFR is averaged
LENGTH = 12  # parameters of the stellar population; the 13th of PROVABGS_THETA_BF is the share in the fibre
_BLOCK = 8192  # galaxies at a time: 3 MB an array


@dataclass(frozen=True)
class Basis:
    """Basis histories at `time` (T,), Gyr of lookback, increasing; linear between those times and beyond.

    sfh : (4, T) in any unit;  zh : (2, T) mass fractions
    """

    time: np.ndarray
    sfh: np.ndarray
    zh: np.ndarray

    def formed(self, lookback: np.ndarray) -> np.ndarray:
        """(4, ...) integral of each star formation history from now to `lookback` (Gyr)."""
        knots = np.concatenate([[0.0], self.time, [20.0]])
        rates = np.stack([_linear(knots, self.time, values) for values in self.sfh])
        whole = np.cumsum(np.diff(knots) * (rates[:, 1:] + rates[:, :-1]) / 2, axis=1)
        whole = np.concatenate([np.zeros((len(rates), 1)), whole], axis=1)
        place = np.clip(np.searchsorted(knots, lookback, side="right") - 1, 0, len(knots) - 2)
        since = lookback - knots[place]
        slope = np.diff(rates, axis=1) / np.diff(knots)
        return whole[:, place] + since * (rates[:, place] + slope[:, place] * since / 2)

    def metallicity(self, lookback: np.ndarray) -> np.ndarray:
        """(2, ...) metallicity histories at `lookback` (Gyr)."""
        return np.stack([_linear(lookback, self.time, values) for values in self.zh])


def _linear(where: np.ndarray, time: np.ndarray, values: np.ndarray) -> np.ndarray:
    place = np.clip(np.searchsorted(time, where) - 1, 0, len(time) - 2)
    share = (where - time[place]) / (time[place + 1] - time[place])
    return values[place] * (1 - share) + values[place + 1] * share


def read_basis(folder: str | os.PathLike) -> Basis:
    """The bases in a folder with BASIS_FILES; BadInput if one is missing or has another shape."""
    arrays = {}
    for name, file in BASIS_FILES.items():
        path = Path(folder, file)
        try:
            arrays[name] = np.atleast_2d(np.loadtxt(path))
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: expected a text file of numbers, of provabgs's dat folder ({error})") from error
    total = arrays["time"].size
    for name, rows in (("sfh", 4), ("zh", 2), ("time", 1)):
        if arrays[name].shape != (rows, total):
            shape = arrays[name].shape
            raise BadInput(f"{Path(folder, BASIS_FILES[name])}: {shape} numbers, expected {rows} rows of {total}")
    order = np.argsort(arrays["time"][0])
    return Basis(arrays["time"][0][order], arrays["sfh"][list(SFH_ORDER)][:, order], arrays["zh"][:, order])


def properties(theta: np.ndarray, redshift: np.ndarray, basis: Basis) -> dict[str, np.ndarray]:
    """Z_MW (mass fraction), TAGE_MW (Gyr) and AVG_SFR (Msun/yr), (N,) each, of galaxies with parameters `theta` (N, 12
    or 13; see `skyloom.formats.provabgs`) at `redshift` (N,); NaN where a parameter is not finite or no star forms."""
    theta, redshift = np.asarray(theta, float), np.asarray(redshift, float)
    known = np.isfinite(theta[:, :LENGTH]).all(axis=1) & np.isfinite(redshift) & (redshift > -1)
    found = {name: np.full(len(theta), np.nan) for name in provabgs.DERIVED}
    rows = np.flatnonzero(known)
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        for name, values in _properties(theta[block], redshift[block], basis).items():
            found[name][block] = values
    return found


def _properties(theta, redshift, basis):
    log_formed, beta, (burst, since), gamma = theta[:, 0], theta[:, 1:5], theta[:, 5:7].T, theta[:, 7:9]
    age = Planck13.age(redshift).to_value("Gyr")[:, None]
    edges = np.minimum(EDGES, age)
    edges[:, -1] = age[:, 0]
    middle = (edges[:, 1:] + edges[:, :-1]) / 2
    mass = np.einsum("nk,knj->nj", beta, np.diff(basis.formed(edges), axis=2))
    total = mass.sum(axis=1, keepdims=True)
    mass = mass / np.where(total > 0, total, np.nan)
    burst = np.where(since < age[:, 0], burst, 0.0)
    bins = np.clip((edges <= since[:, None]).sum(axis=1) - 1, 0, mass.shape[1] - 1)
    recent = _recent(mass, edges) * (1 - burst) + np.where(since < AVERAGED, burst, 0.0)
    mass = mass * (1 - burst)[:, None]
    mass[np.arange(len(mass)), bins] += burst
    metallicity = np.einsum("nk,knj->nj", gamma, basis.metallicity(middle)).clip(*METALLICITIES)
    return {
        "Z_MW": (mass * metallicity).sum(axis=1),
        "TAGE_MW": (mass * middle).sum(axis=1),
        "AVG_SFR": recent * 10**log_formed / (AVERAGED * 1e9),
    }


def _recent(mass, edges):
    """(n,) of the mass formed in each bin (n, j) what formed in the last AVERAGED Gyr."""
    width = np.diff(edges, axis=1)
    inside = np.clip(AVERAGED - edges[:, :-1], 0, width)
    return (mass * np.divide(inside, width, out=np.zeros_like(width), where=width > 0)).sum(axis=1)


def write_derived(published: str | os.PathLike, folder: str | os.PathLike, path: str | os.PathLike) -> None:
    """Write the companion table of a published property file with the bases in `folder`.

    Raises
    ------
    BadInput : the file or a basis is not what it should be.
    """
    table = provabgs.read_properties(published, ["TARGETID", "Z_HP", "PROVABGS_THETA_BF"])
    theta = np.asarray(table["PROVABGS_THETA_BF"])
    if theta.dtype.kind != "f" or theta.ndim != 2 or theta.shape[1] < LENGTH:
        raise BadInput(f"{published}: column PROVABGS_THETA_BF is {theta.dtype} {theta.shape[1:]}, expected 13 floats")
    found = properties(theta, table["Z_HP"], read_basis(folder))
    provabgs.write_companion(path, Table({"TARGETID": table["TARGETID"], **found}))
    log.info("%s: properties of %d of %d galaxies", path, np.isfinite(found["Z_MW"]).sum(), len(table))


def main() -> None:
    """Read the command line, write the companion, and end with one line when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.formats.provabgs_model", description=__doc__)
    parser.add_argument("published", help="the property file of the archive")
    parser.add_argument("bases", help="folder with the bases: src/provabgs/dat of github.com/changhoonhahn/provabgs")
    parser.add_argument("derived", help="the companion table to write")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        write_derived(options.published, options.bases, options.derived)
    except SkyloomError as error:
        sys.exit(f"skyloom.formats.provabgs_model: {error}")


if __name__ == "__main__":
    main()
