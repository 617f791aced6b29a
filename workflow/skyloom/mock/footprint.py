"""Which tiles the mock survey covers. Read while the workflow is parsed, so nothing heavy is imported.

A tile is one HEALPix pixel of nside 64 in nested order (0.84 square degrees). Tiles are taken in nested order from the
southern corner of base pixel 2 at ra 225, dec 0, inside the northern galactic cap of DESI: that order fills squares of
4, 16, 64 ... tiles, so that any number of them is one compact, connected patch, and a larger survey contains the
smaller one.
"""

from skyloom.core.errors import BadConfig

NSIDE = 64
BASE_PIXEL = 2
FIRST = BASE_PIXEL * NSIDE**2
WHOLE_SKY = 41252.96125  # square degrees
TILE_AREA = WHOLE_SKY / (12 * NSIDE**2)


def tile_pixels(n: int) -> list[int]:
    """The HEALPix pixels (nside 64, nested) of a survey of `n` tiles.

    Raises
    ------
    BadConfig : fewer than 1 or more than 4096 tiles.
    """
    if not 1 <= n <= NSIDE**2:
        raise BadConfig(f"tiles: {n} is not allowed, expected 1 to {NSIDE**2} tiles")
    return list(range(FIRST, FIRST + n))
