"""Which galaxies train, validate and test: splits that leak nothing and stay as they are when a survey grows.

Galaxies that are the same object (equal TARGETID) or closer than a separation on the sky, directly or through a chain
of others, form a group; a group is never divided. A group's split is a pure function of the seed and the group's own
number, its smallest TARGETID: new galaxies leave the split of all others as it was, except where they link groups or
bring a smaller number to one.
"""

import logging

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skyloom.catalog.crossmatch import nested_pixel, pairs
from skyloom.core.errors import BadConfig
from skyloom.core.mixing import uniform

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
KINDS = ("random", "healpix")


def split(
    targetid,
    ra,
    dec,
    fractions: dict[str, float],
    seed: int,
    kind: str = "random",
    nside: int = 256,
    separation_arcsec: float = 1.0,
) -> np.ndarray:
    """The split of each galaxy.

    Parameters
    ----------
    targetid : (N,) int
    ra, dec : (N,) float
        Degrees; a galaxy without a finite position is grouped by its TARGETID alone.
    fractions : dict
        Of train, validation and test; they add up to 1 and are met within the sampling noise of the groups.
    seed : int
        Another seed, other splits.
    kind : {"random", "healpix"}
        "random": each group for itself. "healpix": whole sky pixels go to one split, numbered by the pixel; pixels that
        a group spans go together, so that a test galaxy has no training galaxy in its pixel. Pixels should be much
        larger than the separation, and there should be many.
    nside : int
        Of the (nested) pixels of "healpix".
    separation_arcsec : float
        Galaxies at most this far apart are in one split; 0 looks at TARGETIDs alone.

    Returns
    -------
    (N,) array of str
        "train", "validation" or "test".

    Raises
    ------
    BadConfig
        Fractions that do not add up to 1, an unknown kind.
    """
    limits = _limits(fractions)
    if kind not in KINDS:
        raise BadConfig(f"split kind {kind!r}: expected one of {', '.join(KINDS)}")
    targetid = np.asarray(targetid, np.int64)
    if not len(targetid):
        return np.empty(0, "<U10")
    group = groups(targetid, ra, dec, separation_arcsec)
    number = targetid
    if kind == "healpix":
        pixel = nested_pixel(ra, dec, nside)
        group = _with_pixels(group, pixel)
        number = np.where(pixel >= 0, pixel, targetid)
        _report_blocks(group, pixel)
    smallest = np.full(group.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, group, number)
    choice = np.searchsorted(limits, uniform(seed, smallest), side="right")[group]
    return np.array(SPLITS)[choice]


def groups(targetid, ra, dec, separation_arcsec: float) -> np.ndarray:
    """Group numbers (N,) from 0: equal for equal TARGETIDs and for positions within the separation, transitively."""
    left = right = np.empty(0, np.int64)
    if separation_arcsec > 0:
        close = pairs(ra, dec, ra, dec, separation_arcsec)
        left, right = close["left"].to_numpy(), close["right"].to_numpy()
    distinct = left < right
    _, first, same = np.unique(np.asarray(targetid), return_index=True, return_inverse=True)
    rows = np.arange(len(same))
    return _connected(len(rows), np.append(left[distinct], rows), np.append(right[distinct], first[same]))


def _limits(fractions: dict[str, float]) -> np.ndarray:
    """Upper ends of train and validation in [0, 1]; raises BadConfig for impossible fractions."""
    wrong = set(fractions) - set(SPLITS)
    values = [fractions.get(name, 0.0) for name in SPLITS]
    if wrong or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
        raise BadConfig(f"split fractions {dict(fractions)}: expected {', '.join(SPLITS)}, none negative, 1 in total")
    return np.cumsum(values)[:-1]


def _with_pixels(group: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Group numbers (N,) of groups that share a pixel, transitively; a pixel of -1 is none."""
    placed = pixel >= 0
    node = group.max() + 1 + np.unique(pixel, return_inverse=True)[1]
    return _connected(node.max() + 1, group[placed], node[placed])[group]


def _connected(total: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    links = coo_array((np.ones(len(left), bool), (left, right)), shape=(total, total))
    return connected_components(links, directed=False)[1]


def _report_blocks(group: np.ndarray, pixel: np.ndarray) -> None:
    sizes = np.bincount(group)
    blocks, pixels = np.count_nonzero(sizes), len(np.unique(pixel[pixel >= 0]))
    log.info("%d sky pixels in %d blocks, the largest with %d of %d galaxies", pixels, blocks, sizes.max(), len(group))
    if sizes.max() > len(group) / 4:
        share = 100 * sizes.max() / len(group)
        log.warning("one block of pixels holds %.0f %% of the galaxies: a larger nside divides better", share)
