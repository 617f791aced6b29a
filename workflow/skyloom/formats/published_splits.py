"""The split of a galaxy as whoever published a file has it: by the name of the file, or by the place in it.

Shards of a data set on a hub are ``train-00000-of-00120.parquet`` (also validation, val, test); GalaxiesML's files are
``5x64x64_{training,validation,testing}_with_morphology.hdf5``. AstroCLIP's loader takes of each group of its HDF5 file
the first 80 % of the rows for training, the rest is test (github.com/PolymathicAI/AstroCLIP, datasets/legacy_survey.py,
the version that goes with the published paper; a later one has 90 %).
"""

import os
import re
from pathlib import Path

import numpy as np

ASTROCLIP_TRAIN = 0.8
_WORDS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation"}
_WORDS |= {"test": "test", "testing": "test"}


def of_name(path: str | os.PathLike) -> str:
    """The split that a word of a file's name says, or the whole name of the folder it is in; empty if neither does."""
    path = Path(path)
    found = {_WORDS[word] for word in re.split(r"[^a-z]+", path.name.lower()) if word in _WORDS}
    if len(found) == 1:
        return found.pop()
    return _WORDS.get(path.parent.name.lower(), "")


def of_file(path: str | os.PathLike, rows: int) -> np.ndarray:
    """`of_name` for each of its rows, (N,) text."""
    return np.full(rows, of_name(path), "U10")


def of_astroclip(sizes: list[int]) -> np.ndarray:
    """The split (N,) of the rows of groups of these sizes, one after the other."""
    parts = [np.where(np.arange(size) < int(ASTROCLIP_TRAIN * size), "train", "test") for size in sizes]
    return np.concatenate([np.empty(0, "U10"), *parts]).astype("U10")
