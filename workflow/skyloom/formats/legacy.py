"""Legacy Surveys cutouts in the HDF5 layout of Stein et al. (2021): g, r, z images, 152 x 152 pixels, with a catalogue.

`images` is (N, 3, 152, 152) in nanomaggy a pixel, bands g, r, z, 0.262 arcsec a pixel. The other datasets have a row an
image: ra, dec (deg), flux and fiberflux (N, 3; nanomaggy), psfdepth (N, 3; 5-sigma point source, inverse variance in
nanomaggy^-2), psfsize (N, 3; FWHM in arcsec), ebv (mag), inds, z_spec, and release, brickid, objid, which together are
the key of the source. Files made here at a user's own positions have `identifier` besides, UTF-8 text. Source: arXiv
2110.13151 and github.com/georgestein/ssl-legacysurvey.
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
    "identifier": ("S", ()),
}
"""Name -> (type written, shape of a row)."""


class Writer:
    """Append blocks of cutouts to an open file that will have `total` of them; use through `writer`."""

    def __init__(self, file: h5py.File, total: int):
        self._file, self._total, self._count = file, total, 0
        self._images = file.create_dataset("images", (total, len(BANDS), SIZE, SIZE), "f4")
        self._columns: dict[str, list[np.ndarray]] = {}

    def append(self, images: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Append a block of cutouts.

        Parameters
        ----------
        images
            (n, 3, 152, 152) nanomaggy a pixel, written as f4.
        columns
            Name -> (n, ...) values; at least REQUIRED, names of COLUMNS only, the same in each block. ValueError if
            they do not fit.
        """
        n = len(images)
        if np.shape(images)[1:] != self._images.shape[1:]:
            raise ValueError(f"images have shape {np.shape(images)}, expected (n, {len(BANDS)}, {SIZE}, {SIZE})")
        if self._count + n > self._total:
            raise ValueError(f"{self._count + n} cutouts for a file of {self._total}")
        if missing := set(REQUIRED) - set(columns):
            raise ValueError(f"cutouts need the columns {', '.join(sorted(missing))}")
        for name in columns:
            dtype, row = COLUMNS[name]
            values = columns[name]
            values = np.char.encode(np.asarray(values, "U"), "utf-8") if dtype == "S" else np.asarray(values, dtype)
            if values.shape != (n, *row):
                raise ValueError(f"{name} has shape {values.shape}, expected {(n, *row)}")
            self._columns.setdefault(name, []).append(values)
        self._images[self._count : self._count + n] = images
        self._count += n

    def finish(self) -> None:
        """Write the columns."""
        if self._count != self._total:
            raise ValueError(f"{self._count} cutouts for a file of {self._total}")
        for name in sorted(self._columns):
            self._file.create_dataset(name, data=np.concatenate(self._columns[name]))


@contextlib.contextmanager
def writer(path: str | os.PathLike, total: int) -> Iterator[Writer]:
    """Yield a Writer of `total` cutouts; the file appears when the block ends well.

    Only cutouts of one `append` are in memory, and how they are divided into blocks does not change the file.
    """
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        made = Writer(file, total)
        yield made
        made.finish()


def write_cutouts(path: str | os.PathLike, images: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """Write a whole file from cutouts (N, 3, 152, 152) in memory; see `Writer.append`."""
    with writer(path, len(images)) as file:
        file.append(images, columns)


def read_cutout_catalog(path: str | os.PathLike) -> Table:
    """Everything but the images: one row a cutout, columns as in the file (lower case).

    Raises
    ------
    BadInput
        Missing dataset, a shape that does not fit (also of the images), text where numbers belong, truncated file.
    """
    with open_hdf5(path) as file:
        total = len(_images(path, file))
        more = set(COLUMNS) - {*REQUIRED, "identifier"}
        names = [*REQUIRED, *(name for name in file if name in more)]
        return Table({name: _read_column(path, file, name, total) for name in names})


def _read_column(path: str | os.PathLike, file: h5py.File, name: str, total: int) -> np.ndarray:
    dataset, expected = dataset_named(path, file, name), (total, *COLUMNS[name][1])
    if dataset.shape != expected:
        raise BadInput(f"{path}: dataset {name} has shape {dataset.shape}, expected {expected} (a row an image)")
    return dataset[()]


def read_identifiers(path: str | os.PathLike) -> np.ndarray | None:
    """What the galaxies of a file are called (N,), of one that was made at a user's positions; None of another."""
    with open_hdf5(path) as file:
        if "identifier" not in file:
            return None
        return np.array([text.decode("utf-8", "replace") for text in file["identifier"][()]], dtype=object)


def source_number(release, brickid, objid) -> np.ndarray:
    """(N,) int64: the key of each source in one number, as DESI's TARGETID has it (14, 20 and 22 bits).

    -1 where there is no source (release 0, or a number that does not fit).
    The bits are those of `desitarget.targets.encode_targetid`: objid from bit 0, brickid from 22, release from 42.
    """
    release, brickid, objid = (np.ma.filled(np.ma.asarray(part, np.int64), -1) for part in (release, brickid, objid))
    known = (release > 0) & (release < 2**14) & (brickid >= 0) & (brickid < 2**20) & (objid >= 0) & (objid < 2**22)
    return np.where(known, (release << 42) | (brickid << 22) | objid, -1)


def source_of_target(targetid) -> np.ndarray:
    """(N,) int64: the `source_number` of the source that a DESI target was chosen as; -1 for targets that are none of
    the Legacy Surveys (sky and mock targets have bits above the release, others release 0)."""
    targetid = np.ma.filled(np.ma.asarray(targetid, np.int64), -1)
    parts = targetid >> 42, targetid >> 22 & (2**20 - 1), targetid & (2**22 - 1)
    return np.where(targetid > 0, source_number(*parts), -1)


def read_cutouts(path: str | os.PathLike, rows: Sequence[int]) -> np.ndarray:
    """(n, 3, 152, 152) f4 nanomaggy a pixel: the cutouts of `rows`, in their order; only these are read."""
    with open_hdf5(path) as file:
        return read_rows(path, _images(path, file), rows)


def _images(path: str | os.PathLike, file: h5py.File) -> h5py.Dataset:
    images = dataset_named(path, file, "images", kinds="f")
    if images.ndim != 4 or images.shape[1:] != (len(BANDS), SIZE, SIZE):
        raise BadInput(f"{path}: dataset images has shape {images.shape}, expected (N, 3, {SIZE}, {SIZE})")
    return images
