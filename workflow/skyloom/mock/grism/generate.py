"""One part of a mock grism survey: galaxies of the mock universe whose brightest line in range is bright enough.

No line is preferred: H-alpha at redshift 0.8 to 1.9, [O III] beyond, [S III] and Paschen lines and He I nearer. Most
spectra show a single line, and what it is must be said by what is not seen beside it. Continua come from the coarse
grid of the light (1000 km/s a bin), which is finer than this instrument. A part is a function of configuration, seed
and number alone. A few are quasars. Left out are dust of the Milky Way and the intergalactic medium, which do little in
the near infrared, stars, and galaxies without a line.
"""

import logging
import os
from collections.abc import Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.formats.spectrum_parts import write_simulated
from skyloom.mock.instruments import grism as instrument
from skyloom.mock.universe.light.active import nucleus_of
from skyloom.mock.universe.light.photometry import LSST_FILTERS, FastPhotometry, flux_scale
from skyloom.mock.universe.light.ssp import SSPGrid, load_grid
from skyloom.mock.universe.light.wavelengths import C_KM_S
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.population.population import Population, join
from skyloom.settings.survey import Grid

log = logging.getLogger(__name__)

BLOCK = 4096  # galaxies drawn at a time
MARGIN = 150.0  # Angstrom: a line this close to an end does not count as seen
OUTSHINES = 0.75  # mag by which a broad-line nucleus brightens its galaxy: more, and it is a quasar
_STREAMS = {"population": 1, "noise": 2, "contamination": 3, "quasars": 4}


def make_part(part: int, seed: int, config: Mapping, grid_path: str | os.PathLike, out_path: str | os.PathLike) -> None:
    """Write one part, as `skyloom.formats.spectrum_parts` describes it, with the redshifts that were put in.

    Parameters
    ----------
    part : its number, from 0
    config : the survey's entry: `galaxies_per_part`, `line_flux`, `quasars`, `grid`, and what the population takes
        (`population`, `magnitude_limit`, `redshift_max`)
    grid_path : of ssp.build_grid
    """
    rng = {
        name: np.random.default_rng(np.random.SeedSequence([seed, part], spawn_key=(key,)))
        for name, key in _STREAMS.items()
    }
    pixels = Grid(**config["grid"])
    with threadpool_limits(1):
        grid = load_grid(grid_path, (0.0, 0.0))  # the wide part is enough
        total = config["galaxies_per_part"]
        quasars = round(config["quasars"] * total)
        makers = ((selected, total - quasars, "population"), (quasar_spectra, quasars, "quasars"))
        parts = [make(count, rng[name], config, grid, pixels) for make, count, name in makers if count]
        galaxies, clean = join([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
        sigma = instrument.stated_noise(len(clean), pixels, rng["noise"])
        flux = clean + instrument.contamination(len(clean), pixels, rng["contamination"])
        flux += instrument.noise(sigma, rng["noise"])
    ivar = np.where(np.isfinite(sigma), 1 / np.square(sigma), 0)
    write_simulated(
        out_path,
        np.where(ivar > 0, flux, 0),
        ivar,
        config["grid"],
        [str(part * 10**9 + row) for row in range(len(clean))],
        redshift=galaxies.redshift,
        spectype=np.where(galaxies.target == "qso", "QSO", "GALAXY"),
        log_mstar=galaxies.log_mstar,
        z_mw=galaxies.z_mw,
        t_age=galaxies.t_age_mw,
        avg_sfr=galaxies.avg_sfr,
    )
    log.info("%s: %d galaxies", out_path, len(clean))


def selected(
    n: int, rng: np.random.Generator, config: Mapping, grid: SSPGrid, pixels: Grid
) -> tuple[Population, np.ndarray]:
    """`n` galaxies with a line of at least `line_flux` (1e-17 erg/s/cm2) in range, and their spectra without noise."""
    galaxies, flux, count = [], [], 0
    while count < n:
        drawn = draw(BLOCK, rng, dict(config), grid, target="all")
        drawn = drawn[~((drawn.agn_type == 2) & (drawn.mag_host - drawn.mag_r > OUTSHINES))]
        light, lines = _light(drawn, grid)
        kept = np.flatnonzero(brightest(lines, grid, drawn.redshift, pixels) >= config["line_flux"])
        galaxies.append(drawn[kept])
        flux.append(noiseless(galaxies[-1], light[kept], lines[kept], grid, pixels))
        count += len(kept)
    return join(galaxies)[:n], np.concatenate(flux)[:n]


def quasar_spectra(
    n: int, rng: np.random.Generator, config: Mapping, grid: SSPGrid, pixels: Grid
) -> tuple[Population, np.ndarray]:
    """`n` quasars as DESI would select them, whatever their lines, and their spectra without noise."""
    drawn = draw(n, rng, {"population": config["population"]}, grid, target="qso")
    return drawn, noiseless(drawn, *_light(drawn, grid), grid, pixels)


def _light(galaxies, grid):
    """Continua at rest (n, V), Lsun/Angstrom, and fluxes of the lines (n, L), 1e-17 erg/s/cm2."""
    given = ("sfh", "log_z", "log_z_gas", "log_u", "av", "dust_slope", "av_birth")
    fast = FastPhotometry.of(grid, LSST_FILTERS[:1])
    light, lines = fast.light(*(getattr(galaxies, name) for name in given), nucleus_of(galaxies))
    return light, lines * flux_scale(galaxies.redshift)[:, None]


def brightest(lines: np.ndarray, grid: SSPGrid, z: np.ndarray, pixels: Grid) -> np.ndarray:
    """Flux (n,) of the brightest of the lines (n, L) that fall on the pixels."""
    observed = grid.line_wavelength * (1 + z[:, None])
    low, high = pixels.span
    return np.where((observed > low + MARGIN) & (observed < high - MARGIN), lines, 0).max(axis=1)


def noiseless(galaxies: Population, light: np.ndarray, lines: np.ndarray, grid: SSPGrid, pixels: Grid) -> np.ndarray:
    """Spectra (n, P) without noise, 1e-17 erg/s/cm2/Angstrom.

    Parameters
    ----------
    light : (n, V) continuum at rest, Lsun/Angstrom, in the bins of `grid.wide`
    lines : (n, L) fluxes, 1e-17 erg/s/cm2
    """
    z = galaxies.redshift
    places = pixels.start + pixels.step * np.arange(pixels.pixels)
    flux = np.stack([np.interp(places / (1 + a), grid.wide.wavelength, row) for a, row in zip(z, light, strict=True)])
    flux *= (flux_scale(z) / (1 + z))[:, None]
    shape = {name: getattr(galaxies, name) for name in ("bulge_fraction", "dust_layer", "r_disk", "r_bulge")}
    spread = instrument.line_spread(half_light_radius(shape))
    centre = grid.line_wavelength * (1 + z[:, None])
    sigma = np.hypot(spread[:, None], centre * galaxies.sigma_gas[:, None] / C_KM_S)
    instrument.add_lines(flux, pixels, lines, centre, sigma)
    return flux
