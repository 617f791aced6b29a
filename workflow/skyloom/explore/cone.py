"""Galaxies in a cone, as the IVOA's Simple Cone Search 1.03 asks and answers: TOPCAT, Aladin, pyvo.

A server gives the part of an address after the question mark to `respond`, and sends what comes back.
"""

from urllib.parse import parse_qs

import numpy as np
import pyarrow as pa

from skyloom.core.errors import BadInput
from skyloom.explore.answers import votable_bytes
from skyloom.explore.catalog import Catalog, field_of
from skyloom.explore.queries import Position

CONTENT = "application/x-votable+xml"
MOST = 20_000
"""Galaxies of an answer; where there are more it says OVERFLOW."""
_UCD = {"targetid": "ID_MAIN", "ra": "POS_EQ_RA_MAIN", "dec": "POS_EQ_DEC_MAIN"}
"""What the standard calls the three columns that it wants."""
_FEW = ("z", "spectype", "mag_r")


def cone_search(catalog: Catalog, position: Position, verbosity: int = 2, most: int = MOST) -> tuple[pa.Table, bool]:
    """The galaxies of a cone, the nearest first, and whether there are more than `most`.

    Parameters
    ----------
    verbosity : 1: identifier, ra, dec, distance and a few; 2: the columns of answers; 3: all of galaxies.parquet

    Returns
    -------
    targetid (text, as the standard wants an identifier), ra, dec, distance_arcsec, then columns of the catalogue
    """
    rows, separation = catalog.within(position)
    return _table(catalog, rows[:most], separation[:most], verbosity), len(rows) > most


def _table(catalog: Catalog, rows: np.ndarray, separation: np.ndarray, verbosity: int) -> pa.Table:
    names = {1: _FEW, 2: catalog.shown}.get(verbosity, catalog.schema.names)
    others = [name for name in names if name in catalog.schema.names and name not in _UCD]
    arrays, fields = catalog.take([*_UCD, *others], rows)
    arrays[0] = pa.array([str(value) for value in arrays[0].to_pylist()], pa.string())
    for i, name in enumerate(_UCD):
        kept = field_of(fields[i])
        fields[i] = pa.field(name, arrays[i].type, metadata={**(kept.metadata or {}), b"ucd": _UCD[name].encode()})
    words = {"unit": "arcsec", "ucd": "pos.angDistance", "description": "Distance from the centre of the cone"}
    arrays.insert(3, pa.array(separation))
    fields.insert(3, pa.field("distance_arcsec", pa.float64(), metadata=words))
    return pa.table(arrays, schema=pa.schema(fields))


def respond(catalog: Catalog, query: str, most: int = MOST) -> tuple[int, str, bytes]:
    """Answer a request.

    Parameters
    ----------
    query : ``RA=150.1&DEC=2.2&SR=0.1`` in degrees, with VERB and MAXREC if wanted; names in any case

    Returns
    -------
    status 200, content type, body: a VOTable; of a request that cannot be, one with an INFO called Error, as the
    standard has it. Nothing is raised for what a client may send.
    """
    try:
        given = {key.upper(): values[-1] for key, values in parse_qs(query, max_num_fields=50).items()}
        position = Position(*(_number(given, key) for key in ("RA", "DEC")), 1.0)
        radius = _number(given, "SR")
        if not 0 <= radius <= 180:
            raise BadInput(f"SR: {radius:g} degrees, expected 0 to 180")
        verbosity = int(_number(given, "VERB", 2))
        most = min(most, max(0, int(_number(given, "MAXREC", most))))
        if radius == 0 or most == 0:  # only what columns there are
            table, more = _table(catalog, np.empty(0, int), np.empty(0), verbosity), False
        else:
            table, more = cone_search(catalog, Position(position.ra, position.dec, radius * 3600), verbosity, most)
    except (BadInput, ValueError, OverflowError) as error:
        table = pa.table([], schema=pa.schema([]))
        return 200, CONTENT, votable_bytes(table, "error", {"Error": str(error)[:300], "QUERY_STATUS": "ERROR"})
    return 200, CONTENT, votable_bytes(table, "cone", {"QUERY_STATUS": "OVERFLOW" if more else "OK"})


def _number(given: dict[str, str], key: str, default: float | None = None) -> float:
    if key not in given:
        if default is None:
            raise BadInput(f"{key} is missing; expected RA, DEC and SR in degrees")
        return default
    try:
        value = float(given[key])
    except ValueError as error:
        raise BadInput(f"{key}: {given[key][:40]!r} is not a number") from error
    if not np.isfinite(value):
        raise BadInput(f"{key}: {given[key][:40]!r} is not finite")
    return value
