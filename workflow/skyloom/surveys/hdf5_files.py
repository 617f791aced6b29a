"""HDF5 with errors a user can act on: a file that opens, datasets by name, shapes and types checked."""

import contextlib
import os
from collections.abc import Iterator

import h5py

from skyloom.errors import BadInput

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
