"""What is known of each galaxy, by column: joined from catalogue, splits, predictions and anomalies."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.explore.page.sources import Sources
from skyloom.settings.names import PROPERTIES

UNSHOWN = ("meta.id", "meta.record", "meta.number", "meta.dataset", "pos.healpix")
"""UCDs of columns that say where something is, not what it is like."""
CLASSES = 12
"""Classes of a column of text at most, the rest is "other"."""
OTHER = "other"
ENDS = ("_lower", "_upper")


@dataclasses.dataclass(frozen=True)
class Column:
    """A number of each galaxy, `values` (N,) float64 with NaN where unknown, or a class, (N,) uint8 into `classes`.

    `lower`, `upper` are the ends of its interval, if it has one.
    """

    name: str
    label: str
    group: str
    values: np.ndarray
    unit: str = ""
    about: str = ""
    classes: tuple[str, ...] = ()
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None

    def described(self) -> dict:
        """What the page is told of it, without the values."""
        unit = "" if "[" in self.label else self.unit  # a label such as log M* [Msun] has it
        said = {"name": self.name, "label": self.label, "group": self.group, "unit": unit, "about": self.about}
        if self.classes:
            return said | {"classes": list(self.classes)}
        known = self.values[np.isfinite(self.values)]
        return said | {"range": [float(known.min()), float(known.max())]}


class Catalog:
    """All columns of a survey's galaxies.

    Attributes
    ----------
    targetid : (N,) int64, in rising order; the row of a galaxy is its place here
    columns : those that tell galaxies apart, and their positions
    """

    def __init__(self, sources: Sources):
        table = pq.read_table(sources.galaxies)
        if "targetid" not in table.column_names:
            raise BadInput(f"{sources.galaxies}: no column 'targetid'; expected a catalogue of galaxies")
        order = np.argsort(table["targetid"].to_numpy(), kind="stable")
        table = table.take(order) if (np.diff(order) < 0).any() else table
        self.targetid = table["targetid"].to_numpy()
        columns = [_of_field(field, table[field.name]) for field in table.schema if not _unshown(field)]
        if sources.splits:
            splits = pq.read_table(sources.splits, columns=["targetid", "split"])
            columns.append(_classes("split", "split", "catalogue", self._joined(splits, "split")))
        for path in sources.predictions:
            columns += self._predicted(path)
        for path in sources.anomalies:
            place = pq.read_table(path, columns=["targetid", "place"])
            values = self._joined(place, "place").to_numpy(zero_copy_only=False).astype(float)
            columns.append(Column("anomaly_place", "place in the list of anomalies", "catalogue", values))
        self.columns = [column for column in columns if column is not None and _known(column)]

    def rows(self, targetid: np.ndarray) -> np.ndarray:
        """Rows (n,) of galaxies, -1 where there is no such galaxy."""
        if not len(self.targetid):
            return np.full(len(targetid), -1)
        place = np.searchsorted(self.targetid, targetid).clip(max=len(self.targetid) - 1)
        return np.where(self.targetid[place] == targetid, place, -1)

    def _joined(self, table: pa.Table, name: str) -> pa.Array:
        """A column of a table with targetid, by row; null where the table has not the galaxy."""
        targetid = table["targetid"].to_numpy()
        order = np.argsort(targetid, kind="stable")
        if not len(order):
            return pa.nulls(len(self.targetid), table[name].type)
        place = order[np.searchsorted(targetid, self.targetid, sorter=order).clip(max=len(order) - 1)]
        missing = targetid[place] != self.targetid
        return table[name].combine_chunks().take(pa.array(place, mask=missing))

    def _predicted(self, path: str) -> list[Column]:
        schema = pq.read_schema(path)
        told = json.loads((schema.metadata or {}).get(b"skyloom", b"{}"))
        by = told.get("model", Path(path).stem)
        if told.get("query", by) != by:
            by = f"{by}, {told['query']}"
        numbers = [f.name for f in schema if pa.types.is_floating(f.type)]
        table = pq.read_table(path, columns=["targetid", *numbers])
        found = {name: self._joined(table, name).to_numpy(zero_copy_only=False).astype(float) for name in numbers}
        made = []
        for name in numbers:
            if any(name.endswith(end) and name.removesuffix(end) in found for end in ENDS):
                continue
            unit = (schema.field(name).metadata or {}).get(b"unit", b"").decode()
            ends = {end[1:]: found.get(name + end) for end in ENDS}
            made.append(Column(f"{by}: {name}", PROPERTIES.get(name, name), by, found[name], unit, **ends))
        return made


def _unshown(field: pa.Field) -> bool:
    ucd = (field.metadata or {}).get(b"ucd", b"").decode()
    return field.name == "targetid" or ucd.startswith(UNSHOWN)


def _of_field(field: pa.Field, values: pa.ChunkedArray) -> Column | None:
    words = {key.decode(): word.decode() for key, word in (field.metadata or {}).items()}
    about = words.get("description", "")
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) or pa.types.is_dictionary(field.type):
        return _classes(field.name, field.name, "catalogue", values.combine_chunks(), about)
    if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)):
        return None
    label = PROPERTIES.get(field.name, field.name)
    numbers = values.cast(pa.float64()).to_numpy()
    return Column(field.name, label, "catalogue", numbers, words.get("unit", ""), about)


def _classes(name: str, label: str, group: str, values: pa.Array, about: str = "") -> Column:
    values = pc.fill_null(values.cast(pa.string()), "").to_pandas()
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    names = list(counts.index[: CLASSES - (len(counts) > CLASSES)])
    names += [OTHER] if len(counts) > len(names) else []
    code = pandas.Categorical(values, categories=names).codes
    code = np.where(code < 0, len(names) - 1, code).astype("u1")
    return Column(name, label, group, code, about=about, classes=tuple(word or "not known" for word in names))


def _known(column: Column) -> bool:
    if column.classes:
        return len(column.classes) > 1
    values = column.values[np.isfinite(column.values)]
    return bool(len(values)) and (values.min() < values.max() or column.name in ("ra", "dec"))
