"""Packages that come with an extra of the project, and what is said where they are not installed."""

import contextlib
from collections.abc import Iterator

from skyloom.core.errors import BadConfig


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Surrounds the imports of packages of an extra: BadConfig with the command that installs one that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        command = f"pip install -c requirements.lock -e '.[{name}]'"
        raise BadConfig(f"the package {error.name} is not installed, which this needs: {command}") from error
