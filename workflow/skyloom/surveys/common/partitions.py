"""Which partitions of a HATS catalogue, pixels of many orders, touch a part of the sky or those of another."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import angular_separation
from astropy_healpix import HEALPix

from skyloom.core.errors import BadInput

_ROUND = 1.05  # sides are no great circles: a pixel reaches a little further from its centre than its corners


def read(path: str | os.PathLike) -> np.ndarray:
    """(P, 2) order and pixel of the partitions that a description lists (`skyloom.surveys.hats`)."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["partitions"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: not the description of a HATS catalogue; delete it and rerun") from error
    return np.array(found, np.int64).reshape(-1, 2)


def inside(pixels: np.ndarray, footprint: Mapping) -> np.ndarray:
    """Those of `pixels` (P, 2) that may touch a box of right ascension and declination, degrees: none too few."""
    (west, east), (south, north) = footprint["ra"], footprint["dec"]
    whole = east - west >= 360
    keep = np.zeros(len(pixels), bool)
    for order in np.unique(pixels[:, 0]):
        rows = np.flatnonzero(pixels[:, 0] == order)
        grid = HEALPix(2**order, order="nested")
        centre, corners = grid.healpix_to_lonlat(pixels[rows, 1]), grid.boundaries_lonlat(pixels[rows, 1], step=1)
        apart = angular_separation(centre[0][:, None], centre[1][:, None], *corners)
        around = _ROUND * apart.max(axis=1).to_value(u.deg)
        ra, dec = (axis.to_value(u.deg) for axis in centre)
        level = (dec + around >= south) & (dec - around <= north)
        highest = np.abs(dec) + around
        wide = np.where(highest < 89, around / np.cos(np.radians(np.minimum(highest, 89))), 360)
        before, width = (ra - west) % 360, (east - west) % 360 or 360.0
        beside = (before <= width + wide) | (before >= 360 - wide)
        keep[rows] = level & (whole | (wide >= 180) | beside)
    return pixels[keep]


def touching(pixels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of `pixels` (P, 2) that overlap one of `others` (Q, 2), or meet it at a side or a corner."""
    keep = np.zeros(len(pixels), bool)
    for order in np.unique(pixels[:, 0]):
        rows = np.flatnonzero(pixels[:, 0] == order)
        for other in np.unique(others[:, 0]):
            theirs = others[others[:, 0] == other, 1]
            if order >= other:  # our pixels and their neighbours, in the larger ones
                met = np.isin(_around(pixels[rows, 1], order) >> 2 * (order - other), theirs).any(axis=1)
            else:
                met = np.isin(pixels[rows, 1], _around(theirs, other) >> 2 * (other - order))
            keep[rows] |= met
    return pixels[keep]


def _around(pixel: np.ndarray, order: int) -> np.ndarray:
    """(N, 9) pixels and their neighbours, -1 where there is none."""
    with np.errstate(invalid="ignore"):  # at twelve corners there are seven
        around = HEALPix(2**order, order="nested").neighbours(pixel)
    return np.concatenate([pixel[:, None], around.T], axis=1)
