"""One reader for every form of file with images, found by what the file holds: `images_in`.

===================  ===================================================================================================
Stein et al.         HDF5 with images (N, 3, 152, 152), ra, dec, flux, release, brickid, objid
GalaxiesML           HDF5 with image (N, 5, S, S), object_id, ra, dec
GalaxiesML-Spectra   HDF5 with image (N, 5, S, S), targetid, spectrum/flux
AstroCLIP            HDF5 with groups of images (N, S, S, 3), targetids; or Parquet with image, targetid
Multimodal Universe  HDF5 with image_array and image_band, or Parquet with image of bands and fluxes; those of the
                     Legacy Surveys (g, r, z among the bands, .262 arcsec a pixel) and of HSC (grizy, .168)
===================  ===================================================================================================

A file may hold more than images: spectra of the same galaxies are in the same rows (`skyloom.formats.spectrum_files`).
"""

import functools
import logging
import os
from collections.abc import Sequence

import numpy as np

from skyloom.core.errors import BadInput, SkyloomError
from skyloom.formats.fits_files import MEND
from skyloom.formats.hdf5_files import open_hdf5
from skyloom.formats.image_files import hdf5, parquet
from skyloom.formats.image_files.images import CAMERAS, Images

log = logging.getLogger(__name__)


def images_in(path: str | os.PathLike) -> dict[str, Images]:
    """Modality -> images of a file; nothing of one that holds none. BadInput if it cannot be read."""
    try:
        state = os.stat(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}, expected a file with images") from error
    return _images_in(str(path), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _images_in(path: str, *state: int) -> dict[str, Images]:
    """`images_in`, kept: rows are read a block at a time, from where the last ones were."""
    for ends, find in (((".h5", ".hdf5"), _in_hdf5), ((".parquet", ".pq"), _in_parquet)):
        if path.lower().endswith(ends):
            return {images.modality: images for images in _guarded(path, lambda find=find: find(path))}
    return {}


def images_of(path: str | os.PathLike, modality: str) -> Images:
    """The images of one modality in a file; BadInput if it has none."""
    found = images_in(path)
    if modality not in found:
        camera, there = CAMERAS[modality], ", ".join(f"{name} ({made.form})" for name, made in found.items())
        raise BadInput(
            f"{path}: no images in bands {', '.join(camera.bands)} of {camera.pixel_arcsec} arcsec a pixel, in one of "
            f"the forms known (skyloom/formats/image_files/readers.py); found {there or 'no images'}"
        )
    return found[modality]


def read_catalog(path: str | os.PathLike, modality: str) -> dict[str, np.ndarray]:
    """What a file knows of its images (`Images.catalog`): a row each."""
    return _guarded(path, lambda: images_of(path, modality).catalog())


def read_rows(path: str | os.PathLike, modality: str, rows: Sequence[int]) -> np.ndarray:
    """(n, bands, S, S) f4 nanomaggy a pixel: the images of `rows`, in their order; only these are read."""
    if not len(rows):
        return np.empty((0, len(CAMERAS[modality].bands), 0, 0), "f4")
    return _guarded(path, lambda: images_of(path, modality).read(rows))


def image_size(path: str | os.PathLike, modality: str) -> int:
    """Pixels of a side."""
    return _guarded(path, lambda: images_of(path, modality).size())


def _guarded(path, read):
    try:
        return read()
    except (SkyloomError, MemoryError):
        raise
    except Exception as error:  # damage inside a file makes libraries raise anything
        raise _unreadable(path, error) from error


def _unreadable(path, error: Exception) -> BadInput:
    log.exception("%s", path)
    words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return BadInput(f"{path}: its images cannot be read ({words}); {MEND}")


def _in_hdf5(path) -> list[Images]:
    with open_hdf5(path) as file:
        names = set(file)
        groups = any(f"{name}/images" in file and f"{name}/targetids" in file for name in names)
        spectra = "image" in names and "targetid" in names and "spectrum/flux" in file
    if {"image_array", "image_band"} <= names:
        modality = hdf5.multimodal_camera(*hdf5.multimodal_bands(path))
        return [hdf5.Multimodal(path, modality)] if modality else []
    if groups:
        return [hdf5.AstroClip(path, "image")]
    if spectra:
        return [hdf5.GalaxiesMLSpectra(path, "hsc_image")]
    if {"image", "object_id"} <= names:
        return [hdf5.GalaxiesML(path, "hsc_image")]
    return [hdf5.Stein(path, "image")] if {"images", "ra", "dec"} <= names else []


def _in_parquet(path) -> list[Images]:
    with parquet.open_parquet(path) as file:
        schema = file.schema_arrow
    if parquet.COLUMN not in schema.names:
        return []
    kind = schema.field(parquet.COLUMN).type
    if parquet.is_multimodal(kind):
        modality = parquet.camera(path)
        return [parquet.Multimodal(path, modality)] if modality else []
    return [parquet.AstroClip(path, "image")] if parquet.is_nested(kind) and "targetid" in schema.names else []
