"""The survey kinds: one module each, found by name, so that adding a survey is adding a module.

A kind is a module of this package that has ``raw_files(survey)``, or a package whose module ``layout`` has it. Light on
purpose: the Snakefile imports it to build the DAG, so nothing here or in what it finds may import numpy or astropy.
"""

import importlib
import importlib.util

from skyloom.errors import BadConfig

ROLES = ("coadd", "redrock", "zcatalog", "images", "hsc", "simulated", "properties", "truth")
"""What a raw file is for, in every survey."""


def raw_files(survey_name: str, survey: dict) -> dict[str, list[str]]:
    """The raw files of a survey by role, relative to ``results/{survey}/raw/``; a role without files has an empty list.

    Raises
    ------
    BadConfig
        The configuration of `survey_name` names a kind that no module provides.
    """
    kind = survey.get("kind")
    spec = importlib.util.find_spec(f"{__package__}.{kind}") if str(kind).isidentifier() else None
    if spec is None:
        raise BadConfig(f"surveys.{survey_name}.kind is {kind!r}, expected the name of a module in skyloom/surveys")
    is_package = spec.submodule_search_locations is not None
    files = importlib.import_module(f"{spec.name}.layout" if is_package else spec.name).raw_files(survey)
    return {role: list(files.get(role, [])) for role in ROLES}
