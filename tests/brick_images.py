"""Images of bricks as the Legacy Surveys have them, for tests: tile-compressed, on a tangent plane."""

import os

import numpy as np
from astropy.io import fits

SIDE = 700  # pixels; those of the archive have 3600


def brick_header(ra: float, dec: float, side: int = SIDE) -> fits.Header:
    """The coordinates of a brick's image about its centre (degrees): north up, 0.262 arcsec a pixel."""
    middle, step = side / 2 + 0.5, 0.262 / 3600
    return fits.Header(
        {
            **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec},
            **{"CRPIX1": middle, "CRPIX2": middle, "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step},
        }
    )


def write_brick(path: str | os.PathLike, image: np.ndarray, ra: float, dec: float, compression: str = "GZIP_2") -> None:
    """Write an image (side, side) in nanomaggy: an empty HDU, then the compressed image; RICE_1 loses some of it."""
    lossy = {"quantize_level": 16, "quantize_method": 2, "dither_seed": 42}
    options = lossy if compression == "RICE_1" else {"quantize_level": 0}
    header = brick_header(ra, dec, len(image))
    hdu = fits.CompImageHDU(image, header, compression_type=compression, tile_shape=(100, 100), **options)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
