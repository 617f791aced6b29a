"""HDF5 with errors a user can act on: a file that opens, datasets by name, shapes and types checked."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats.fits_files import MEND, check_rows, stretches

KINDS = {"integers": "iu", "numbers": "fiu"}


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Open an HDF5 file to read in a ``with`` block; BadInput if it is missing, truncated, not HDF5 or damaged.

    Only reading belongs in the block: what HDF5 raises there about a damaged file becomes BadInput.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file, expected an HDF5 file") from error
    except OSError as error:
        raise damaged(path, "not a readable HDF5 file", error) from error
    with file:
        try:
            yield file
        except OSError as error:
            if error.errno is not None:  # the system's own, about another file
                raise
            raise damaged(path, "cannot be read", error) from error


def damaged(path: str | os.PathLike, what: str, error: Exception) -> BadInput:
    """The error of a file that is not whole: `what` is wrong with it, why HDF5 thinks so, and how to mend it."""
    return BadInput(f"{path}: {what}: {' '.join(str(error).split())}; {MEND}")


def dataset_named(path: str | os.PathLike, file: h5py.File, name: str, kinds: str = "fiu") -> h5py.Dataset:
    """The dataset called `name` of a numpy kind in `kinds`; BadInput otherwise."""
    if not isinstance(file.get(name), h5py.Dataset):
        raise BadInput(f"{path}: no dataset {name}, found {', '.join(file) or 'nothing'}")
    dataset = file[name]
    if dataset.dtype.kind not in kinds:
        raise BadInput(f"{path}: dataset {name} holds {dataset.dtype}, expected numbers")
    return dataset


def group_number(name: str) -> tuple[bool, int, str]:
    """Groups called 0 to 10 in the order of their numbers, others behind them: a key for `sorted`."""
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


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
        raise damaged(path, f"dataset {dataset.name.lstrip('/')} cannot be read", error) from error
    return found if np.array_equal(rows, wanted) else found[place]
