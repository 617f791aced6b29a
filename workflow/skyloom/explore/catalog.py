"""The catalogue of a survey's galaxies, columns read as they are asked for."""

import os
import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadConfig, BadInput
from skyloom.explore.queries import Position

_HIDDEN = ("_file", "_row")
_NOT_SHOWN = {"targetid", "healpix", "shard"}
_RADIAN_ARCSEC = 180 / np.pi * 3600


class Catalog:
    """galaxies.parquet: 8 bytes a galaxy and column that was asked for are held. Threads may share one."""

    def __init__(self, path: str | os.PathLike):
        self.path = path
        try:
            self.schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
        self._columns: dict[str, pa.Array] = {}
        self._lock = threading.Lock()
        self.targetid = self.values("targetid")
        if (np.diff(self.targetid) <= 0).any():
            raise BadInput(f"{path}: column targetid does not rise; delete it and rerun")

    def __len__(self) -> int:
        return len(self.targetid)

    @property
    def shown(self) -> list[str]:
        """The columns of an answer unless told: all but names of files, rows and numbers of the workflow's own."""
        return [name for name in self.schema.names if name not in _NOT_SHOWN and not name.endswith(_HIDDEN)]

    def column(self, name: str) -> pa.Array:
        """A column (N,); BadConfig if there is none of this name."""
        if name not in self.schema.names:
            raise BadConfig(f"no column {name!r} in {self.path}; its columns are {', '.join(self.schema.names)}")
        with self._lock:
            if name not in self._columns:
                self._columns[name] = pq.read_table(self.path, columns=[name])[name].combine_chunks()
            return self._columns[name]

    def values(self, name: str) -> np.ndarray:
        """A column (N,) as numpy has it: numbers, or objects that are texts."""
        return self.column(name).to_numpy(zero_copy_only=False)

    def places(self, targetid: np.ndarray) -> np.ndarray:
        """Rows (n,) of galaxies, -1 where the catalogue has none."""
        if not len(self):
            return np.full(len(targetid), -1)
        place = np.searchsorted(self.targetid, targetid).clip(max=len(self) - 1)
        return np.where(self.targetid[place] == targetid, place, -1)

    def within(self, position: Position) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n,) of the galaxies of a cone, the nearest first, and their distances in arcsec."""
        ra, dec = np.radians(self.values("ra")), np.radians(self.values("dec"))
        ra0, dec0 = np.radians(position.ra), np.radians(position.dec)
        chord = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
        separation = 2 * np.arcsin(np.sqrt(chord.clip(0, 1))) * _RADIAN_ARCSEC
        inside = np.flatnonzero(separation <= position.radius)  # NaN is not
        order = inside[np.lexsort((inside, separation[inside]))]
        return order, separation[order]

    def take(self, names: Sequence[str], rows: np.ndarray) -> tuple[list[pa.Array], list[pa.Field]]:
        """Columns (n,) of rows, null where a row is -1, and their fields with units and words."""
        index = pa.array(np.where(rows >= 0, rows, 0), mask=rows < 0)
        arrays = [self.column(name).take(index) for name in names]
        return arrays, [field_of(self.schema.field(name)) for name in names]


def field_of(field: pa.Field) -> pa.Field:
    """A field with its unit, UCD and description alone, that may be null."""
    words = {key: word for key, word in (field.metadata or {}).items() if key in (b"unit", b"ucd", b"description")}
    return pa.field(field.name, field.type, metadata=words)
