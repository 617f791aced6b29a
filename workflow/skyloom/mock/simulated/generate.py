"""One part of the embedded simulation: galaxies of the mock population with all that MOSAIC is trained on.

A part is a function of (configuration, seed, part number) alone; galaxies are made in blocks, so memory does not grow
with their number. Positions are even on the sky of LSST's main survey: nothing here knows of clustering.
"""

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.formats.part_columns import LABELS, SCALARS
from skyloom.formats.part_files import part_writer
from skyloom.mock.simulated import channels, histories, images, noise, sed
from skyloom.mock.universe.light.active import nucleus_of
from skyloom.mock.universe.light.photometry import LSST_FILTERS, FastPhotometry
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.population import Population

log = logging.getLogger(__name__)

BLOCK = 2048  # galaxies in memory at a time: about 100 MB
DECLINATIONS = (-62.0, 2.0)  # deg; wide-fast-deep survey of LSST
_STREAMS = {"population": 1, "position": 2, "noise": 3, "images": 4}


def make_part(
    part: int,
    seed: int,
    config: Mapping,
    grid_path: str | os.PathLike,
    spherex_paths: Sequence[str | os.PathLike],
    out_path: str | os.PathLike,
) -> None:
    """Write one part of the catalogue, as `part_files` describes it.

    Parameters
    ----------
    part : its number, from 0
    config : the survey's entry: `galaxies_per_part`, `noise` (none or survey), `images`, and what the population takes
        (`population`, `magnitude_limit`, `redshift_max`)
    grid_path : of ssp.build_grid
    spherex_paths : the six filter files
    """
    grid = load_grid(grid_path, (0.0, 0.0))  # the wide part is enough
    spherex = channels.spherex_filters(spherex_paths)
    fast = FastPhotometry.of(grid, LSST_FILTERS + spherex)
    axes = {
        "lsst": np.array(channels.LSST),
        "spherex": channels.effective_wavelengths(spherex),
        "sfh": histories.EDGES,
        "sed": sed.EDGES,
    }
    attrs = {"part": part, "seed": seed, "noise": config["noise"]}
    total = config["galaxies_per_part"]
    with threadpool_limits(1), part_writer(out_path, axes, attrs) as writer:
        for number, first in enumerate(range(0, total, BLOCK)):
            rng = {name: _stream(seed, part, number, key) for name, key in _STREAMS.items()}
            galaxies = draw(min(BLOCK, total - first), rng["population"], dict(config), grid, target="all")
            row = first + np.arange(len(galaxies))
            places = _positions(len(galaxies), rng["position"])
            columns, flux = observables(galaxies, fast, config["noise"], rng["noise"])
            if config.get("images"):
                columns["lsst_image"] = images.pictures(galaxies, **places, flux=flux, seed=seed, rng=rng["images"])
            writer.append(
                targetid=part * 10**9 + row,
                **places,
                **{name: getattr(galaxies, name) for name in SCALARS + LABELS},
                **columns,
                sfh=histories.star_formation(galaxies.sfh, grid.age_edges, galaxies.redshift),
            )
    log.info("%s: %d galaxies", out_path, total)


def observables(
    galaxies: Population, fast: FastPhotometry, noise_kind: str, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The columns sed, lsst and spherex, and errors if there is noise; and the true fluxes (n, 6) in LSST's bands.

    `fast` has the filters of both surveys.
    """
    p = galaxies
    light, lines = fast.light(
        p.sfh, p.log_z, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth, nucleus_of(galaxies)
    )
    columns = {"sed": sed.energy_distribution(fast.templates.grid, light, lines)}
    flux = dict(zip(("lsst", "spherex"), np.split(fast.fluxes(light, lines, p.redshift), [6], axis=1), strict=True))
    if noise_kind == "none":
        return columns | {name: noise.ab_magnitude(values) for name, values in flux.items()}, flux["lsst"]
    for name, sigma in (("lsst", noise.lsst_sigma), ("spherex", noise.spherex_sigma)):
        columns[name], columns[f"{name}_error"] = noise.observe(flux[name], sigma, rng)
    return columns, flux["lsst"]


def _positions(n, rng):
    low, high = np.sin(np.radians(DECLINATIONS))
    return {"ra": rng.uniform(0, 360, n), "dec": np.degrees(np.arcsin(rng.uniform(low, high, n)))}


def _stream(seed, part, block, purpose):
    return np.random.default_rng(np.random.SeedSequence([seed, part], spawn_key=(block, purpose)))
