"""The survey kinds: one module each, found by name, so that adding a survey is adding a module.

A kind is a module of `skyloom.surveys` that has ``raw_files(survey)``. Light on purpose: the Snakefile imports it to
build the DAG, so nothing here or in what it finds may import numpy or astropy.
"""

import importlib
import importlib.util

from skyloom.core.errors import BadConfig

ROLES = ("coadd", "redrock", "zcatalog", "images", "hsc", "simulated", "properties", "derived", "truth")
"""What a raw file is for, in every survey."""


def raw_files(survey_name: str, survey: dict) -> dict[str, list[str]]:
    """The raw files of a survey by role, relative to ``results/{survey}/raw/``; a role without files has an empty list.

    Raises
    ------
    BadConfig
        The configuration of `survey_name` names a kind that no module provides.
    """
    kind = survey.get("kind")
    if not str(kind).isidentifier() or importlib.util.find_spec(f"skyloom.surveys.{kind}") is None:
        raise BadConfig(f"surveys.{survey_name}.kind is {kind!r}, expected the name of a module in skyloom/surveys")
    files = importlib.import_module(f"skyloom.surveys.{kind}").raw_files(survey)
    return {role: list(files.get(role, [])) for role in ROLES}
