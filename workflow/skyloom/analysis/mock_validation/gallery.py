"""Images of mock galaxies without a survey's files: as many as are asked for, as the survey would show them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.mock.footprint import FIRST
from skyloom.mock.instruments.images.images import LEGACY
from skyloom.mock.survey import blocks, measure
from skyloom.mock.survey.beside import Beside
from skyloom.mock.survey.company import Company
from skyloom.mock.survey.tile import BLOCKS, COMPANY, plan
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.spectra import rest_range

TARGETS = {"targets_per_tile": {"bgs": 700}, "magnitude_limit": 19.5}  # BGS Bright
SIZE = 64  # pixels a side that are kept, 17 arcsec
SHAPE = ("r_disk", "r_bulge", "q_disk", "q_bulge", "clumpiness", "arms", "bar_fraction")


@dataclass
class Gallery:
    """n galaxies: `images` (n, 3, SIZE, SIZE) float16, nanomaggy in g, r, z; measured `flux` (n, 3), nanomaggy; `ebv`
    (n,) mag; `redshift` (n,); `shape` (n, k) true structure, the share of the bulge in three bands last."""

    images: np.ndarray
    flux: np.ndarray
    ebv: np.ndarray
    redshift: np.ndarray
    shape: np.ndarray

    def __getitem__(self, rows) -> "Gallery":
        return Gallery(*(getattr(self, f.name)[rows] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.redshift)


def make(count: int, seed: int, config: Mapping, grid_path: str | os.PathLike, first: int = 0) -> Gallery:
    """`count` galaxies with Legacy Surveys images, tile after tile from the `first`-th of the survey's area.

    `config` is the survey's, of which `population` matters. The same galaxies whatever the count: fewer are the first.
    """
    config = {**config, **TARGETS, "seed": seed}
    grid = load_grid(grid_path, rest_range("bgs"))
    templates, found, hpix = Templates.of(grid), [], FIRST + first
    with threadpool_limits(1, user_api="blas"):  # as in tiles: sums must not depend on the number of cores
        while sum(map(len, found)) < count:
            found.append(_of_tile(hpix, config, templates))
            hpix += 1
    joined = Gallery(*(np.concatenate([getattr(part, f.name) for part in found]) for f in fields(Gallery)))
    return joined[:count]


def _of_tile(hpix: int, config: Mapping, templates: Templates) -> Gallery:
    tile = plan(hpix, "bright", config, templates.grid)
    beside = Beside.of(tile, config, LEGACY, lambda number: tile.stream(BLOCKS + number, blocks.SCENE), blocks.SIZE)
    company = Company.of(tile, config, templates.grid, beside.provided, tile.stream(COMPANY))
    edge, galaxies, parts = (LEGACY.size - SIZE) // 2, tile.population, []
    for number, start in enumerate(range(0, len(galaxies), blocks.SIZE)):
        rows = np.arange(start, min(start + blocks.SIZE, len(galaxies)))
        streams = [tile.stream(BLOCKS + number, purpose) for purpose in (blocks.SCENE, blocks.IMAGE_NOISE)]
        light, images, seen = blocks.portraits(
            tile, rows, beside, company, templates, {"images": LEGACY}, config, streams
        )
        some = galaxies[rows]
        photometry = tile.stream(BLOCKS + number, blocks.PHOTOMETRY)
        radius = half_light_radius(vars(some))
        flux = light.flux["legacy"] * seen["images"]["zero_point"]
        flux, _ = measure.photometry(flux, radius, seen["images"]["psfdepth"], photometry)
        shape = np.stack([getattr(some, name) for name in SHAPE] + list(some.bulge_fraction.T), axis=1)
        middle = images["images"][:, :, edge : edge + SIZE, edge : edge + SIZE].astype(np.float16)
        parts.append(Gallery(middle, flux, tile.ebv[rows], some.redshift, shape))
    return Gallery(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Gallery)))
