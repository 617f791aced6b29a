"""Images: centre crops in nanomaggy and as arcsinh RGB, the form AstroDINO was published with."""

import logging
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from skyloom.errors import BadConfig
from skyloom.surveys.legacy import BANDS, PIXEL_SCALE, read_cutouts
from skyloom.tokens.galaxies import Quarantine, blocks, shard_rows
from skyloom.tokens.store import shard_writer

log = logging.getLogger(__name__)

UNITS = {"flux": "nanomaggy", "rgb": "dimensionless"}
# Display constants of the Legacy Surveys viewer (DR2 onward), taken over by AstroCLIP for its networks:
GAINS = (6.0, 3.4, 2.2)  # per nanomaggy, for g, r, z; they become blue, green, red
OFFSET = 0.03  # added after the gain: lifts the sky off zero
SOFTENING = 20.0  # Q of Lupton et al. 2004
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
    cutout_paths : Legacy Surveys cutout files that hold (at least) the galaxies of this shard
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
    if not 0 <= minimum_good <= 1:
        raise BadConfig(f"minimum_good: {minimum_good} is not a fraction between 0 and 1")
    if crop < 1:
        raise BadConfig(f"crop: {crop} is not a positive number of pixels")
    quarantine = Quarantine()
    attrs = {"modality": "image", "crop": crop, "pixel_arcsec": PIXEL_SCALE}
    with shard_writer(out_path, attrs, UNITS, compression) as writer:
        writer.declare(flux=(3, crop, crop), rgb=(3, crop, crop))
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "image"), cutout_paths, _BLOCK):
            images = centre_crop(read_cutouts(path, row), crop)
            good = quarantine.add(path, targetid, row, reasons(images, minimum_good))
            flux = np.nan_to_num(images[good], nan=0, posinf=0, neginf=0)
            writer.append(targetid[good], flux=flux, rgb=arcsinh_rgb(torch.from_numpy(flux)).numpy())
        quarantine.write(quarantine_path)
    log.info("%s: %d images, %d quarantined", out_path, writer.rows, len(quarantine.rows))


def reasons(images: np.ndarray, minimum_good: float) -> np.ndarray:
    """Why each image, (N, 3, H, W) nanomaggy, cannot be used, (N,) str; empty for a good one."""
    finite = np.isfinite(images)
    fraction = finite.mean(axis=(2, 3))
    empty = ~(finite & (images != 0)).any(axis=(2, 3))
    checks = []
    for b, band in enumerate(BANDS):
        few = f"fewer than {minimum_good:g} of the pixels of band {band} are finite"
        checks.append((fraction[:, b] == 0, f"band {band} is NaN everywhere"))
        checks.append((fraction[:, b] < minimum_good, few))
        checks.append((empty[:, b], f"band {band} is zero everywhere"))
    return np.select([bad for bad, _ in checks], [why for _, why in checks], default="")


def centre_crop(images, size: int):
    """The central `size` x `size` pixels of (..., H, W), array or tensor.

    Exactly centred when H - size is even; when it is odd there is no such crop and the one half a pixel towards the
    origin is taken.

    Raises
    ------
    BadConfig : the images are smaller than `size`.
    """
    height, width = images.shape[-2:]
    if size > min(height, width):
        raise BadConfig(f"crop: {size} pixels is more than the {height} x {width} of the cutouts")
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]


def arcsinh_rgb(flux: Tensor, gains: Sequence[float] = GAINS, offset: float = OFFSET, q: float = SOFTENING) -> Tensor:
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
    scaled = flux * flux.new_tensor(gains).view(-1, 1, 1) + offset
    intensity = scaled.clamp(min=0).mean(dim=-3, keepdim=True)
    stretch = torch.asinh(q * intensity) / (q**0.5 * intensity.clamp(min=torch.finfo(flux.dtype).tiny))
    return (scaled * stretch).clamp(0, 1).flip(-3)
