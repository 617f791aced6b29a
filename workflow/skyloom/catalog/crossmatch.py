"""Which galaxy of one catalogue is which of another: an equi-join on HEALPix pixels in DuckDB, then exact separations.

Both sides get a nested HEALPix pixel at least 8 radii wide. The smaller side is also entered in the neighbours across
every edge or corner that its circle may cross, so that any two positions within the radius meet in exactly one pixel.
Cost is linear in the number of galaxies, and grows with the number of pairs that share a pixel.
"""

import logging
import warnings

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from astropy import units as u
from astropy_healpix import lonlat_to_healpix, neighbours

from skyloom.core.errors import BadConfig, BadInput

log = logging.getLogger(__name__)

ARCSEC = np.pi / 180 / 3600  # radian
PIXEL_AT_ORDER_0 = np.sqrt(4 * np.pi / 12) / ARCSEC  # arcsec, square root of the pixel's area
WIDTHS = 8  # least width of a pixel, in radii
FINEST = 24  # order; pixels of 0.01", far below any astrometric error
# A circle that crosses a pixel's edge has its centre within SKEW radii of it, measured in the pixel's own coordinates:
# 1 for square pixels, at most 1.5 for the most skewed ones of the HEALPix grid. The rest is margin.
SKEW = 2.0
# The eight neighbours in astropy-healpix's order as steps along the two axes of a pixel: SW, W, NW, N, NE, E, SE, S.
STEPS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))

PAIRS = """
    SELECT l.row AS "left", r.row AS "right",
        (l.x - r.x) * (l.x - r.x) + (l.y - r.y) * (l.y - r.y) + (l.z - r.z) * (l.z - r.z) AS chord2
    FROM l JOIN r USING (pixel) WHERE chord2 <= $limit
"""
# A struct is compared field by field: the nearest, and among equally near ones the first row.
NEAREST = f"""
    SELECT "left", best.row AS "right", best.chord2 AS chord2
    FROM (SELECT "left", min({{'chord2': chord2, 'row': "right"}}) AS best FROM ({PAIRS}) GROUP BY "left")
    ORDER BY "left"
"""
ALL = f"""SELECT * FROM ({PAIRS}) ORDER BY "left", "right" """


def crossmatch(left_ra, left_dec, right_ra, right_dec, radius_arcsec: float, one_to_one: bool = False) -> pd.DataFrame:
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
    if not one_to_one:
        return _join(NEAREST, left_ra, left_dec, right_ra, right_dec, radius_arcsec)
    found = pairs(left_ra, left_dec, right_ra, right_dec, radius_arcsec)
    return _closest_first(found).sort_values("left", ignore_index=True)


def pairs(left_ra, left_dec, right_ra, right_dec, radius_arcsec: float) -> pd.DataFrame:
    """All pairs within a radius, sorted by ``left``, then ``right``; parameters and columns as `crossmatch`."""
    return _join(ALL, left_ra, left_dec, right_ra, right_dec, radius_arcsec)


def nested_pixel(ra, dec, nside: int) -> np.ndarray:
    """Nested HEALPix pixel of positions in degrees, int64 (n,); -1 where a coordinate is not finite."""
    ra, dec = _degrees(ra), _degrees(dec)
    pixel = np.full(len(ra), -1, np.int64)
    usable = np.isfinite(ra) & np.isfinite(dec)
    pixel[usable] = lonlat_to_healpix(ra[usable] % 360 * u.deg, dec[usable] * u.deg, nside, order="nested")
    return pixel


def _closest_first(found: pd.DataFrame) -> pd.DataFrame:
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
    return pd.concat(taken) if taken else found


def _join(query: str, left_ra, left_dec, right_ra, right_dec, radius_arcsec: float) -> pd.DataFrame:
    if not 0 < radius_arcsec <= 3 * 3600:
        raise BadConfig(f"cross-match radius {radius_arcsec!r} arcsec: expected more than 0 and at most 10800")
    order = min(FINEST, int(np.log2(PIXEL_AT_ORDER_0 / (WIDTHS * radius_arcsec))))
    margin = SKEW * radius_arcsec * 2**order / PIXEL_AT_ORDER_0
    left_is_smaller = np.size(left_ra) < np.size(right_ra)
    left = _pixels("left", left_ra, left_dec, 2**order, margin if left_is_smaller else 0)
    right = _pixels("right", right_ra, right_dec, 2**order, 0 if left_is_smaller else margin)
    with duckdb.connect() as connection:
        connection.register("l", left)
        connection.register("r", right)
        limit = (2 * np.sin(radius_arcsec * ARCSEC / 2)) ** 2
        found = connection.execute(query, {"limit": limit}).fetchnumpy()
    return pd.DataFrame(
        {
            "left": found["left"].astype(np.int64),
            "right": found["right"].astype(np.int64),
            "separation_arcsec": 2 * np.arcsin(np.sqrt(found["chord2"]) / 2) / ARCSEC,
        }
    )


def _pixels(side: str, ra, dec, nside: int, margin: float) -> pa.Table:
    """Table (pixel, row, x, y, z) of unit vectors; rows within `margin` pixel widths of an edge enter across it."""
    ra, dec = _degrees(ra), _degrees(dec)
    row = _usable(side, ra, dec)
    ra, dec = ra[row] % 360, dec[row]
    pixel, dx, dy = lonlat_to_healpix(ra * u.deg, dec * u.deg, nside, order="nested", return_offsets=True)
    # Chords of unit vectors are exact to 1e-11 arcsec at all separations and everywhere on the sphere.
    longitude, latitude, axis_distance = np.radians(ra), np.radians(dec), np.cos(np.radians(dec))
    vector = [axis_distance * np.cos(longitude), axis_distance * np.sin(longitude), np.sin(latitude)]
    columns = [pixel, row, *vector]
    if margin:
        again, across = _across_edges(pixel, dx, dy, nside, margin)
        columns = [np.concatenate([pixel, across]), *(np.concatenate([c, c[again]]) for c in columns[1:])]
    return pa.table(dict(zip(("pixel", "row", "x", "y", "z"), columns, strict=True)))


def _across_edges(pixel, dx, dy, nside: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions within `margin` pixel widths of an edge: their index, once a pixel across, and that nested pixel."""
    step_x = (dx >= 1 - margin).astype(np.int8) - (dx <= margin)
    step_y = (dy >= 1 - margin).astype(np.int8) - (dy <= margin)
    near = np.flatnonzero(step_x | step_y)
    around = _neighbours(pixel[near], nside)
    index, across = [near[:0]], [pixel[:0]]
    for (x, y), neighbour in zip(STEPS, around, strict=True):
        # A step along both axes crosses a corner: the pixels along one axis are taken by their own steps.
        touched = ((step_x[near] == x) | (x == 0)) & ((step_y[near] == y) | (y == 0)) & (neighbour >= 0)
        index.append(near[touched])
        across.append(neighbour[touched])
    return np.concatenate(index), np.concatenate(across)


def _neighbours(pixel: np.ndarray, nside: int) -> np.ndarray:
    """The neighbours of nested pixels, (8, n); -1 for one that does not exist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "invalid value", for the neighbours that do not exist
        return neighbours(pixel, nside, order="nested")


def _usable(side: str, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
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


def _degrees(values) -> np.ndarray:
    """Coordinates as float64, masked ones as NaN."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
