"""Galaxies out of a table of the user's own: which columns are numbers of the model, in which unit."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from skyloom.core.errors import BadInput
from skyloom.formats import ranges
from skyloom.models.mosaic.numbers import names_of, unit_of
from skyloom.nn.batch import Batch
from skyloom.settings.section import hint

SAME = {
    "mag(AB)": ("mag", "mag(ab)", "abmag", "ab mag", "magab"),
    "": ("dimensionless", "redshift"),
    "dex(Msun)": ("dex(solmass)", "log(msun)", "log10(msun)", "[msun]", "dex(m_sun)"),
    "dex(Msun/yr)": ("dex(solmass/yr)", "dex(solmass / yr)", "log10(msun/yr)", "[msun/yr]"),
    "dex(Jy)": ("log10(jy)", "[jy]"),
}
"""Unit -> how else it is written, in lower case."""


def places(model: nn.Module) -> dict[str, tuple[str, int | None]]:
    """Column -> modality and place in it; None: all of a vector."""
    found: dict[str, tuple[str, int | None]] = {}
    for modality, size in model.sizes.items():
        names = names_of(modality, size)
        found |= {name: (modality, place) for place, name in enumerate(names)}
        if modality != "scalars":
            found[modality] = (modality, None)
    return found


def known_columns(model: nn.Module, units: Mapping[str, str | None]) -> list[str]:
    """Those of a table's columns (name -> unit, None where it states none) that are numbers of the model.

    Raises
    ------
    BadInput : none is, or one is in another unit.
    """
    there = places(model)
    found = [name for name in units if name in there]
    if not found:
        close = next((hint(name, list(there)) for name in units if "mean" in hint(name, list(there))), "")
        raise BadInput(f"no column that the model knows, such as {', '.join(list(there)[:4])}; {close}".rstrip("; "))
    for name in found:
        wanted = unit_of(name)
        given = (units[name] or "").strip()
        if given and given != wanted and given.lower() not in SAME.get(wanted, ()):
            raise BadInput(f"column {name} is in {given}; expected {wanted or 'no unit'}")
    return found


def batch_of(model: nn.Module, columns: Mapping[str, np.ndarray], targetid: np.ndarray) -> tuple[Batch, dict[str, int]]:
    """Some galaxies of a table as a batch, and how many values of each column cannot be (99, -999 ...) and count as
    missing.

    Parameters
    ----------
    columns : name (of `known_columns`) -> (n,) numbers, or (n, size) of a vector; NaN where a value is missing

    Raises
    ------
    BadInput : a vector of another length.
    """
    there, outside = places(model), {}
    data = {m: np.full((len(targetid), size), np.nan, "f4") for m, size in model.sizes.items()}
    for name, values in columns.items():
        modality, place = there[name]
        size = model.sizes[modality]
        wanted = (len(targetid),) if place is not None else (len(targetid), size)
        values = np.asarray(values, "f8")
        if values.shape != wanted:
            what = "a number" if place is not None else f"{size} numbers"
            raise BadInput(f"column {name} has {values.shape[1:] or 'single'} values; expected {what} a galaxy")
        quantity = name if name in ranges.RANGES else modality
        values, outside[name] = ranges.within(quantity, values)
        data[modality][:, slice(None) if place is None else place] = values
    given = {modality for modality, _ in (there[name] for name in columns)}
    tensors = {m: {"values": torch.from_numpy(data[m])} for m in given}
    return Batch(tensors, targetid=torch.from_numpy(targetid)), outside
