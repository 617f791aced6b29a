"""The toy survey, made once."""

import pytest

from tests.explore import toy


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The folder that has ``toy`` and the user's files, and the catalogue's values."""
    folder = tmp_path_factory.mktemp("explore")
    return folder, toy.survey(folder)


@pytest.fixture(scope="session")
def page_results(results, tmp_path_factory):
    """The folder of the toy survey with all that a page shows."""
    from tests.explore.page_toy import page_survey

    return page_survey(results[0], tmp_path_factory.mktemp("page"))
