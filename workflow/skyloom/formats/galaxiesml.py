"""GalaxiesML: Hyper Suprime-Cam images g, r, i, z, y of galaxies with redshifts and shapes, one HDF5 file a set.

``5x64x64_{training,validation,testing}_with_morphology.hdf5`` (and 5x127x127): `image` is (N, 5, S, S) f4 with 0.168
arcsec a pixel in counts of zero point 27, so that a star of AB magnitude m has a sum of 10^(0.4 (27 - m)); a nanomaggy
is COUNTS_PER_NANOMAGGY of them. The other datasets have a row an image, named as in COLUMNS. Source: Do et al. (2024),
arXiv 2410.00271, doi 10.5281/zenodo.11117528. The names are those of the README "Galaxy image property analysis" of
astrodatalab, whose notebook made the files; units are those of the paper's table (sizes in pixels, from Source
Extractor). The types, the zero point of the images (that of HSC-PDR2 coadds, Aihara et al. 2019), and that `coord` and
`specz_name` are text are from memory; what `{x,y}_coord_{x,y}` hold (two numbers a row, left from a join) is published
nowhere, and a file written here has NaN there. A reader asks for no more than `image`, `object_id`, `ra` and `dec`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

import h5py
import numpy as np
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.hdf5_files import dataset_named, open_hdf5, read_rows
from skyloom.formats.hsc import BANDS as BANDS
from skyloom.formats.hsc import COUNTS_PER_NANOMAGGY as COUNTS_PER_NANOMAGGY
from skyloom.formats.hsc import PIXEL_SCALE as PIXEL_SCALE
from skyloom.formats.hsc import ZERO_POINT as ZERO_POINT

SIZES = (64, 127)
REQUIRED = ("object_id", "ra", "dec")
SHAPES = {
    "sersic_index": "",
    "half_light_radius": "pix",
    "ellipticity": "",  # 1 - minor / major
    "major_axis": "pix",
    "minor_axis": "pix",
    "petro_rad": "pix",
    "isophotal_area": "pix2",
    "pos_angle": "deg",
    "peak_surface_brightness": "mag / arcsec2",
}
"""What is measured of the shape in each band, and its unit."""
OF_A_BAND = {
    "cmodel_mag": ("f8", "mag"),
    "cmodel_magsigma": ("f8", "mag"),
    **{name: ("f8", unit) for name, unit in SHAPES.items()},
    # objects within so many pixels of the centre
    **{f"central_image_pop_{radius}px_rad": ("i4", "") for radius in (5, 10, 15)},
}
COLUMNS = {
    "object_id": ("i8", ""),
    "ra": ("f8", "deg"),
    "dec": ("f8", "deg"),
    "coord": ("S40", ""),
    "skymap_id": ("i8", ""),
    "specz_redshift": ("f8", ""),
    "specz_redshift_err": ("f8", ""),
    "specz_flag_homogeneous": ("?", ""),
    "specz_mag_i": ("f8", "mag"),
    "specz_name": ("S40", ""),
    "specz_ra": ("f8", "deg"),
    "specz_dec": ("f8", "deg"),
    "x_coord": ("f8", "pix"),
    "y_coord": ("f8", "pix"),
    **{f"{axis}_coord_{end}": ("2f8", "pix") for axis in "xy" for end in "xy"},
    **{f"{band}_{name}": kind for band in BANDS for name, kind in OF_A_BAND.items()},
}
"""Name -> (type written, unit)."""


class Writer:
    """Append blocks of images to an open file; use through `writer`."""

    def __init__(self, file: h5py.File, size: int):
        shape = (len(BANDS), size, size)
        self._file = file
        self._images = file.create_dataset("image", (0, *shape), "f4", maxshape=(None, *shape), chunks=(1, *shape))
        self._columns = {name: [np.empty(0, kind)] for name, (kind, _) in COLUMNS.items()}

    def __len__(self) -> int:
        return len(self._images)

    def append(self, images: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Append a block.

        Parameters
        ----------
        images
            (n, 5, S, S) counts of zero point 27: nanomaggy times COUNTS_PER_NANOMAGGY.
        columns
            Name -> (n,) values; at least REQUIRED, names of COLUMNS only. The rest is NaN, 0, False or empty.

        Raises
        ------
        ValueError
            They do not fit.
        """
        n = len(images)
        if np.shape(images)[1:] != self._images.shape[1:]:
            raise ValueError(f"images have shape {np.shape(images)}, expected (n, {self._images.shape[1:]})")
        if missing := set(REQUIRED) - set(columns):
            raise ValueError(f"HSC images need the columns {', '.join(sorted(missing))}")
        if unknown := set(columns) - set(COLUMNS):
            raise ValueError(f"GalaxiesML has no columns {', '.join(sorted(unknown))}")
        for name, (kind, _) in COLUMNS.items():
            values = np.asarray(columns[name], np.dtype(kind).base) if name in columns else _absent(n, kind)
            if values.shape != (n, *np.dtype(kind).shape):
                raise ValueError(f"{name} has shape {values.shape}, expected {(n, *np.dtype(kind).shape)}")
            self._columns[name].append(values)
        self._images.resize(len(self) + n, axis=0)
        self._images[len(self) - n :] = images

    def finish(self) -> None:
        """Write the columns."""
        for name in sorted(self._columns):
            self._file.create_dataset(name, data=np.concatenate(self._columns[name]))


