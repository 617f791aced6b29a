"""The galaxies that an archive's catalogue told: ``wanted.parquet``, a row each, sorted by the file of their spectrum.

targetid, ra, dec (deg), z_spec, release, brickid, objid, flux_g, flux_r, flux_z (nanomaggy), ebv (mag), survey,
program, and the names below the raw folder of the files they are in: coadd, images. Images are in their file in the
order of these rows; `brick` is the brick they are cut out of, empty where they are not. Names of files are few and
long: they are numbers of an Arrow dictionary everywhere but in the table of one file.
"""

import os
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic

TEXTS = ("survey", "program", "coadd", "images", "brick")
NUMBERS = {
    "targetid": pa.int64(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "z_spec": pa.float32(),
    **dict.fromkeys(("release", "brickid", "objid"), pa.int32()),
    **dict.fromkeys(("flux_g", "flux_r", "flux_z", "ebv"), pa.float32()),
}
_ROWS = 2**16  # of a row group: a file's galaxies are in one or two


def table(numbers: Mapping[str, np.ndarray], texts: Mapping[str, tuple[np.ndarray, list[str]]]) -> pa.Table:
    """The table of numbers (n,), and of texts as (number of each (n,), names)."""
    columns = {}
    for name, kind in NUMBERS.items():
        columns[name] = pa.array(np.asarray(numbers[name]).astype(kind.to_pandas_dtype()))
    for name in TEXTS:
        number, names = texts[name]
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(number.astype("i4")), pa.array(names, pa.string()))
    return pa.table(columns)


def write(path: str | os.PathLike, galaxies: pa.Table) -> None:
    """Write the table atomically; texts as such, with the length that astropy asks for: it reads no dictionaries."""
    longest = {name: str(max([1, *map(len, texts(galaxies, name)[1])])) for name in TEXTS}
    fields = [(name, pa.string() if name in TEXTS else galaxies[name].type) for name in galaxies.column_names]
    schema = pa.schema(fields, metadata={f"table::len::{name}": length for name, length in longest.items()})
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
        for start in range(0, max(len(galaxies), 1), _ROWS):
            file.write_table(galaxies.slice(start, _ROWS).cast(schema))


def read(path: str | os.PathLike) -> pa.Table:
    """The whole table. Raises BadInput if it is none."""
    try:
        return pq.read_table(path, read_dictionary=list(TEXTS)).unify_dictionaries().combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def of_file(path: str | os.PathLike, role: str, name: str) -> Table:
    """The rows of one file, with `flux` (n, 3): `role` is coadd or images, `name` the file's. Only these are kept in
    memory."""
    try:
        found = pq.read_table(path, filters=[(role, "=", name)])
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    values = {column: numbers(found, column) for column in NUMBERS}
    return Table(
        values | {column: np.array(found[column].to_pylist(), "U") for column in TEXTS} | {"flux": fluxes(found)}
    )


def _unreadable(path: str | os.PathLike, error: Exception) -> BadInput:
    return BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}); delete it and run again")


def numbers(galaxies: pa.Table, name: str) -> np.ndarray:
    """A column (n,) of NUMBERS."""
    return galaxies[name].to_numpy()


def fluxes(galaxies: pa.Table) -> np.ndarray:
    """(n, 3) nanomaggy in g, r, z."""
    return np.stack([numbers(galaxies, f"flux_{band}") for band in "grz"], axis=1)


def texts(galaxies: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """A column of TEXTS: the number of each row (n,), and the names."""
    column = galaxies[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    return column.indices.to_numpy(), column.dictionary.to_pylist()
