"""The toy survey, made once."""

import pytest

from tests.explore import toy


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The folder that has ``toy`` and the user's files, and the catalogue's values."""
    folder = tmp_path_factory.mktemp("explore")
    return folder, toy.survey(folder)
