"""HDF5 with errors a user can act on: a file that opens, datasets by name, shapes and types checked."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats.fits_files import check_rows, stretches

KINDS = {"integers": "iu", "numbers": "fiu"}


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; BadInput if it is missing, truncated or not HDF5."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file, expected an HDF5 file") from error
    except OSError as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: not a readable HDF5 file: {reason}") from error
    with file:
        yield file


def dataset_named(path: str | os.PathLike, file: h5py.File, name: str, kinds: str = "fiu") -> h5py.Dataset:
    """The dataset called `name` of a numpy kind in `kinds`; BadInput otherwise."""
    if not isinstance(file.get(name), h5py.Dataset):
        raise BadInput(f"{path}: no dataset {name}, found {', '.join(file) or 'nothing'}")
    dataset = file[name]
    if dataset.dtype.kind not in kinds:
        raise BadInput(f"{path}: dataset {name} holds {dataset.dtype}, expected numbers")
    return dataset


def read_rows(path: str | os.PathLike, dataset: h5py.Dataset, rows: Sequence[int]) -> np.ndarray:
    """Rows of a dataset as f4, in the order of `rows`; only these are read, each stretch of them at once.

    Raises
    ------
    BadInput
        A row that is not in the file, or one that cannot be read.
    """
    rows = check_rows(path, rows, len(dataset))
    wanted, place = np.unique(rows, return_inverse=True)  # HDF5 takes increasing indices only
    found = np.empty((len(wanted), *dataset.shape[1:]), "f4")
    try:
        for first, last in stretches(wanted):
            dataset.read_direct(found, np.s_[wanted[first] : wanted[last - 1] + 1], np.s_[first:last])
    except OSError as error:
        name = dataset.name.lstrip("/")
        raise BadInput(f"{path}: dataset {name} cannot be read: {' '.join(str(error).split())}") from error
    return found if np.array_equal(rows, wanted) else found[place]
