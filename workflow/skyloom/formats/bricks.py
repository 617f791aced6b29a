"""Bricks of the Legacy Surveys: how they tile the sky, and cutouts of their coadded images.

Bricks lie in rows of declination, 0.25 degrees high and at most as wide, an even number a row (desiutil.brick, whose
names and numbers these are). The image of a brick in a band is 3600 x 3600 pixels of 0.262 arcsec in nanomaggy on a
tangent plane about its centre, north up, and reaches beyond its edges: any place of a brick is 21.6 arcsec or more
inside its image, so that the 19.9 arcsec on each side of a cutout of 152 pixels are there; but in the polar corners of
bricks beyond declination 74, where a tangent plane bends more, a few pixels at its edge may be missing. Source:
legacysurvey.org/dr9/files and /dr10/files; the images are tile-compressed (fpack), in the first HDU that has one.
"""

import functools
import os

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from skyloom.core.errors import BadInput
from skyloom.formats.fits_files import MEND, header_keywords, open_fits, primary_hdu, write_fits
from skyloom.formats.legacy import PIXEL_SCALE, SIZE

BRICK_SIZE = 0.25  # degrees
ABSENT = "ABSENT"
"""Keyword of a file that stands for an image that the archive does not have."""


@functools.cache
def _columns() -> np.ndarray:
    """Bricks in each row of constant declination: an even number, none wider than BRICK_SIZE (desiutil.brick)."""
    centre = np.arange(-90.0, 90.0 + BRICK_SIZE / 2, BRICK_SIZE)
    widest = np.maximum(0.0, np.abs(centre) - BRICK_SIZE / 2)
    columns = 2 * np.ceil(360 / BRICK_SIZE * np.cos(np.radians(widest)) / 2).astype(np.int64)
    columns[[0, -1]] = 1
    return columns


def _place(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and columns of the row (n,) of the bricks at positions in degrees."""
    columns = _columns()
    row = np.clip(((np.asarray(dec) + 90 + BRICK_SIZE / 2) / BRICK_SIZE).astype(int), 0, len(columns) - 1)
    column = ((np.asarray(ra) % 360.0) / 360 * columns[row]).astype(np.int64)
    return row, column, columns[row]


def brickid(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """BRICKID (int32, from 1) of positions in degrees."""
    row, column, _ = _place(ra, dec)
    first = np.concatenate([[0], np.cumsum(_columns())])[row]
    return (first + column + 1).astype(np.int32)


def centre(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination (n,) of the centres of the bricks at positions in degrees."""
    row, column, columns = _place(ra, dec)
    return (column + 0.5) * 360 / columns, row * BRICK_SIZE - 90


def brickname(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """BRICKNAME (n,) of positions in degrees, as 1126p222: the centre in tenths of a degree, cut off."""
    ra, dec = centre(ra, dec)
    tenths_ra = np.rint(ra * 10_000).astype(int) // 1000
    tenths_dec = np.rint(np.abs(dec) * 10_000).astype(int) // 1000
    sign = np.where(dec >= 0, "p", "m")
    names = [f"{a:04d}{s}{d:03d}" for a, s, d in zip(tenths_ra, sign, tenths_dec, strict=True)]
    return np.array(names, "U8")


def write_absent(path: str | os.PathLike, url: str) -> None:
    """Write the file that stands for an image that the archive does not have."""
    write_fits(path, [primary_hdu({ABSENT: True, "COMMENT": f"the archive has no {url}"})])


def is_absent(path: str | os.PathLike) -> bool:
    """Whether a file stands for an image that the archive does not have."""
    with open_fits(path) as hdus:
        return ABSENT in hdus[0].header


def read_cutouts(path: str | os.PathLike, ra: np.ndarray, dec: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Cutouts of a brick's image in one band at the nearest whole pixel: nothing is resampled.

    Parameters
    ----------
    path : ``legacysurvey-BRICK-image-BAND.fits.fz``, or what `write_absent` wrote
    ra, dec : (n,) degrees, where the middle of the cutouts shall be, to half a pixel

    Returns
    -------
    (n, size, size) f4, nanomaggy a pixel; NaN beyond the image, and everywhere if the archive has none.

    Raises
    ------
    BadInput : the file is not such an image, or damaged.
    """
    found = np.full((len(ra), size, size), np.nan, np.float32)
    with open_fits(path) as hdus:
        if ABSENT in hdus[0].header:
            return found
        hdu = _image(path, hdus)
        for cutout, (x, y) in zip(found, _corners(path, hdu.header, ra, dec, size), strict=True):
            (to_y, from_y), (to_x, from_x) = (_overlap(*c, size) for c in ((y, hdu.shape[0]), (x, hdu.shape[1])))
            if from_y.start < from_y.stop and from_x.start < from_x.stop:
                cutout[to_y, to_x] = hdu.section[from_y, from_x]
    return found


def _image(path: str | os.PathLike, hdus: fits.HDUList):
    for hdu in hdus:
        if hdu.is_image and hdu.header.get("NAXIS") == 2:
            return hdu
    raise BadInput(f"{path}: no image of two axes, expected that of a brick; {MEND}")


def _corners(path, header, ra, dec, size: int) -> np.ndarray:
    """(n, 2) int: x and y of the first pixel of the cutouts."""
    wcs = WCS(fits.Header(header_keywords(header)), naxis=2)
    if not wcs.has_celestial:
        raise BadInput(f"{path}: no celestial coordinates in the header of its image; {MEND}")
    scale = proj_plane_pixel_scales(wcs) * 3600
    if not np.allclose(scale, PIXEL_SCALE, rtol=0.01):
        raise BadInput(f"{path}: pixels of {scale[0]:.3f} x {scale[1]:.3f} arcsec, expected {PIXEL_SCALE}")
    place = np.stack(wcs.wcs_world2pix(np.asarray(ra, float), np.asarray(dec, float), 0), axis=-1)
    place = np.where(np.isfinite(place), place, -size)  # behind the tangent plane: beyond the image
    return np.floor(place - (size - 1) / 2 + 0.5).astype(int)


def _overlap(first: int, length: int, size: int) -> tuple[slice, slice]:
    """Where the pixels from `first` on of an axis of `length` go in a cutout, and where they come from."""
    start, stop = max(first, 0), min(first + size, length)
    return slice(start - first, max(start, stop) - first), slice(start, max(start, stop))
