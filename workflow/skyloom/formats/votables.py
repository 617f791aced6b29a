"""VOTable, written row by row of batches, and its metadata for the footer of a Parquet file.

A VOTable file here is one table, ICRS, serialised as BINARY2 (IVOA recommendation VOTable 1.4, section 6): the XML
around it is astropy's, the rows are written here, since astropy holds all of them and goes through them cell by cell.
The same metadata without rows go into Parquet by the convention "VOParquet" 1.0 (IVOA note of 2025-01-16,
https://www.ivoa.net/documents/Notes/VOParquet), which TOPCAT and `astropy.table` (format parquet.votable) read.

Units, UCDs and descriptions are those of the Arrow fields' metadata (``unit``, ``ucd``, ``description``).
"""

import base64
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy import units as u
from astropy.io.votable.tree import CooSys, Field, Info, Resource, TableElement, VOTableFile

from skyloom.core.files import atomic

CONTENT, VERSION = "IVOA.VOTable-Parquet.content", "IVOA.VOTable-Parquet.version"
"""Keys of VOParquet; the version is that of the convention."""
_TYPES = {"int64": ("long", ">i8"), "int32": ("int", ">i4"), "double": ("double", ">f8"), "float": ("float", ">f4")}
"""Arrow's name -> VOTable's, and numpy's."""
_NODE = "icrs"

Batches = Callable[[Sequence[str] | None], Iterator[pa.Table]]
"""Columns (None: all) -> the rows of a table, some at a time, in the same order at every call."""


@dataclass(frozen=True)
class _Column:
    """A column as it lies in BINARY2: `dtype` of a cell, of `length` numbers or characters (1: a number)."""

    field: pa.Field
    datatype: str
    dtype: str
    length: int = 1

    @property
    def arraysize(self) -> str | None:
        return str(self.length) if self.length > 1 or "har" in self.datatype else None


def write_votable(
    path: str | os.PathLike,
    name: str,
    description: str,
    batches: Batches,
    schema: pa.Schema,
    infos: Mapping[str, str] | None = None,
) -> int:
    """Write one table, the number of whose rows is returned.

    Memory: a batch. Texts are padded to the longest of their column, for which the texts are read once before. `infos`
    is what it says of itself (INFO), name -> value.
    """
    columns = [_column(field, longest) for field, longest in zip(schema, _longest(batches, schema), strict=True)]
    before, after = _xml(name, description, columns, infos or {}).split(b"</TABLE>")
    rows, rest = 0, b""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.write(before.rstrip() + b'\n   <DATA>\n    <BINARY2>\n     <STREAM encoding="base64">\n')
        for table in batches(None):
            rest += _binary(table, columns)
            whole = len(rest) // 3 * 3  # what base64 writes without a sign for its end
            file.write(base64.b64encode(rest[:whole]))
            rest, rows = rest[whole:], rows + len(table)
        file.write(base64.b64encode(rest) + b"\n     </STREAM>\n    </BINARY2>\n   </DATA>\n  </TABLE>" + after)
    return rows


def parquet_metadata(name: str, description: str, batches: Batches, schema: pa.Schema) -> dict[str, str]:
    """What goes into the metadata of a Parquet file with these columns."""
    columns = [_column(field, longest) for field, longest in zip(schema, _longest(batches, schema), strict=True)]
    return {VERSION: "1.0", CONTENT: _xml(name, description, columns).decode()}


