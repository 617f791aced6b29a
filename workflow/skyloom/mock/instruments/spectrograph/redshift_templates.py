"""Templates that redshifts are fitted with: few spectra whose sums look like any galaxy, quasar or star.

Galaxies: principal components of the noiseless spectra of mock galaxies, of their stars and of their emission lines
apart, so that a line may be weak in any galaxy. Quasars: principal components of the mock's active nuclei, short of
Ly-alpha seen through the mean forest. Both samples are drawn for this alone, by their own seed.
"""

import functools
from dataclasses import dataclass

import numpy as np

from skyloom.formats.desi import WAVELENGTH
from skyloom.mock.universe.light import active, igm
from skyloom.mock.universe.light.nuclear_lines import HARD
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.light.synthesis import Templates, line_luminosities
from skyloom.mock.universe.light.wavelengths import C_KM_S, log_grid
from skyloom.mock.universe.population import nuclei
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.spectra import broaden

SEED = 20250319
GALAXIES, QUASARS = 240, 160
CONTINUA, LINES, NUCLEI = 5, 4, 4  # components kept
LINE_SIGMA = 100.0  # km/s, of gas and spectrograph together
NUCLEAR_SIGMA = 250.0  # of the narrow lines of quasars
GALAXY_Z, QUASAR_Z, STAR_Z = (-0.005, 1.7), (0.05, 5.0), (-0.002, 0.002)
GALAXY_STEP, BROAD_STEP = 3e-4, 6e-4  # of the scan, in ln(wavelength)
LYMAN_ALPHA = 1215.67  # Angstrom


@dataclass(frozen=True)
class TemplateSet:
    """Templates that are fitted together.

    Attributes
    ----------
    spectype, subtype : as in redrock's table
    wavelength : (V,) Angstrom in the rest frame, vacuum, evenly spaced in ln
    basis : (k, V) f4, flux per Angstrom in any unit, largest value about 1
    spread : (k,) rms of the coefficients of the sample's spectra, scaled to mean flux 1; infinite if anything goes
    z_range : redshifts that are tried
    step : of the first scan over them, in ln(1+z)
    forest : (7781,) f4 share of the light short of Ly-alpha that arrives at desi.WAVELENGTH, or None for all
    """

    spectype: str
    subtype: str
    wavelength: np.ndarray
    basis: np.ndarray
    spread: np.ndarray
    z_range: tuple[float, float]
    step: float
    forest: np.ndarray | None = None

    @functools.cached_property
    def by_pixel(self) -> np.ndarray:
        """The basis (V, k), a wavelength's values together in memory."""
        return np.ascontiguousarray(self.basis.T)

    @property
    def fine_step(self) -> float:
        """Sampling of `wavelength` in ln."""
        return float(np.log(self.wavelength[1] / self.wavelength[0]))

    def binned(self, start: float, step: float, count: int) -> np.ndarray:
        """Means (k, count) f4 over bins of `step` in ln(wavelength), the first of which begins at `start`."""
        log_wavelength = np.log(self.wavelength)
        fine = self.fine_step
        bounds = np.append(log_wavelength - fine / 2, log_wavelength[-1] + fine / 2)
        edges = start + step * np.arange(count + 1)
        total = np.cumsum(np.pad(self.basis, ((0, 0), (1, 0))), axis=1, dtype=float) * fine
        return np.diff([np.interp(edges, bounds, row) for row in total]).astype("f4") / np.float32(step)


def forest_transmission() -> np.ndarray:
    """Mean share (7781,) f4 of light that passes the Ly-alpha forest at WAVELENGTH, for any source behind it."""
    nodes = np.linspace(WAVELENGTH[0], WAVELENGTH[-1], 60)
    rest = 1180.0  # Angstrom: between Ly-beta and Ly-alpha
    share = [igm.transmission(np.array([w]), np.array([w / rest - 1]))[0, 0] for w in nodes]
    return np.interp(WAVELENGTH, nodes, share).astype("f4")


def template_sets(grid: SSPGrid) -> list[TemplateSet]:
    """All template sets, the same whenever the grid is.

    A grid of all wavelengths serves all redshifts; with one that was loaded for some, the galaxies' redshifts end where
    it does not span what the instrument sees.
    """
    return [_galaxies(grid), _quasars(grid), *_stars(grid)]


