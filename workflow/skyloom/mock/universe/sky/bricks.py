"""Identifiers of the Legacy Surveys and of DESI: which brick a position is in, and TARGETIDs."""

import functools

import numpy as np

from skyloom.mock.layout import TARGETS

BRICK_SIZE = 0.25  # degrees
RELEASE = 9010  # Legacy Surveys data release 9, south


@functools.cache
def _columns() -> np.ndarray:
    """Bricks in each row of constant declination: an even number, none wider than BRICK_SIZE (desiutil.brick)."""
    centre = np.arange(-90.0, 90.0 + BRICK_SIZE / 2, BRICK_SIZE)
    widest = np.maximum(0.0, np.abs(centre) - BRICK_SIZE / 2)
    columns = 2 * np.ceil(360 / BRICK_SIZE * np.cos(np.radians(widest)) / 2).astype(np.int64)
    columns[[0, -1]] = 1
    return columns


def brickid(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """BRICKID (int32, from 1) of positions in degrees."""
    columns = _columns()
    row = np.clip(((np.asarray(dec) + 90 + BRICK_SIZE / 2) / BRICK_SIZE).astype(int), 0, len(columns) - 1)
    column = ((np.asarray(ra) % 360.0) / 360 * columns[row]).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(columns)])[row]
    return (first + column + 1).astype(np.int32)


def objid(brick: np.ndarray, hpix: int, program: str) -> np.ndarray:
    """Unique OBJID (int32) for each of a tile's objects within its `brick` (n,).

    Bricks straddle tiles, and tiles do not know each other: the last four bits say which of a block of 4 x 4 tiles the
    object comes from, and a brick never touches two tiles with the same bits; the bit above is the program's.
    """
    order = np.argsort(brick, kind="stable")
    _, start = np.unique(brick[order], return_index=True)
    rank = np.empty(len(brick), np.int64)
    rank[order] = np.arange(len(brick)) - np.repeat(start, np.diff([*start, len(brick)]))
    return (32 * rank + 16 * list(TARGETS).index(program) + hpix % 16).astype(np.int32)


def encode_targetid(release: np.ndarray, brick: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """DESI TARGETID (int64): OBJID in bits 0-21, BRICKID in 22-41, RELEASE from 42 (desitarget.targets)."""
    release, brick, objects = (np.asarray(v, np.int64) for v in (release, brick, objects))
    return (release << 42) | (brick << 22) | objects
