"""Which galaxy of one catalogue is which of another: an equi-join on cells of space in DuckDB, then exact separations.

Positions are points of the unit sphere, and space is cut into cubes several radii wide. The smaller side is entered in
every cube that the ball around it touches, the larger one in the cube where it is, so that any two positions within the
radius meet in exactly one cube: neither poles nor the wrap in right ascension are special. Cost is linear in the number
of galaxies, and grows with the number of pairs that share a cube. DuckDB joins nothing but row numbers, streamed; what
is far from all of the other catalogue is left out before.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from astropy import units as u
from astropy_healpix import lonlat_to_healpix

from skyloom.core.errors import BadConfig, BadInput

log = logging.getLogger(__name__)

ARCSEC = np.pi / 180 / 3600  # radian
WIDTHS = 4  # of a cube, in radii: fewer pairs share a smaller one, and more balls touch several
FINEST = 2.0**-19  # least width, 0.4": three numbers below 2^21 make one of 63 bits
_ROWS = 2**14  # worked on at once: they stay in the processor's cache
_PAIRS = 2**16  # likewise
_BATCH = 2**20  # pairs that DuckDB hands over at once
ROUNDING = 1e-15  # of coordinates between -1 and 1, with room to spare
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: neighbouring cells come to lie far apart
_NONE = np.iinfo(np.int64).max

TOGETHER = "SELECT small.row AS small, large.row AS large FROM small JOIN large USING (cell)"
"""Rows that share a cube."""


@dataclass
class _Positions:
    """Usable positions of a catalogue: their rows in it, their unit vectors (x, y and z), the cubes they are in."""

    row: np.ndarray
    vector: list[np.ndarray]
    cell: np.ndarray


def crossmatch(
    left_ra, left_dec, right_ra, right_dec, radius_arcsec: float, one_to_one: bool = False, threads: int = 1
) -> pd.DataFrame:
    """Nearest galaxy of the right catalogue, within a radius, for each of the left one.

    Parameters
    ----------
    left_ra, left_dec : array_like, (n,)
        Degrees. Any finite right ascension is taken (it wraps); positions that are not finite or masked never match and
        are counted in the log.
    right_ra, right_dec : array_like, (m,)
        Degrees.
    radius_arcsec : float
        Largest separation, inclusive.
    one_to_one : bool
        Use each right row at most once. Pairs are taken by growing separation, each if both its galaxies are still
        free, so that a galaxy that loses its nearest counterpart to a closer rival gets the next one within the radius.
    threads : int
        Of DuckDB, which otherwise takes every core. The result does not depend on it.

    Returns
    -------
    DataFrame
        ``left``, ``right`` (int64 row numbers) and ``separation_arcsec``, sorted by ``left``; no row for a galaxy
        without a match. Equal separations are settled by the smaller left row, then the smaller right row.

    Raises
    ------
    BadInput
        A declination outside -90 to +90 degrees, or coordinates of different lengths.
    BadConfig
        A radius that is not between 0 (exclusive) and 3 degrees.
    """
    left, right = _both(left_ra, left_dec, right_ra, right_dec, radius_arcsec)
    if one_to_one:
        return closest_first(_frame(left, right, *_all(left, right, radius_arcsec, threads)))
    return _frame(left, right, *_nearest(left, right, radius_arcsec, threads))


def pairs(left_ra, left_dec, right_ra, right_dec, radius_arcsec: float, threads: int = 1) -> pd.DataFrame:
    """All pairs within a radius, sorted by ``left``, then ``right``; parameters and columns as `crossmatch`."""
    left, right = _both(left_ra, left_dec, right_ra, right_dec, radius_arcsec)
    return _frame(left, right, *_all(left, right, radius_arcsec, threads))


def nested_pixel(ra, dec, nside: int) -> np.ndarray:
    """Nested HEALPix pixel of positions in degrees, int64 (n,); -1 where a coordinate is not finite."""
    ra, dec = degrees(ra), degrees(dec)
    pixel = np.full(len(ra), -1, np.int64)
    usable = np.isfinite(ra) & np.isfinite(dec)
    pixel[usable] = lonlat_to_healpix(ra[usable] % 360 * u.deg, dec[usable] * u.deg, nside, order="nested")
    return pixel


def closest_first(found: pd.DataFrame) -> pd.DataFrame:
    """One-to-one subset of `found`: pairs by growing separation, each if both its galaxies are still free.

    Taken in rounds: a pair that is the first of both its galaxies is taken by the greedy rule whatever comes before it.
    """
    found = found.sort_values(["separation_arcsec", "left", "right"], ignore_index=True)
    taken = []
    while len(found):
        mutual = ~found.duplicated("left") & ~found.duplicated("right")
        taken.append(found[mutual])
        free = ~found["left"].isin(taken[-1]["left"]) & ~found["right"].isin(taken[-1]["right"])
        found = found[free]
    return pd.concat(taken).sort_values("left", ignore_index=True) if taken else found


def check_radius(radius_arcsec: float) -> None:
    """BadConfig unless it is one that `crossmatch` takes."""
    if not 0 < radius_arcsec <= 3 * 3600:
        raise BadConfig(f"cross-match radius {radius_arcsec!r} arcsec: expected more than 0 and at most 10800")


def _both(left_ra, left_dec, right_ra, right_dec, radius_arcsec: float) -> tuple[_Positions, _Positions]:
    """Both catalogues, in cubes that suit the radius."""
    check_radius(radius_arcsec)
    width = _width(_chord(radius_arcsec))
    return _positions("left", left_ra, left_dec, width), _positions("right", right_ra, right_dec, width)


def _nearest(left: _Positions, right: _Positions, radius_arcsec: float, threads: int) -> tuple[np.ndarray, ...]:
    """For each place in `left` with a pair that place, the nearest in `right`, and the square of their chord."""
    best, nearest = np.full(len(left.row), np.inf), np.full(len(left.row), _NONE)
    for one, other, chord2 in _pairs(left, right, radius_arcsec, threads):
        nearest[one[chord2 < best[one]]] = _NONE  # what was nearest until now
        np.minimum.at(best, one, chord2)
        equal = chord2 == best[one]
        np.minimum.at(nearest, one[equal], other[equal])  # among equally near ones the first row
    found = np.flatnonzero(nearest < _NONE)
    return found, nearest[found], best[found]


def _all(left: _Positions, right: _Positions, radius_arcsec: float, threads: int) -> tuple[np.ndarray, ...]:
    """All pairs of places, sorted, and the squares of their chords."""
    found = list(zip(*_pairs(left, right, radius_arcsec, threads), strict=True))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    one, other, chord2 = map(np.concatenate, found)
    order = np.argsort(one * len(right.row) + other)
    return one[order], other[order], chord2[order]


def _frame(left: _Positions, right: _Positions, one, other, chord2) -> pd.DataFrame:
    """Pairs of places as `crossmatch` returns them."""
    separation = 2 * np.arcsin(np.sqrt(chord2) / 2) / ARCSEC
    return pd.DataFrame({"left": left.row[one], "right": right.row[other], "separation_arcsec": separation})


def _pairs(left: _Positions, right: _Positions, radius_arcsec: float, threads: int) -> Iterator[tuple[np.ndarray, ...]]:
    """The pairs within the radius, each once, in no order and some at a time: places in both, squares of the chords."""
    limit, swapped = _chord(radius_arcsec) ** 2, len(left.row) >= len(right.row)
    small, large = (right, left) if swapped else (left, right)
    for row, other in _together(small, large, _chord(radius_arcsec), threads):
        for start in range(0, len(row), _PAIRS):
            here, there = row[start : start + _PAIRS], other[start : start + _PAIRS]
            chord2 = sum((x[here] - y[there]) ** 2 for x, y in zip(small.vector, large.vector, strict=True))
            near = np.flatnonzero(chord2 <= limit)
            here, there = here[near], there[near]
            yield (there, here, chord2[near]) if swapped else (here, there, chord2[near])


def _together(small: _Positions, large: _Positions, radius: float, threads: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Places in both catalogues that share a cube."""
    index, cell = _touched(small.vector, _width(radius), radius + ROUNDING)
    possible = _near(large.cell, cell)
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("small", pa.table({"cell": cell, "row": index}))
        connection.register("large", pa.table({"cell": large.cell[possible], "row": possible}))
        for batch in connection.sql(TOGETHER).to_arrow_reader(_BATCH):
            yield tuple(column.to_numpy() for column in batch.columns)


