"""Identifiers of the Legacy Surveys and of DESI: objects within a brick, and TARGETIDs."""

import numpy as np

from skyloom.mock.layout import TARGETS

RELEASE = 9010  # Legacy Surveys data release 9, south


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
