"""Catalogue and embeddings of a survey for other programs: HATS for LSDB, one VOTable or Parquet file for TOPCAT.

The tables are joined by targetid as they are read, some rows at a time: memory is 40 bytes a galaxy and a batch.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table
from astropy.table.meta import get_yaml_from_table

from skyloom.catalog.columns import SPLITS
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats import hats_files, votables
from skyloom.surveys.common.manifest import write_manifest

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"
ROWS = hats_files.ROWS
"""Of a HATS partition, at most."""
_BATCH = 2**14  # rows; with a dozen embeddings of 256 numbers 200 MB
_VECTOR = "Embedding of {name}; NaN where the galaxy has none"


class Galaxies:
    """The rows of galaxies.parquet, and in columns of vectors the embeddings of those that have one.

    Parameters
    ----------
    path : galaxies.parquet, by rising targetid
    embeddings : name of the column -> table of embeddings, by rising targetid
    """

    def __init__(self, path: str | os.PathLike, embeddings: Mapping[str, str | os.PathLike]):
        self.path, self._vectors = path, {name: _Embedding(table) for name, table in embeddings.items()}
        fields = [_own_words(field) for field in pq.read_schema(path)]
        for name, vectors in self._vectors.items():
            words = {"ucd": "meta.modelled", "description": _VECTOR.format(name=name)}
            fields.append(pa.field(name, pa.list_(pa.float32(), vectors.width), metadata=words))
        self.schema = pa.schema(fields)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Some rows at a time, of these columns or of all."""
        wanted = self.schema.names if columns is None else list(columns)
        own = [name for name in wanted if name not in self._vectors]
        readers = {name: self._vectors[name].reader() for name in wanted if name in self._vectors}
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH, columns=list(dict.fromkeys(["targetid", *own]))):
                found = {name: batch[name] for name in own}
                targetid = batch["targetid"].to_numpy()
                found |= {name: reader.take(targetid) for name, reader in readers.items()}
                yield pa.table(
                    [found[name] for name in wanted], schema=pa.schema([self.schema.field(n) for n in wanted])
                )