def _galaxies(grid):
    p = draw(GALAXIES, np.random.default_rng(SEED), {"population": "parametric"}, grid)
    light = Templates.of(grid).continuum(p.sfh, p.log_z, p.log_z_gas, p.av, p.dust_slope, p.av_birth)
    light = broaden(light, np.maximum(p.sigma_v, 120.0), grid.velocity_step)
    lines = line_luminosities(grid, p.sfh, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth)
    lines += active.narrow_lines(grid.line_name, grid.line_wavelength, active.nucleus_of(p))
    lines /= light.mean(axis=1, keepdims=True)
    total = np.sqrt(np.square(lines).sum(axis=1, keepdims=True))
    # strong lines count for more than weak ones, but not as much as they are stronger
    kept = _components((lines / np.sqrt(np.maximum(total, 1e-30)))[total[:, 0] > 0], LINES)
    drawn = kept @ _line_profiles(grid.line_wavelength, grid.wavelength, LINE_SIGMA)
    continua, spread = _spectral_components(light, CONTINUA)
    spread = np.append(spread, _rms(lines @ kept.T))
    basis = np.concatenate([continua, drawn])
    z_min = max(GALAXY_Z[0], WAVELENGTH[-1] / grid.wavelength[-1] - 1)
    z_max = min(GALAXY_Z[1], WAVELENGTH[0] / grid.wavelength[0] - 1)
    return TemplateSet("GALAXY", "", grid.wavelength, *_scaled(basis, spread), (z_min, z_max), GALAXY_STEP)


def _quasars(grid):
    rng = np.random.default_rng(SEED)
    wavelength = log_grid(WAVELENGTH[0] / (1 + QUASAR_Z[1]) * 0.99, WAVELENGTH[-1] / (1 + QUASAR_Z[0]) * 1.01, 75.0)
    z_range = (0.3, 4.1)
    z = rng.uniform(*z_range, QUASARS)
    drawn = nuclei.draw(z, np.full(QUASARS, 10.8), np.zeros(QUASARS, bool), rng, "qso", z_range)
    nucleus = {name: drawn[name] for name in active.NUCLEUS_FIELDS}
    light = active.continuum(wavelength, nucleus)
    names = np.append(grid.line_name, list(HARD))
    centres = np.append(grid.line_wavelength, [centre for centre, *_ in HARD.values()])
    light += active.narrow_lines(names, centres, nucleus) @ _line_profiles(centres, wavelength, NUCLEAR_SIGMA)
    basis = _scaled(*_spectral_components(light, NUCLEI))
    return TemplateSet("QSO", "", wavelength, *basis, QUASAR_Z, BROAD_STEP, forest_transmission())


def _spectral_components(light, count):
    """Components (and spread) of spectra relative to their typical size: the ultraviolet counts as much as the rest."""
    light = light / light.mean(axis=1, keepdims=True)
    typical = np.sqrt(np.square(light).mean(axis=0))
    kept = _components(light / typical, count)
    return kept * typical, _rms(light / typical @ kept.T)


def _rms(values):
    return np.sqrt(np.square(values).mean(axis=0))


def _stars(grid):
    """Single populations, each with a tilt for dust and calibration, stand for stars of types A to K."""
    sets = []
    tilt = np.stack([np.ones(len(grid.wavelength)), np.linspace(-1, 1, len(grid.wavelength))])
    for name, log_z, age in (("A", -0.4, 3e8), ("F", -0.7, 1.5e9), ("G", -0.4, 5e9), ("K", 0.4, 1e10)):
        spectrum = grid.stars[np.abs(grid.log_z - log_z).argmin(), np.searchsorted(grid.age_edges, age) - 1]
        sets.append(
            TemplateSet(
                "STAR", name, grid.wavelength, *_scaled(spectrum * tilt, np.full(2, np.inf)), STAR_Z, BROAD_STEP
            )
        )
    return sets


def _components(rows: np.ndarray, count: int) -> np.ndarray:
    """The `count` first right singular vectors (count, V), each with its largest value positive."""
    rows = rows.astype(float)
    # by the eigenvectors of the small side: the same vectors as a singular-value decomposition gives
    vectors = np.linalg.eigh(rows @ rows.T)[1][:, : -count - 1 : -1].T @ rows
    vectors /= np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    peak = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return vectors * np.sign(peak)


def _line_profiles(lines: np.ndarray, wavelength: np.ndarray, sigma_v: float) -> np.ndarray:
    """Gaussians (L, V) of unit flux and `sigma_v` (km/s) at `wavelength`."""
    sigma = sigma_v / C_KM_S
    offset = np.log(wavelength / lines[:, None])
    return np.exp(-0.5 * np.square(offset / sigma)) / (np.sqrt(2 * np.pi) * sigma * lines[:, None])


def _scaled(basis, spread):
    size = np.abs(basis).max(axis=1)
    return (basis / size[:, None]).astype("f4"), spread * size
