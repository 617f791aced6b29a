"""Files inside pinned packages, named as ``package:NAME/path/in/the/package``, patterns too.

A survey may name them wherever it names files: the package is fetched like any other data (wheels.py), and what fits is
taken out while a job reads it.
"""

import contextlib
import fnmatch
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from skyloom.core.errors import BadInput
from skyloom.surveys.common.wheels import PINNED, extract, members

SCHEME = "package:"
FOLDER = "results/downloads"


def is_packaged(path: str) -> bool:
    """Whether a path or pattern is of a file inside a package."""
    return path.startswith(SCHEME)


def fault(path: str) -> str:
    """What is wrong with the path of a file inside a package; empty if nothing is."""
    name, _, member = path.removeprefix(SCHEME).partition("/")
    if name not in PINNED:
        return f"'{path}' names a package that is not pinned; there are {', '.join(PINNED)}"
    return "" if member else f"'{path}' names no file of {name}; expected {SCHEME}{name}/path/in/the/package"


def archive(path: str) -> str:
    """The archive that a file inside a package is in, as the workflow fetches it; other paths as they are."""
    if not is_packaged(path):
        return path
    name = path.removeprefix(SCHEME).partition("/")[0]
    return f"{FOLDER}/{name}{PINNED[name].suffix}"


def of_packages(paths: Sequence[str]) -> list[str]:
    """Those that name files inside packages."""
    return [path for path in paths if is_packaged(path)]


@contextlib.contextmanager
def unpacked(paths: Sequence[str | os.PathLike], packaged: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """What files are called -> where they are, those inside packages taken out for as long as the context lasts.

    Parameters
    ----------
    paths : files, among them the archives (`archive`) of what is `packaged`
    packaged : which files inside them are wanted, as ``package:...``; they are called so too

    Raises
    ------
    BadInput : a package has no such file, or is broken.
    """
    archives = {archive(pattern) for pattern in packaged}
    found = {str(path): str(path) for path in paths if str(path) not in archives}
    with tempfile.TemporaryDirectory(prefix="skyloom-") as folder:
        for pattern in packaged:
            name, _, wanted = pattern.removeprefix(SCHEME).partition("/")
            inside = sorted(fnmatch.filter(members(archive(pattern)), wanted))
            if not inside:
                raise BadInput(f"{archive(pattern)}: no file in it fits {wanted}")
            for member in inside:
                place = Path(folder, name, member)
                place.parent.mkdir(parents=True, exist_ok=True)
                extract(archive(pattern), member, place)
                found[f"{SCHEME}{name}/{member}"] = str(place)
        yield found
