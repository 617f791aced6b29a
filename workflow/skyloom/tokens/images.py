"""Images: Legacy Surveys crops in nanomaggy and as arcsinh RGB, as AstroDINO was published; HSC in five bands."""

import logging
import os
from collections.abc import Sequence

import numpy as np

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import galaxiesml
from skyloom.formats.image_files.readers import image_size, read_rows
from skyloom.formats.legacy import BANDS, PIXEL_SCALE
from skyloom.tokens.crops import centre_crop
from skyloom.tokens.galaxies import Quarantine, blocks, shard_rows
from skyloom.tokens.store import shard_writer

log = logging.getLogger(__name__)

UNITS = {"flux": "nanomaggy", "rgb": "dimensionless"}
# Display constants of the Legacy Surveys viewer (DR2 onward), taken over by AstroCLIP for its networks:
GAINS = (6.0, 3.4, 2.2)  # per nanomaggy, for g, r, z; they become blue, green, red
OFFSET = 0.03  # added after the gain: lifts the sky off zero
SOFTENING = 20.0  # Q of Lupton et al. 2004
HSC_GAINS = (6.0, 3.4, 2.6)  # as GAINS, for g, r, i
_BLOCK = 128  # images in memory at once: about 100 MB with their copies


def tokenize_images(
    galaxies_path: str | os.PathLike,
    cutout_paths: Sequence[str | os.PathLike],
    shard: int,
    out_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
    crop: int = 96,
    compression: str = "none",
    minimum_good: float = 0.5,
) -> None:
    """Write the image crops of one shard of galaxies; a hundred images are in memory at once.

    Parameters
    ----------
    galaxies_path : galaxies.parquet; galaxies without an image (empty image_file) are counted in the log
    cutout_paths : files with Legacy images, in any form of `skyloom.formats.image_files`, that hold (at least) the
        galaxies of this shard
    shard : number of the shard in column `shard`
    out_path : shard with targetid (N,), flux (N, 3, crop, crop) in nanomaggy, order g, r, z, pixels that are not
        finite set to 0 (the sky); and rgb (N, 3, crop, crop) in 0..1, order red, green, blue
    quarantine_path : csv of the images left out, with the reason
    crop : side of the crop in pixels (0.262 arcsec each)
    compression : see `store.shard_writer`
    minimum_good : least fraction of pixels of each band that must be finite, 0..1

    Raises
    ------
    BadInput : a cutout file or the catalogue is broken.
    BadConfig : crop is larger than the cutouts, or minimum_good is out of range.
    """
    _check_fraction(minimum_good)
    if crop < 1:
        raise BadConfig(f"crop: {crop} is not a positive number of pixels")
    quarantine = Quarantine()
    attrs = {"modality": "image", "crop": crop, "pixel_arcsec": PIXEL_SCALE}
    with shard_writer(out_path, attrs, UNITS, compression) as writer:
        writer.declare(flux=(3, crop, crop), rgb=(3, crop, crop))
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "image"), cutout_paths, _BLOCK):
            images = centre_crop(read_rows(path, "image", row), crop)
            good = quarantine.add(path, targetid, row, reasons(images, minimum_good, BANDS))
            flux = np.nan_to_num(images[good], nan=0, posinf=0, neginf=0)
            writer.append(targetid[good], flux=flux, rgb=arcsinh_rgb(flux))
        quarantine.write(quarantine_path)
    log.info("%s: %d images, %d quarantined", out_path, writer.rows, len(quarantine.rows))