class Embedded:
    """The rows of a table of embeddings, with the positions and redshifts of their galaxies."""

    def __init__(self, galaxies: str | os.PathLike, table: str | os.PathLike):
        self._known = pq.read_table(galaxies, columns=["targetid", "ra", "dec", "z"])
        self._targetid, self._table = self._known["targetid"].to_numpy(), table
        known = {name: _own_words(self._known.schema.field(name)) for name in ("targetid", "ra", "dec", "z")}
        width = _Embedding(table).width
        words = {"ucd": "meta.modelled", "description": f"Embedding of {Path(table).stem}"}
        split = pa.field("split", pa.string(), metadata=_words(SPLITS["split"]))
        vector = pa.field("embedding", pa.list_(pa.float32(), width), metadata=words)
        self.schema = pa.schema([*known.values(), split, vector])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Some rows at a time, of these columns or of all."""
        wanted = self.schema.names if columns is None else list(columns)
        own = [name for name in wanted if name in ("split", "embedding")]
        with _opened(self._table) as file:
            for batch in file.iter_batches(_BATCH, columns=["targetid", *own]):
                targetid = batch["targetid"].to_numpy()
                place = np.searchsorted(self._targetid, targetid).clip(max=max(len(self._targetid) - 1, 0))
                if not np.array_equal(self._targetid[place], targetid):
                    raise BadInput(f"{self._table}: has galaxies that the catalogue has not; delete it and rerun")
                found = {name: batch[name] for name in own}
                found |= {name: self._known[name].take(place) for name in wanted if name not in own}
                schema = pa.schema([self.schema.field(name) for name in wanted])
                yield pa.table([found[name] for name in wanted], schema=schema)


def write_galaxies(galaxies: str | os.PathLike, survey: str, properties: str | os.PathLike) -> None:
    """The catalogue as HATS: a collection in the folder of the file `properties`, with a manifest of its files."""
    _write_hats("galaxies", Galaxies(galaxies, {}), survey, properties)


def write_embeddings(
    galaxies: str | os.PathLike, table: str | os.PathLike, survey: str, properties: str | os.PathLike
) -> None:
    """A table of embeddings as HATS: targetid, ra, dec, z, split, embedding."""
    _write_hats(Path(table).stem, Embedded(galaxies, table), survey, properties)


def write_tables(
    galaxies: str | os.PathLike,
    embeddings: Mapping[str, str | os.PathLike],
    survey: str,
    votable: str | os.PathLike,
    parquet: str | os.PathLike,
) -> None:
    """Catalogue and embeddings in one table, as VOTable and as Parquet with the metadata of a VOTable (VOParquet)."""
    source = Galaxies(galaxies, embeddings)
    description = f"Galaxies of {survey}, and their embeddings"
    rows = votables.write_votable(votable, survey, description, source.batches, source.schema)
    told = votables.parquet_metadata(survey, description, source.batches, source.schema)
    lengths = {key: word for key, word in pq.read_schema(galaxies).metadata.items() if key.startswith(b"table::len")}
    schema = source.schema.with_metadata({"table_meta_yaml": _for_astropy(source.schema), **told, **lengths})
    with atomic(parquet) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
        for table in source.batches():
            file.write_table(table.cast(schema))
    log.info("%d galaxies with %d embeddings", rows, len(embeddings))


def _write_hats(name: str, source: "Galaxies | Embedded", survey: str, properties: str | os.PathLike) -> None:
    folder = Path(properties).parent
    about = {"obs_title": f"{name} of {survey}", "hats_creator": "Skyloom"}
    whole = source.schema.append(hats_files.INDEX_FIELD)
    told = votables.parquet_metadata(name, about["obs_title"], source.batches, whole)
    without = hats_files.write_collection(
        folder, name, source.batches, source.schema.with_metadata(told), ROWS, about=about
    )
    if without:
        log.info("%s: %d galaxies without a position are left out", name, without)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_manifest(files, folder / MANIFEST)


def _words(column: tuple[str, str, str, str]) -> dict[str, str]:
    """The metadata of a field, of an entry of `skyloom.catalog.columns`."""
    _, unit, ucd, description = column
    return {key: word for key, word in (("unit", unit), ("ucd", ucd), ("description", description)) if word}


def _own_words(field: pa.Field) -> pa.Field:
    """A field with no more than its unit, UCD and description."""
    words = {key: word for key, word in (field.metadata or {}).items() if key in (b"unit", b"ucd", b"description")}
    return field.with_metadata(words)


def _opened(path: str | os.PathLike) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        text = str(error).splitlines()[0]
        raise BadInput(f"{path}: cannot be read as Parquet ({text}); delete it and rerun") from error


class _Embedding:
    """A table of embeddings, by rising targetid."""

    def __init__(self, path: str | os.PathLike):
        with _opened(path) as file:
            self.path, self.width = path, file.schema_arrow.field("embedding").type.list_size

    def reader(self) -> "_Reader":
        return _Reader(self.path, self.width)


class _Reader:
    """Reads embeddings from front to back."""

    def __init__(self, path: str | os.PathLike, width: int):
        self._batches = self._read(path)
        self._targetid, self._values, self.width = np.empty(0, np.int64), np.empty((0, width), np.float32), width

    @staticmethod
    def _read(path: str | os.PathLike) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with _opened(path) as file:
            for batch in file.iter_batches(_BATCH, columns=["targetid", "embedding"]):
                vectors = batch["embedding"]
                yield batch["targetid"].to_numpy(), vectors.flatten().to_numpy().reshape(len(vectors), -1)

    def take(self, targetid: np.ndarray) -> pa.Array:
        """Vectors of galaxies (N,), which rise from call to call; NaN for those that have none."""
        while len(targetid) and (not len(self._targetid) or self._targetid[-1] < targetid[-1]):
            following = next(self._batches, None)
            if following is None:
                break
            self._targetid = np.append(self._targetid, following[0])
            self._values = np.concatenate([self._values, following[1]])
        place = np.searchsorted(self._targetid, targetid)
        inside = place < len(self._targetid)
        inside[inside] = self._targetid[place[inside]] == targetid[inside]
        found = np.full((len(targetid), self.width), np.nan, np.float32)
        found[inside] = self._values[place[inside]]
        done = np.searchsorted(self._targetid, targetid[-1], side="right") if len(targetid) else 0
        self._targetid, self._values = self._targetid[done:], self._values[done:]
        return pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), self.width)


def _for_astropy(schema: pa.Schema) -> str:
    """What astropy writes into Parquet beside the columns: units, descriptions, shapes."""
    table = Table()
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            table[field.name] = np.zeros((1, field.type.list_size), np.float32)
        else:
            table[field.name] = np.zeros(1, "U1" if pa.types.is_string(field.type) else field.type.to_pandas_dtype())
        words = {key.decode(): word.decode() for key, word in (field.metadata or {}).items()}
        column = table[field.name]
        column.unit, column.description = words.get("unit"), words.get("description")
        column.meta = {"ucd": words.get("ucd", "")}
    return "\n".join(get_yaml_from_table(table))
