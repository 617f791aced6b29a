"""What every reader of images gives, and what cameras there are."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats import galaxiesml, legacy

NUMBERS = ("redshift", "zerr", "ra", "dec", "flux_g", "flux_r", "flux_z", "ebv")
"""What a catalogue of images may know of a galaxy, NaN where it does not: as a part of spectra calls it, degrees,
nanomaggy, magnitudes."""


@dataclass(frozen=True)
class Camera:
    """Bands of an image, in their order, and the side of a pixel in arcsec."""

    bands: tuple[str, ...]
    pixel_arcsec: float


CAMERAS = {
    "image": Camera(legacy.BANDS, legacy.PIXEL_SCALE),
    "hsc_image": Camera(galaxiesml.BANDS, galaxiesml.PIXEL_SCALE),
}
"""Modality -> camera."""


class Images:
    """The images of one modality in a file: N of them, a row each.

    `form` is what the file is called in messages. Every method raises BadInput, one line, for a damaged file or one
    that is not of the form.
    """

    form = ""

    def __init__(self, path: str | os.PathLike, modality: str):
        self.path, self.modality = path, modality

    @property
    def camera(self) -> Camera:
        """Bands and pixels."""
        return CAMERAS[self.modality]

    def size(self) -> int:
        """Pixels of a side."""
        raise NotImplementedError

    def catalog(self) -> dict[str, np.ndarray]:
        """What the file knows of each image: `identifier` (N,), whole numbers (-1 where there is none) or texts (empty
        where there is none), `split` (N,) text, and every name of `NUMBERS` (N,) f8."""
        raise NotImplementedError

    def read(self, rows: Sequence[int]) -> np.ndarray:
        """(n, bands, S, S) f4 nanomaggy a pixel: the images of `rows`, in their order; y rises with the second last
        axis, x with the last, as in FITS."""
        raise NotImplementedError


def catalog(identifier: np.ndarray, split: np.ndarray, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As `Images.catalog`, with NaN for what is not `known`."""
    values = {name: np.full(len(identifier), np.nan) for name in NUMBERS}
    values |= {name: _numbers(column) for name, column in known.items()}
    return {"identifier": identifier, "split": split, **values}


def _numbers(column) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(column, np.float64), np.nan)


def checked_shape(path, name: str, shape: tuple[int, ...], expected: str, good: bool) -> None:
    """BadInput unless the shape is `good`."""
    if not good:
        raise BadInput(f"{path}: {name} has shape {shape}, expected {expected}")


def band_places(path, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the `wanted` bands are among `names` such as des-g, HSC-G or g; BadInput for one that is not there."""
    letters = band_letters(names)
    missing = [band for band in wanted if band not in letters]
    if missing:
        raise BadInput(
            f"{path}: no band {missing[0]} among its images of {', '.join(names)}; needs {', '.join(wanted)}"
        )
    return [letters.index(band) for band in wanted]


def band_letters(names: Sequence[str]) -> list[str]:
    """des-g, HSC-G, decam_g -> g."""
    return [name.replace("_", "-").replace(".", "-").rpartition("-")[2].lower() for name in names]


def camera_of(bands: Sequence[str], pixel_arcsec: float) -> str | None:
    """The modality of images in these bands with pixels of this size; None if it is none of ours."""
    for modality, camera in CAMERAS.items():
        same = abs(pixel_arcsec / camera.pixel_arcsec - 1) < 0.02
        if same and set(camera.bands) <= set(band_letters(bands)):
            return modality
    return None