def _near(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Places of `cells` but for those that are surely not among `others`: a table of bits, eight and more a cell."""
    bits = np.uint64(np.clip(np.ceil(np.log2(8 * len(others) + 1)), 10, 28))
    table, found = np.zeros(2 ** int(bits), bool), np.empty(len(cells), bool)
    for some in _stretches(len(others)):
        table[(others[some].view(np.uint64) * _MIX) >> (np.uint64(64) - bits)] = True
    for some in _stretches(len(cells)):
        found[some] = table[(cells[some].view(np.uint64) * _MIX) >> (np.uint64(64) - bits)]
    return np.flatnonzero(found)


def _stretches(rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, rows, _ROWS))


def _chord(arcsec: float) -> float:
    return 2 * np.sin(arcsec * ARCSEC / 2)


def _width(radius: float) -> float:
    """Of the cubes for a radius, both as chords."""
    return max(WIDTHS * radius, FINEST)


def _positions(side: str, ra, dec, width: float) -> _Positions:
    ra, dec = degrees(ra), degrees(dec)
    row = usable(side, ra, dec)
    if len(row) < len(ra):
        ra, dec = ra[row], dec[row]
    vector, cell = [np.empty(len(row)) for _ in range(3)], np.empty(len(row), np.int64)
    for some in _stretches(len(row)):
        parts = _unit_vector(ra[some], dec[some])
        for x, part in zip(vector, parts, strict=True):
            x[some] = part
        cell[some] = sum(_cubes(parts, width, 0))
    return _Positions(row, vector, cell)


def _unit_vector(ra: np.ndarray, dec: np.ndarray) -> list[np.ndarray]:
    # Chords of unit vectors are exact to 1e-11 arcsec at all separations and everywhere on the sphere.
    if ra.min() < 0 or ra.max() >= 360:  # a remainder takes as long as all the rest
        ra = ra % 360
    (sin_ra, cos_ra), (sin_dec, cos_dec) = _sin_cos(ra), _sin_cos(dec)
    return [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec]


def _sin_cos(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the tangent of half the angle, to some 1e-16: numpy has it for many angles at a time, sine and cosine not."""
    tangent = np.tan(degrees * (np.pi / 360))
    square = tangent * tangent
    scale = 1 / (1 + square)
    return 2 * tangent * scale, (1 - square) * scale


def _touched(vector: list[np.ndarray], width: float, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Index of each position once a cell within `margin` of it along every axis, and that cell."""
    low, high = _cubes(vector, width, -margin), _cubes(vector, width, margin)
    steps = [b - a for a, b in zip(low, high, strict=True)]  # 0, or to the next cube
    index, cell = [np.arange(len(low[0]))], [sum(low)]
    for step in steps:
        # what is entered already, again across this axis
        across = [some[step[some] > 0] for some in index]
        cell += [c[step[some] > 0] + step[other] for c, some, other in zip(cell, index, across, strict=True)]
        index += across
    return np.concatenate(index), np.concatenate(cell)


def _cubes(vector: list[np.ndarray], width: float, shift: float) -> list[np.ndarray]:
    """Of x, y and z, each `shift` further, the number of the cube along the axis, in its place of the cell's number."""
    return [((x + (1 + width + shift)) * (1 / width)).astype(np.int64) << 21 * axis for axis, x in enumerate(vector)]


def usable(side: str, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Row numbers (int64) of the finite positions; raises BadInput for impossible ones."""
    if ra.shape != dec.shape or ra.ndim != 1:
        raise BadInput(f"{side} catalogue: RA has shape {ra.shape}, Dec {dec.shape}; expected one of each a row")
    finite = np.isfinite(ra) & np.isfinite(dec)
    wrong = np.flatnonzero(finite & (np.abs(dec) > 90))
    if len(wrong):
        raise BadInput(
            f"{side} catalogue: {len(wrong)} declinations beyond 90 degrees, first {dec[wrong[0]]:g} in row {wrong[0]}"
        )
    if not finite.all():
        log.info("%s catalogue: %d of %d positions not finite, they match nothing", side, (~finite).sum(), len(finite))
    return np.flatnonzero(finite)


def degrees(values) -> np.ndarray:
    """Coordinates as float64, masked ones as NaN."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
