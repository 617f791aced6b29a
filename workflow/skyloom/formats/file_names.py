"""What a file is called in catalogues: its name, with as many folders before it as tell it from the others.

Stein's cutouts are `north/images_npix152_000000000_001000000.h5` and `south/images_npix152_000000000_001000000.h5`;
most archives give each file a name of its own, which then is all there is. Such a name says the same wherever the
files lie.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from skyloom.core.errors import BadInput


def file_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """For each path its base name, or where others have the same, the shortest end of the path that they do not share.

    Raises
    ------
    BadInput
        One file is given twice.
    """
    parts = [PurePosixPath(os.path.abspath(path)).parts for path in paths]
    alike: dict[str, list[int]] = {}
    for place, names in enumerate(parts):
        alike.setdefault(names[-1], []).append(place)
    found = [names[-1] for names in parts]
    for places in alike.values():
        if len({parts[place] for place in places}) < len(places):
            raise BadInput(f"{paths[places[0]]}: given twice; expected each file once")
        length = 1
        while len({parts[place][-length:] for place in places}) < len(places):
            length += 1
        for place in places:
            found[place] = "/".join(parts[place][-length:]).replace("//", "/")
    return found


def sorted_paths(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Paths in the order of their base names, then of what `file_names` calls them: the same wherever they lie."""
    order = sorted((Path(path).name, name, str(path)) for path, name in zip(paths, file_names(paths), strict=True))
    return [path for _, _, path in order]


def by_name(paths: Sequence[str | os.PathLike]) -> Mapping[str, Path]:
    """What `file_names` may have called each of these files, among them or among more: every end of its path that
    only it has.

    Raises
    ------
    BadInput
        One file is given twice.
    """
    short = dict(zip(file_names(paths), map(Path, paths), strict=True))
    ends: dict[str, list[Path]] = {}
    for path in map(Path, paths):
        parts = PurePosixPath(os.path.abspath(path)).parts
        for length in range(1, len(parts) + 1):
            ends.setdefault("/".join(parts[-length:]).replace("//", "/"), []).append(path)
    return {name: found[0] for name, found in ends.items() if len(found) == 1} | short


def named(paths: Mapping[str, Path], name: str) -> Path:
    """The file that a catalogue calls `name`; BadInput if it is not among those of `by_name`."""
    if name not in paths:
        total = len(set(paths.values()))
        raise BadInput(f"{name}: named in galaxies.parquet but not among the {total} input files, or among them twice")
    return paths[name]
