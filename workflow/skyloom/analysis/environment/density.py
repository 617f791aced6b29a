"""How crowded it is around galaxies: on the sky, and in cylinders along the line of sight."""

import numpy as np
from astropy import units as u
from astropy.cosmology import Planck18
from astropy_healpix import lonlat_to_healpix, nside_to_pixel_area
from scipy.spatial import cKDTree

C_KM_S = 299792.458
POINTS = 64
"""Of a disc, of which it is asked whether they are in the footprint."""
_BLOCK = 4096


def directions(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 3) of positions in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def chord(angle: np.ndarray) -> np.ndarray:
    """Of an angle in radians."""
    return 2 * np.sin(np.minimum(angle, np.pi) / 2)


def on_the_sky(ra: np.ndarray, dec: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Arcmin (N,) to the nearest other galaxy, and how many others (N,) are within `threshold` arcmin.

    NaN and 0 for the only galaxy there is.
    """
    vectors = directions(ra, dec)
    if len(vectors) < 2:
        return np.full(len(vectors), np.nan), np.zeros(len(vectors), int)
    tree = cKDTree(vectors)
    nearest = tree.query(vectors, k=2)[0][:, 1]
    count = tree.query_ball_point(vectors, chord(np.radians(threshold / 60)), return_length=True) - 1
    return np.degrees(2 * np.arcsin(nearest / 2)) * 60, count


def in_cylinders(
    ra: np.ndarray, dec: np.ndarray, z: np.ndarray, radius: float, velocity: float, smoothed: float, nside: int
) -> tuple[np.ndarray, np.ndarray]:
    """Density (N,) in units of the mean at that redshift, and the share (N,) of each cylinder within the footprint.

    The density is the number of other galaxies within `radius` (comoving Mpc, across) and `velocity` (km/s, along)
    over the number expected of galaxies that are spread evenly over the footprint, of which the cylinder at an edge or
    beside a hole has only a part; the mean follows the redshift distribution, over `smoothed` lengths of the cylinder.
    Of galaxies without clusters it is 1 on average, at edges too. NaN where nothing is expected.

    Parameters
    ----------
    ra, dec : (N,) degrees;  z : (N,) above 0
    nside : of the pixels that hold galaxies: the footprint
    """
    if not len(z):
        return np.zeros(0), np.zeros(0)
    vectors, depth = directions(ra, dec), np.log1p(z)
    length = velocity / C_KM_S  # in ln(1 + z), as long at every redshift
    angle = radius / Planck18.comoving_transverse_distance(z).value
    found = _counts(vectors, depth, angle, length)
    pixels = np.unique(lonlat_to_healpix(ra * u.deg, dec * u.deg, nside, order="nested"))
    area = len(pixels) * nside_to_pixel_area(nside).to_value(u.sr)
    share = _shares(vectors, angle, pixels, nside)
    disc = 2 * np.pi * (1 - np.cos(np.minimum(angle, np.pi)))
    ordered = np.sort(depth)
    wide = [depth - smoothed * length, depth + smoothed * length]
    near = np.searchsorted(ordered, wide[1], "right") - np.searchsorted(ordered, wide[0], "left") - 1
    # neither the cylinder nor where the mean is taken reaches beyond the survey's first and last galaxy
    part = _within(depth - length, depth + length, ordered) / np.maximum(_within(*wide, ordered), 1e-12)
    expected = near * part * disc * share / area
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, found / expected, np.nan), share


def _within(low: np.ndarray, high: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Lengths of spans that lie between the first and the last of `ordered`."""
    return np.minimum(high, ordered[-1]) - np.maximum(low, ordered[0])


def _counts(vectors: np.ndarray, depth: np.ndarray, angle: np.ndarray, length: float) -> np.ndarray:
    """Others (N,) within an angle (N,) and a difference in ln(1 + z)."""
    tree, found = cKDTree(vectors), np.zeros(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        lists = tree.query_ball_point(vectors[rows], chord(angle[rows]))
        sizes = np.array([len(near) for near in lists])
        owner = np.repeat(np.arange(len(lists)), sizes)
        near = np.concatenate([np.asarray(near, int) for near in lists])
        within = np.abs(depth[near] - depth[rows][owner]) <= length
        found[rows] = np.bincount(owner[within], minlength=len(lists)) - 1  # itself
    return found


def _shares(vectors: np.ndarray, angle: np.ndarray, pixels: np.ndarray, nside: int) -> np.ndarray:
    """Share (N,) of discs that lie in pixels: of points that are spread evenly over each."""
    place = (np.arange(POINTS) + 0.5) / POINTS
    turn = np.pi * (1 + 5**0.5) * np.arange(POINTS)  # a sunflower's
    pole = np.where(np.abs(vectors[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    east = np.cross(pole, vectors)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(vectors, east)
    shares = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        # evenly over the cap: its height grows evenly
        height = 1 - place * (1 - np.cos(np.minimum(angle[rows, None], np.pi)))
        across = np.sqrt(np.maximum(1 - height**2, 0))[..., None]
        around = np.cos(turn)[:, None] * east[rows, None] + np.sin(turn)[:, None] * north[rows, None]
        points = height[..., None] * vectors[rows, None] + across * around
        lon, lat = np.arctan2(points[..., 1], points[..., 0]), np.arcsin(points[..., 2].clip(-1, 1))
        inside = lonlat_to_healpix(lon.ravel() % (2 * np.pi) * u.rad, lat.ravel() * u.rad, nside, order="nested")
        shares[rows] = np.isin(inside, pixels).reshape(lon.shape).mean(axis=1)
    return shares


def thirds(values: np.ndarray) -> np.ndarray:
    """0, 1, 2 for the lower, middle and upper third of values (N,), equal ones together; -1 where NaN."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), -1)
    edges = np.quantile(values[known], [1 / 3, 2 / 3])
    return np.where(known, np.searchsorted(edges, np.where(known, values, 0), side="left"), -1)
