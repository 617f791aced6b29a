"""Which galaxies train, validate and test: splits that leak nothing and stay as they are when a survey grows.

Galaxies that are the same object (equal TARGETID) or closer than a separation on the sky, directly or through a chain
of others, form a group; a group is never divided. A group's split is a pure function of the seed and the group's own
number, its smallest TARGETID: new galaxies leave the split of all others as it was, except where they link groups or
bring a smaller number to one.

Images of neighbours on the sky overlap: galaxies an arcsecond apart are one object, but galaxies half a minute apart
are on each other's cutouts. `shared_sky` says how many test galaxies a network has seen parts of while it was trained;
a separation of `apart` the cutouts' side parts them by cutout, and leaves none.
"""

import logging
from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skyloom.catalog.crossmatch import nested_pixel, pairs
from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.mixing import uniform
from skyloom.formats import galaxiesml, legacy

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
    log.info("%d groups, the largest of %d galaxies", group.max() + 1, np.bincount(group).max())
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


def published(targetid, ra, dec, stated, seed: int, wanted: Mapping) -> np.ndarray:
    """The split of each galaxy as the files state it, mended so that nothing leaks.

    A group (see `split`) that is stated to be in several splits goes to test if one of its galaxies is of test, else to
    validation: the published test set loses nothing, and what was trained on has seen none of it. Without a galaxy that
    is stated to be of validation, groups of train are drawn for it, with the share
    ``validation / (train + validation)`` of the fractions.

    Parameters
    ----------
    targetid, ra, dec, seed : as of `split`
    stated : (N,) text, of `SPLITS`
    wanted : ``fractions`` and ``separation_arcsec``

    Raises
    ------
    BadInput : galaxies of which the files state no split.
    """
    stated = np.asarray(stated, str)
    unique, place = np.unique(stated, return_inverse=True)
    rank = np.array([SPLITS.index(name) if name in SPLITS else -1 for name in unique])[place]
    if (rank < 0).any():
        unknown = int((rank < 0).sum())
        raise BadInput(
            f"split.kind: published, but of {unknown} of {len(rank)} galaxies no file says the split; see"
            " skyloom/formats/published_splits.py, or take random"
        )
    if not len(rank):
        return np.empty(0, "<U10")
    group = groups(targetid, ra, dec, wanted.get("separation_arcsec", 1.0))
    highest = np.zeros(group.max() + 1, np.int64)
    np.maximum.at(highest, group, rank)
    if moved := int((highest[group] != rank).sum()):
        log.warning("%d galaxies are moved to the split of a galaxy that they are the same as, or overlap", moved)
    share = wanted["fractions"].get("train", 0.0) + wanted["fractions"].get("validation", 0.0)
    share = wanted["fractions"].get("validation", 0.0) / share if share else 0.0
    if not (rank == SPLITS.index("validation")).any() and share:
        smallest = np.full(len(highest), np.iinfo(np.int64).max)
        np.minimum.at(smallest, group, np.asarray(targetid, np.int64))
        highest[(highest == 0) & (uniform(seed, smallest) < share)] = SPLITS.index("validation")
        log.info("no file says which galaxies validate: %.3g of those of train do", share)
    return np.array(SPLITS)[highest[group]]


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


def crop_side(survey: Mapping) -> float:
    """Side (arcsec) of the largest image that a network may see of a galaxy of this survey; 0 without images.

    `survey` has ``modalities`` and, of those that are images, ``crop`` (pixels of Legacy cutouts; all without it) and
    ``hsc_size`` (pixels of HSC images, 127 without it, which is their largest).
    """
    sides = {
        "image": survey.get("crop", legacy.SIZE) * legacy.PIXEL_SCALE,
        "hsc_image": (survey.get("hsc_size") or max(galaxiesml.SIZES)) * galaxiesml.PIXEL_SCALE,
    }
    return max((side for name, side in sides.items() if name in survey.get("modalities", ())), default=0.0)


def apart(side_arcsec: float) -> float:
    """Separation (arcsec) beyond which squares of this side, one's edges parallel to the other's, cannot overlap."""
    return side_arcsec * 2**0.5


def shared_sky(ra, dec, split, side_arcsec: float) -> float:
    """Share of the test galaxies whose image overlaps the image of a training galaxy; NaN without test galaxies.

    Of galaxies without a position nothing is known: they do not count.

    Parameters
    ----------
    ra, dec : (N,) degrees
    split : (N,) of SPLITS
    side_arcsec : of the square images, which are centred on their galaxies and have their edges along the axes
    """
    ra, dec, split = np.asarray(ra, float), np.asarray(dec, float), np.asarray(split)
    placed = np.isfinite(ra) & np.isfinite(dec)
    test, train = (np.flatnonzero(placed & (split == name)) for name in ("test", "train"))
    if not len(test):
        return float("nan")
    if not len(train) or side_arcsec <= 0:
        return 0.0
    close = pairs(ra[test], dec[test], ra[train], dec[train], apart(side_arcsec))
    left, right = test[close["left"]], train[close["right"]]
    east = (ra[left] - ra[right] + 180) % 360 - 180
    across = np.abs(east) * np.cos(np.radians((dec[left] + dec[right]) / 2)) * 3600
    overlap = (across < side_arcsec) & (np.abs(dec[left] - dec[right]) * 3600 < side_arcsec)
    return len(np.unique(left[overlap])) / len(test)


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