def _longest(batches: Batches, schema: pa.Schema) -> list[int]:
    """Bytes of the longest text of each column, negative if any is not ASCII; 0 of columns of numbers."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    found, foreign = dict.fromkeys(texts, 2), set()  # an arraysize of 1 is deprecated
    for table in batches(texts) if texts else ():
        for name in texts:
            characters = pc.max(pc.utf8_length(table[name])).as_py() or 0
            found[name] = max(found[name], characters)
            if pc.all(pc.string_is_ascii(table[name])).as_py() is False:
                foreign.add(name)
    return [found.get(field.name, 0) * (-1 if field.name in foreign else 1) for field in schema]


def _column(field: pa.Field, longest: int) -> _Column:
    if pa.types.is_string(field.type):
        character = ("unicodeChar", f"V{-2 * longest}") if longest < 0 else ("char", f"S{longest}")
        return _Column(field, *character, abs(longest))
    if pa.types.is_boolean(field.type):
        return _Column(field, "boolean", "S1")
    if pa.types.is_fixed_size_list(field.type):
        datatype, dtype = _TYPES[str(field.type.value_type)]
        return _Column(field, datatype, dtype, field.type.list_size)
    return _Column(field, *_TYPES[str(field.type)])


def _xml(
    name: str, description: str, columns: Sequence[_Column], infos: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """The whole document, its table without data."""
    document = VOTableFile(version="1.4")
    resource = Resource(type="results")
    resource.coordinate_systems.append(CooSys(ID=_NODE, system="ICRS"))
    resource.infos.extend(Info(name=key, value=value) for key, value in infos.items())
    document.resources.append(resource)
    table = TableElement(document, name=name)
    table.description = description
    resource.tables.append(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nanomaggies and logarithms are no units of the standard
        table.fields.extend(_field(document, column) for column in columns)
    written = io.BytesIO()
    document.to_xml(written)
    return written.getvalue()


def _field(document: VOTableFile, column: _Column) -> Field:
    words = {key.decode(): word.decode() for key, word in (column.field.metadata or {}).items()}
    given = {key: value for key, value in _attributes(words).items() if value}
    if words.get("ucd", "").startswith(("pos.eq.ra", "pos.eq.dec")):
        given["ref"] = _NODE
    size = {"arraysize": column.arraysize} if column.arraysize else {}
    field = Field(document, name=column.field.name, datatype=column.datatype, **size, **given)
    field.description = words.get("description")
    return field


def _attributes(words: Mapping[str, str]) -> dict[str, str]:
    return {"unit": vounit(words.get("unit", "")), "ucd": words.get("ucd", "")}


def vounit(unit: str) -> str:
    """A unit as the recommendation VOUnits writes it: ``dex(solMass)`` is ``log(solMass)``; one that it does not have
    (nmgy) as it is."""
    if unit.startswith("dex(") and unit.endswith(")"):
        return f"log({vounit(unit[4:-1])})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return u.Unit(unit).to_string("vounit") if unit else ""
    except ValueError:
        return unit


def _binary(table: pa.Table, columns: Sequence[_Column]) -> bytes:
    """Rows in BINARY2: a bit a column for what is missing, then the columns, high bytes first."""
    shape = [
        (f"f{i}", c.dtype, (c.length,) if "har" not in c.datatype and c.length > 1 else ())
        for i, c in _numbered(columns)
    ]
    rows = np.zeros(len(table), [("missing", "u1", ((len(columns) + 7) // 8,)), *shape])
    missing = np.zeros((len(table), len(columns)), bool)
    for i, column in _numbered(columns):
        values = table[column.field.name].combine_chunks()
        missing[:, i] = values.is_null().to_numpy(zero_copy_only=False)
        rows[f"f{i}"] = _cells(values, column)
    rows["missing"] = np.packbits(missing, axis=1)
    return rows.tobytes()


def _numbered(columns: Sequence[_Column]) -> list[tuple[int, _Column]]:
    return list(enumerate(columns))


def _cells(values: pa.Array, column: _Column) -> np.ndarray:
    if column.datatype == "boolean":
        return np.where(values.fill_null(False).to_numpy(zero_copy_only=False), b"T", b"F")
    if column.datatype == "char":
        return np.array(values.fill_null("").to_pylist(), f"S{column.length}")
    if column.datatype == "unicodeChar":
        texts = np.array(values.fill_null("").to_pylist(), f"U{column.length}")
        codes = texts.view("u4").reshape(len(texts), column.length)
        return np.where(codes < 2**16, codes, ord("?")).astype(">u2").view(column.dtype).ravel()
    if pa.types.is_fixed_size_list(values.type):
        return values.flatten().to_numpy().reshape(len(values), column.length)
    return values.fill_null(0).to_numpy()