def tokenize_hsc_images(
    galaxies_path: str | os.PathLike,
    image_paths: Sequence[str | os.PathLike],
    shard: int,
    out_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
    hsc_size: int | None = None,
    compression: str = "none",
    minimum_good: float = 0.5,
) -> None:
    """Write the HSC images of one shard of galaxies; a hundred images are in memory at once.

    Parameters are those of `tokenize_images`, but for

    image_paths : files with HSC images
    out_path : shard with targetid (N,) and flux (N, 5, S, S) in nanomaggy, order g, r, i, z, y, pixels that are not
        finite set to 0
    hsc_size : S, the centre of larger images; None for whole images, as large as those of the first file

    Raises
    ------
    BadInput : an image file or the catalogue is broken, or the images are of several sizes and none is asked for.
    BadConfig : minimum_good is out of range, or images are smaller than hsc_size.
    """
    _check_fraction(minimum_good)
    quarantine, size = Quarantine(), hsc_size or image_size(image_paths[0], "hsc_image")
    attrs = {"modality": "hsc_image", "size": size, "pixel_arcsec": galaxiesml.PIXEL_SCALE}
    with shard_writer(out_path, attrs, UNITS, compression) as writer:
        writer.declare(flux=(len(galaxiesml.BANDS), size, size))
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "hsc"), image_paths, _BLOCK):
            images = read_rows(path, "hsc_image", row)
            if not hsc_size and images.shape[-1] != size:
                raise BadInput(f"{path}: images of {images.shape[-1]} pixels, expected {size} as in {image_paths[0]}")
            images = centre_crop(images, size, "hsc_size")
            good = quarantine.add(path, targetid, row, reasons(images, minimum_good, galaxiesml.BANDS))
            writer.append(targetid[good], flux=np.nan_to_num(images[good], nan=0, posinf=0, neginf=0))
        quarantine.write(quarantine_path)
    log.info("%s: %d HSC images, %d quarantined", out_path, writer.rows, len(quarantine.rows))


def _check_fraction(minimum_good: float) -> None:
    if not 0 <= minimum_good <= 1:
        raise BadConfig(f"minimum_good: {minimum_good} is not a fraction between 0 and 1")


def reasons(images: np.ndarray, minimum_good: float, bands: Sequence[str]) -> np.ndarray:
    """Why each image, (N, len(bands), H, W), cannot be used, (N,) str; empty for a good one."""
    finite = np.isfinite(images)
    fraction = finite.mean(axis=(2, 3))
    empty = ~(finite & (images != 0)).any(axis=(2, 3))
    checks = []
    for b, band in enumerate(bands):
        few = f"fewer than {minimum_good:g} of the pixels of band {band} are finite"
        checks.append((fraction[:, b] == 0, f"band {band} is NaN everywhere"))
        checks.append((fraction[:, b] < minimum_good, few))
        checks.append((empty[:, b], f"band {band} is zero everywhere"))
    return np.select([bad for bad, _ in checks], [why for _, why in checks], default="")


def arcsinh_rgb(
    flux: np.ndarray, gains: Sequence[float] = GAINS, offset: float = OFFSET, q: float = SOFTENING
) -> np.ndarray:
    """Colour image with an arcsinh stretch of the mean intensity, as the Legacy Surveys viewer and AstroCLIP make it.

    With s_b = gain_b * flux_b + offset and I the mean over bands of max(s_b, 0), each channel is
    s_b * arcsinh(q I) / (sqrt(q) I), clipped to 0..1; 0 where I = 0. Method: Lupton et al. 2004.

    Parameters
    ----------
    flux : (..., 3, H, W) nanomaggy, order g, r, z
    gains, offset, q : constants of the stretch; the defaults are the published ones

    Returns
    -------
    (..., 3, H, W) in 0..1, order red (z), green (r), blue (g)
    """
    scaled = flux * np.asarray(gains, flux.dtype).reshape(-1, 1, 1) + flux.dtype.type(offset)
    intensity = scaled.clip(0).mean(axis=-3, keepdims=True)
    stretch = np.arcsinh(q * intensity) / (q**0.5 * intensity.clip(np.finfo(flux.dtype).tiny))
    return np.ascontiguousarray(np.flip((scaled * stretch).clip(0, 1), axis=-3))


def hsc_rgb(flux: np.ndarray) -> np.ndarray:
    """Colour image (..., 3, H, W) in 0..1 of HSC flux (..., 5, H, W) in nanomaggy: i, r, g as red, green, blue.

    The stretch is that of `arcsinh_rgb`; gains are the larger, the smaller a pixel.
    """
    larger = (PIXEL_SCALE / galaxiesml.PIXEL_SCALE) ** 2
    return arcsinh_rgb(flux[..., :3, :, :], gains=tuple(larger * gain for gain in HSC_GAINS))
