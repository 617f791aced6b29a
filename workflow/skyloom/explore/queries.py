"""What may be asked for: a galaxy by TARGETID, the galaxies at a position, a file of the user's own; or a list."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats import positions

RADIUS = 1.0
"""Of a position, arcsec, unless told."""


@dataclass(frozen=True)
class Position:
    """All galaxies within `radius` arcsec of `ra`, `dec` (degrees, ICRS), the nearest first."""

    ra: float
    dec: float
    radius: float = RADIUS

    def __post_init__(self):
        if not (math.isfinite(self.ra) and -360 <= self.ra <= 360 and -90 <= self.dec <= 90):
            raise BadInput(f"position {self.ra:g} {self.dec:g}: expected degrees, ra 0 to 360, dec -90 to 90")
        if not 0 < self.radius <= 180 * 3600:
            raise BadInput(f"position with radius {self.radius:g} arcsec: expected one above 0 and up to 180 degrees")


@dataclass(frozen=True)
class File:
    """A file of the user's own with spectra or images, in any form that surveys are read from; all its rows."""

    path: str


Query = int | Position | File


def parse(text: str, folder: str | os.PathLike = ".") -> Query:
    """A query of a line of text: a whole number, two or three numbers (ra, dec, radius in arcsec), or a path.

    Parameters
    ----------
    folder : what paths are relative to
    """
    words = text.replace(",", " ").split()
    try:
        if len(words) == 1:
            number = int(words[0])
            if not -(2**63) <= number < 2**63:
                raise BadInput(f"{number}: not a TARGETID, which has 64 bits")
            return number
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) in (2, 3):
        return Position(*numbers)
    path = Path(folder, text.strip())
    if not words or not _is_file(path):
        raise BadInput(f"{text.strip()[:200]!r}: not a TARGETID, not a position (ra dec radius), and no such file")
    return File(str(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False


def read_list(path: str | os.PathLike) -> list[Query]:
    """Queries of a text file, one a line (`parse`; paths relative to the list, # begins a comment), or of a table
    (FITS, Parquet, CSV, ECSV, VOTable) with a column targetid, or with ra and dec and perhaps radius (arcsec).

    Raises
    ------
    BadInput : names the line that is none.
    """
    name = str(path).lower()
    if any(name.endswith(ending) for ending in positions.FORMS):
        return _of_table(path)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a list of queries ({error})") from error
    found = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].strip()
        if words:
            try:
                found.append(parse(words, Path(path).parent))
            except BadInput as error:
                raise BadInput(f"{path}, line {number}: {error}") from error
    return found


def _of_table(path: str | os.PathLike) -> list[Query]:
    table = positions.read_table(path)
    names = {name.lower(): name for name in table.colnames}
    if "targetid" in names:
        values = np.ma.filled(table[names["targetid"]], -1)
        if np.asarray(values).dtype.kind not in "iu":
            raise BadInput(f"{path}: column {names['targetid']} holds {values.dtype}, expected whole numbers")
        return [int(value) for value in values]
    if not {"ra", "dec"} <= set(names):
        raise BadInput(f"{path}: neither a column targetid nor ra and dec, found {', '.join(table.colnames)}")
    columns = [table[names[name]] for name in ("ra", "dec", "radius") if name in names]
    return [Position(*map(float, row)) for row in zip(*columns, strict=True)]


def words(query: Query) -> str:
    """What an answer calls it."""
    if isinstance(query, Position):
        return f"{query.ra:.6f} {query.dec:.6f} {query.radius:g}"
    return Path(query.path).name if isinstance(query, File) else str(query)


def parse_all(texts: Sequence["str | Query"]) -> list[Query]:
    """Queries, those in text parsed."""
    return [parse(query) if isinstance(query, str) else query for query in texts]
