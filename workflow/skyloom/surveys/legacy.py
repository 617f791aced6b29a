"""Legacy Surveys cutouts in the HDF5 layout of Stein et al. (2021): g, r, z images, 152 x 152 pixels, with a catalogue.

`images` is (N, 3, 152, 152) in nanomaggy a pixel, bands g, r, z, 0.262 arcsec a pixel. The other datasets have a row an
image: ra, dec (deg), flux and fiberflux (N, 3; nanomaggy), psfdepth (N, 3; 5-sigma point source, inverse variance in
nanomaggy^-2), psfsize (N, 3; FWHM in arcsec), ebv (mag), inds, z_spec, and release, brickid, objid, which together are
the key of the source. Source: arXiv 2110.13151 and github.com/georgestein/ssl-legacysurvey.
"""

import os
from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from astropy.table import Table

from skyloom.errors import BadInput
from skyloom.files import atomic
from skyloom.surveys.fits_files import check_rows, stretches
from skyloom.surveys.hdf5_files import dataset_named, open_hdf5

BANDS = ("g", "r", "z")
SIZE = 152
PIXEL_SCALE = 0.262
"""Arcsec a pixel."""
REQUIRED = ("ra", "dec", "flux", "release", "brickid", "objid")
COLUMNS = {
    "ra": ("f8", ()),
    "dec": ("f8", ()),
    "flux": ("f4", (3,)),
    "fiberflux": ("f4", (3,)),
    "psfdepth": ("f4", (3,)),
    "psfsize": ("f4", (3,)),
    "ebv": ("f4", ()),
    "inds": ("i8", ()),
    "release": ("i4", ()),
    "brickid": ("i4", ()),
    "objid": ("i4", ()),
    "z_spec": ("f4", ()),
}
"""Name -> (type written, shape of a row)."""


def write_cutouts(path: str | os.PathLike, images: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """Write cutouts and their catalogue.

    Parameters
    ----------
    images
        (N, 3, 152, 152) nanomaggy a pixel, written as f4.
    columns
        Name -> (N, ...) values; at least REQUIRED, names of COLUMNS only. ValueError if they do not fit.
    """
    images = np.asarray(images, "f4")
    if images.shape[1:] != (len(BANDS), SIZE, SIZE):
        raise ValueError(f"images have shape {images.shape}, expected (N, {len(BANDS)}, {SIZE}, {SIZE})")
    if missing := set(REQUIRED) - set(columns):
        raise ValueError(f"cutouts need the columns {', '.join(sorted(missing))}")
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("images", data=images)
        for name in sorted(columns):
            dtype, row = COLUMNS[name]
            values = np.asarray(columns[name], dtype)
            if values.shape != (len(images), *row):
                raise ValueError(f"{name} has shape {values.shape}, expected {(len(images), *row)}")
            file.create_dataset(name, data=values)


def read_cutout_catalog(path: str | os.PathLike) -> Table:
    """Everything but the images: one row a cutout, columns as in the file (lower case).

    Raises
    ------
    BadInput
        Missing dataset, a shape that does not fit (also of the images), text where numbers belong, truncated file.
    """
    with open_hdf5(path) as file:
        total = len(_images(path, file))
        names = [*REQUIRED, *(name for name in file if name in COLUMNS and name not in REQUIRED)]
        return Table({name: _read_column(path, file, name, total) for name in names})


def _read_column(path: str | os.PathLike, file: h5py.File, name: str, total: int) -> np.ndarray:
    dataset, expected = dataset_named(path, file, name), (total, *COLUMNS[name][1])
    if dataset.shape != expected:
        raise BadInput(f"{path}: dataset {name} has shape {dataset.shape}, expected {expected} (a row an image)")
    return dataset[()]


def read_cutouts(path: str | os.PathLike, rows: Sequence[int]) -> np.ndarray:
    """(n, 3, 152, 152) f4 nanomaggy a pixel: the cutouts of `rows`, in their order; only these are read."""
    with open_hdf5(path) as file:
        images = _images(path, file)
        rows = check_rows(path, rows, len(images))
        wanted, place = np.unique(rows, return_inverse=True)  # HDF5 takes increasing indices only
        found = np.empty((len(wanted), *images.shape[1:]), "f4")
        try:
            for first, last in stretches(wanted):
                images.read_direct(found, np.s_[wanted[first] : wanted[last - 1] + 1], np.s_[first:last])
        except OSError as error:
            raise BadInput(f"{path}: dataset images cannot be read: {' '.join(str(error).split())}") from error
        return found if np.array_equal(rows, wanted) else found[place]


def _images(path: str | os.PathLike, file: h5py.File) -> h5py.Dataset:
    images = dataset_named(path, file, "images", kinds="f")
    if images.ndim != 4 or images.shape[1:] != (len(BANDS), SIZE, SIZE):
        raise BadInput(f"{path}: dataset images has shape {images.shape}, expected (N, 3, {SIZE}, {SIZE})")
    return images
