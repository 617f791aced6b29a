"""One part of the embedded simulation without noise, and what it was made of."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from speclite.filters import FilterResponse

from skyloom.mock.simulated import channels
from skyloom.mock.simulated.generate import make_part
from skyloom.mock.universe.light import ssp
from skyloom.mock.universe.light.photometry import LSST_FILTERS, FastPhotometry
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.population import Population
from skyloom.surveys.common import wheels
from tests.conftest import fetch

CONFIG = {
    "population": "parametric",
    "magnitude_limit": 25.3,
    "redshift_max": 3.0,
    "noise": "none",
    "galaxies_per_part": 300,
}


@pytest.fixture(scope="session")
def spherex_paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("spherex")
    wheel = fetch("astro-sedpy", folder)
    for name, member in channels.SPHEREX_MEMBERS.items():
        wheels.extract(wheel, member, folder / name)
    return [folder / name for name in channels.SPHEREX_FILES]


@pytest.fixture(scope="session")
def spherex(spherex_paths) -> tuple[FilterResponse, ...]:
    return channels.spherex_filters(spherex_paths)


@pytest.fixture(scope="session")
def grid(grid_path) -> ssp.SSPGrid:
    return ssp.load_grid(grid_path)


@pytest.fixture(scope="session")
def fast(grid, spherex) -> FastPhotometry:
    return FastPhotometry.of(grid, LSST_FILTERS + spherex)


@pytest.fixture(scope="session")
def galaxies(grid) -> Population:
    return draw(120, np.random.default_rng(4), CONFIG, grid, target="all")


@pytest.fixture(scope="session")
def part_path(grid_path, spherex_paths, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "simulated-0003.h5"
    make_part(3, 1, CONFIG, grid_path, spherex_paths, path)
    return path


@dataclass
class Part:
    """Columns of a part file."""

    columns: dict[str, np.ndarray]
    axes: dict[str, np.ndarray]
    attrs: dict[str, object]


def read_part(path: Path) -> Part:
    with h5py.File(path) as file:
        columns = {name: file[name][:] for name in file if name != "axis"}
        return Part(columns, {name: data[:] for name, data in file["axis"].items()}, dict(file.attrs))