@contextlib.contextmanager
def writer(path: str | os.PathLike, size: int = 64) -> Iterator[Writer]:
    """Yield a Writer of images of `size` pixels a side; the file appears when the block ends well.

    In memory are the images of one `append` and the columns of all, 730 bytes an image. The same blocks give the same
    bytes.
    """
    if size not in SIZES:
        raise ValueError(f"GalaxiesML has images of {SIZES} pixels, not of {size}")
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        made = Writer(file, size)
        yield made
        made.finish()


def write_galaxiesml(path: str | os.PathLike, images: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """Write a whole file from images (N, 5, S, S) in memory; see `Writer.append`."""
    with writer(path, np.shape(images)[-1]) as file:
        file.append(images, columns)


def read_catalog(path: str | os.PathLike, columns: Sequence[str] | None = None) -> Table:
    """Everything but the images: one row an image, those COLUMNS that the file has (or only `columns`), with units.

    Raises
    ------
    BadInput
        Missing dataset, a shape that does not fit (also of the images), text where numbers belong, truncated file.
    """
    with open_hdf5(path) as file:
        total = len(_images(path, file))
        names = dict.fromkeys(
            [*REQUIRED, *([name for name in COLUMNS if name in file] if columns is None else columns)]
        )
        table = Table({name: _read_column(path, file, name, total) for name in names})
    for name in table.colnames:
        table[name].unit = COLUMNS[name][1] or None
    return table


def _read_column(path: str | os.PathLike, file: h5py.File, name: str, total: int) -> np.ndarray:
    is_text = COLUMNS[name][0].startswith("S")
    dataset = dataset_named(path, file, name, "SO" if is_text else "fiub")
    expected = (total, *np.dtype(COLUMNS[name][0]).shape)
    if dataset.shape != expected:
        raise BadInput(f"{path}: dataset {name} has shape {dataset.shape}, expected {expected} (a row an image)")
    values = dataset[()]
    return np.array([text.decode("utf-8", "replace") for text in values], str) if is_text else values


def read_images(path: str | os.PathLike, rows: Sequence[int]) -> np.ndarray:
    """(n, 5, S, S) f4 counts of zero point 27: the images of `rows`, in their order; only these are read."""
    with open_hdf5(path) as file:
        return read_rows(path, _images(path, file), rows)


def image_size(path: str | os.PathLike) -> int:
    """Pixels of a side of the images of a file."""
    with open_hdf5(path) as file:
        return _images(path, file).shape[-1]


def nanomaggy(magnitude) -> np.ndarray:
    """Flux (N,) of AB magnitudes, NaN for sentinels: nothing is fainter than 45, or brighter than 0."""
    magnitude = np.ma.filled(np.ma.asarray(magnitude, np.float64), np.nan)
    known = np.isfinite(magnitude) & (magnitude > 0) & (magnitude < 45)
    return np.where(known, 10 ** (0.4 * (22.5 - np.where(known, magnitude, 22.5))), np.nan)


def _images(path: str | os.PathLike, file: h5py.File) -> h5py.Dataset:
    images = dataset_named(path, file, "image", kinds="f")
    if images.ndim != 4 or images.shape[1] != len(BANDS) or images.shape[2] != images.shape[3]:
        raise BadInput(f"{path}: dataset image has shape {images.shape}, expected (N, 5, S, S)")
    return images


def _absent(n: int, kind: str) -> np.ndarray:
    dtype = np.dtype(kind)
    return np.full((n, *dtype.shape), np.nan if dtype.base.kind == "f" else np.zeros((), dtype.base))
