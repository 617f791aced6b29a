"""What the numbers of a galaxy are called, and the choices that queries make among them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from skyloom.core.errors import BadConfig
from skyloom.formats.part_columns import SCALARS, UNITS
from skyloom.models.mosaic import BANDS, Item
from skyloom.settings.section import hint

AXES = {"spherex": "Angstrom", "sfh": "Gyr", "sed": "Angstrom"}
"""Modalities that a range can be taken of, and its unit."""


def names_of(modality: str, size: int) -> list[str]:
    """What the single values of a modality are called; none of a long vector."""
    if modality == "scalars":
        return list(SCALARS)
    if modality == "lsst":
        return [f"lsst_{band}" for band in BANDS] if size == len(BANDS) else [f"lsst_{i + 1}" for i in range(size)]
    return []


def unit_of(column: str) -> str:
    """The unit of a modality's numbers, or of a single value."""
    return UNITS[column if column in UNITS else "lsst"]


def centres(axis: np.ndarray, size: int) -> np.ndarray:
    """Where on the axis each number lies, (size,): `axis` has as many places, or one edge more."""
    return (axis[1:] + axis[:-1]) / 2 if len(axis) == size + 1 else axis


def choose(items: Sequence[Item], sizes: Mapping[str, int], axes: Mapping[str, np.ndarray], where: str):
    """Which numbers are meant, modality -> (size,) bool, of those modalities that have any.

    Parameters
    ----------
    items : modalities, single values or ranges, as `skyloom.models.mosaic.Query` has them
    sizes : numbers in each modality of the model
    axes : modality -> places or edges, where they are known
    where : the place in the configuration, for messages

    Raises
    ------
    BadConfig : something that this model does not know, a range without an axis, or a range with nothing in it.
    """
    chosen = {name: np.zeros(size, bool) for name, size in sizes.items()}
    single = {value: (name, i) for name, size in sizes.items() for i, value in enumerate(names_of(name, size))}
    for item in items:
        if isinstance(item, str):
            if item in chosen:
                chosen[item][:] = True
            elif item in single:
                name, place = single[item]
                chosen[name][place] = True
            else:
                raise BadConfig(f"{where}: '{item}' is not known to this model; {hint(item, [*chosen, *single])}")
            continue
        for name, (low, high) in item.items():
            if name not in chosen or name not in AXES:
                ranged = [name for name in AXES if name in sizes]
                raise BadConfig(f"{where}: a range of '{name}' cannot be taken; those of {', '.join(ranged)} can")
            if name not in axes:
                raise BadConfig(f"{where}: the survey that this model learned from does not say where {name} lies")
            place = centres(axes[name], sizes[name])
            inside = (place >= low) & (place < high)
            if not inside.any():
                text = f"[{low:g}, {high:g}] {AXES[name]} holds none of its numbers"
                raise BadConfig(f"{where}: {name}: {text}, which lie from {place[0]:g} to {place[-1]:g}")
            chosen[name] |= inside
    return {name: mask for name, mask in chosen.items() if mask.any()}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of an answer: a single value, or the chosen numbers of a vector.

    Attributes
    ----------
    name : of the column
    modality, places : which numbers (n,) of which modality it holds
    single : one number
    """

    name: str
    modality: str
    places: tuple[int, ...]
    single: bool

    @property
    def unit(self) -> str:
        """Of its numbers."""
        return unit_of(self.name)


def columns(chosen: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> list[Column]:
    """The columns that hold these numbers: scalars and magnitudes one by one, the rest as vectors."""
    found = []
    for modality, mask in chosen.items():
        places = np.flatnonzero(mask).tolist()
        named = names_of(modality, sizes[modality])
        if named:
            found += [Column(named[place], modality, (place,), True) for place in places]
        else:
            found.append(Column(modality, modality, tuple(places), False))
    return found
