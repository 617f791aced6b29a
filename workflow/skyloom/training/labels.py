"""What objectives learn from besides tokens: columns of galaxies.parquet, or of a table of the user's."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats import label_tables
from skyloom.settings.names import CLASSES


def read_labels(
    path: str | os.PathLike | None,
    names: Sequence[str],
    targetid: np.ndarray,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, np.ndarray]:
    """Columns of a table (`skyloom.formats.label_tables`) for these galaxies, name -> (N,) float32, NaN where there is
    no value.

    Parameters
    ----------
    classes : column -> names of classes; a label is the place among them, NaN for any other value. Without an entry
        text must be a class of spectra, and is its place in `CLASSES`

    Raises
    ------
    BadInput : there is no file, it is no table, lacks a column, has text where numbers are expected, or none of the
        galaxies.
    """
    if path is None:
        raise BadInput(f"this model learns from {', '.join(names)} of galaxies.parquet, which was not given")
    known, columns = label_tables.read(path, names)
    place = np.searchsorted(known, targetid).clip(max=max(len(known) - 1, 0))
    found = known[place] == targetid if len(known) else np.zeros(len(targetid), bool)
    if len(targetid) and not found.any():
        raise BadInput(f"{path}: none of its {len(known)} galaxies is among the {len(targetid)} that have tokens")
    numbers = {name: _numbers(path, name, values, (classes or {}).get(name)) for name, values in columns.items()}
    nothing = np.float32("nan")
    return {name: np.where(found, v[place] if len(v) else nothing, nothing) for name, v in numbers.items()}


def _numbers(path, name: str, values: np.ndarray, classes: Sequence[str] | None) -> np.ndarray:
    """A column as float32; a class by its place."""
    if classes is None and values.dtype != object:
        return values.astype("f4")
    words = label_tables.text(values)
    if classes is None:
        other = next((word for word in words if word and word not in CLASSES), None)
        if other is not None:
            text = f"'{other}' of column {name} is neither a number nor one of {', '.join(CLASSES)}"
            raise BadInput(f"{path}: {text}; classes of another kind are named (model.classes)")
    places = {word: place for place, word in enumerate(CLASSES if classes is None else classes)}
    return np.array([places.get(word, np.nan) for word in words], "f4")
