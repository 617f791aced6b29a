"""Packages that come with an extra of the project, and what is said where they are not installed."""

import importlib
from types import ModuleType

from skyloom.core.errors import BadConfig


def needed(module: str, extra: str) -> ModuleType:
    """A module, imported; BadConfig with the command that installs it where it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing, command = error.name or module, f"pip install -c requirements.lock -e '.[{extra}]'"
        raise BadConfig(f"the package {missing} is not installed, which this needs: {command}") from error
