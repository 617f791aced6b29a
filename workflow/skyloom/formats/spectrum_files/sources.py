"""Arrays by name out of FITS, HDF5, NumPy, Parquet and CSV files, read a few rows at a time; nothing is unpickled.

A *place* says where an array is (`skyloom.surveys.common.places.Source`): {column, hdu, row, header}. In HDF5 and
Parquet a column may lie deeper, as in ``spectra/flux`` or ``spectrum.flux``.
"""

import contextlib
import fnmatch
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from skyloom.core.errors import BadInput
from skyloom.formats.fits_files import MEND, open_fits
from skyloom.formats.hdf5_files import open_hdf5

Place = Mapping[str, object]
FITS = (".fits", ".fit", ".fits.gz", ".fits.fz", ".fits.bz2")


class Source:
    """An open file. `names` are those of its columns."""

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self.names: list[str] = []

    def find(self, place: Place) -> tuple[object, str | None]:
        """The array of a place, sliceable and perhaps still on the disk, and the unit the file states."""
        raise NotImplementedError

    def keyword(self, place: Place, name: str) -> object:
        """A keyword of a header; BadInput where there is none."""
        raise BadInput(f"{self.path}: no header keyword {name}")

    def matching(self, pattern: str) -> list[str]:
        """Names of columns that fit a pattern with `*`; BadInput if none does."""
        found = [name for name in self.names if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise self.missing(pattern)
        return found

    def missing(self, name: object) -> BadInput:
        """The error of a column that is not there."""
        shown = ", ".join(self.names[:20]) + (f" and {len(self.names) - 20} more" if len(self.names) > 20 else "")
        return BadInput(f"{self.path}: no column {name}, found {shown or 'none'}")


@contextlib.contextmanager
def open_source(path: str | os.PathLike) -> Iterator[Source]:
    """Open a file by the ending of its name; BadInput for another ending, or a file that cannot be read."""
    name = Path(path).name.lower()
    for ends, opener in _OPENERS.items():
        if name.endswith(ends):
            with opener(path) as source:
                yield source
            return
    raise BadInput(f"{path}: expected a file that ends in {', '.join(end for ends in _OPENERS for end in ends)}")


class _Fits(Source):
    def __init__(self, path, hdus: fits.HDUList):
        super().__init__(path)
        self.hdus = hdus
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        self.tables = {name: hdu for hdu in reversed(tables) for name in hdu.columns.names}
        self.names = list(dict.fromkeys(name for hdu in tables for name in hdu.columns.names))
        self.names += [hdu.name for hdu in hdus if hdu.is_image and hdu.size and hdu.name not in self.names]

    def _hdu(self, place: Place):
        wanted = place.get("hdu")
        if wanted is None:
            name = place.get("column")
            if name is not None and name not in self.tables:
                raise self.missing(name)
            return self.hdus[0] if name is None else self.tables[name]
        if wanted not in (range(len(self.hdus)) if isinstance(wanted, int) else self.hdus):
            raise BadInput(f"{self.path}: no HDU {wanted}, found {', '.join(hdu.name or '-' for hdu in self.hdus)}")
        return self.hdus[wanted]

    def find(self, place):
        name = place.get("column")
        if name is not None and "hdu" not in place and name not in self.tables and name in self.names:
            place, name = {**place, "hdu": name}, None  # an image by the name of its HDU
        hdu = self._hdu(place)
        if name is None:
            if not hdu.is_image or not hdu.size:
                raise BadInput(f"{self.path}: HDU {hdu.name} is not an image; columns: name the column of it")
            return hdu.data, hdu.header.get("BUNIT")
        if hdu.is_image or name not in hdu.columns.names:
            found = "an image" if hdu.is_image else ", ".join(hdu.columns.names[:20])
            raise BadInput(f"{self.path}: HDU {hdu.name} has no column {name}, found {found}")
        return hdu.data[name], hdu.columns[name].unit

    def keyword(self, place, name):
        hdus = [self._hdu(place)] if place.get("hdu") is not None or place.get("column") else []
        for hdu in (*hdus, *self.hdus):
            if name in hdu.header:
                return hdu.header[name]
        return super().keyword(place, name)


class _Hdf5(Source):
    def __init__(self, path, file: h5py.File):
        super().__init__(path)
        self.file = file
        file.visititems(lambda name, item: self.names.append(name) if isinstance(item, h5py.Dataset) else None)

    def find(self, place):
        name = place.get("column")
        if name is None or name not in self.names:
            raise self.missing(name)
        dataset = self.file[name]
        unit = next((dataset.attrs[key] for key in ("unit", "units") if key in dataset.attrs), None)
        if h5py.check_string_dtype(dataset.dtype):
            return dataset.asstr()[()], None
        if dataset.dtype.kind not in "fiubSU":
            raise BadInput(f"{self.path}: dataset {name} holds {dataset.dtype}; expected plain numbers or text")
        return dataset, unit if isinstance(unit, str) else None

    def keyword(self, place, name):
        return self.file.attrs[name] if name in self.file.attrs else super().keyword(place, name)


class _Arrays(Source):
    def __init__(self, path, arrays: Mapping[str, np.ndarray]):
        super().__init__(path)
        self.arrays, self.names = arrays, list(arrays)

    def find(self, place):
        name = place.get("column")
        if name not in self.arrays:
            raise self.missing(name)
        return self.arrays[name], None


class _Parquet(Source):
    def __init__(self, path, file: pq.ParquetFile):
        super().__init__(path)
        self.file = file
        self.names = [name for field in file.schema_arrow for name in _leaves(field)]

    def find(self, place):
        name = str(place.get("column"))
        if name not in self.names:
            raise self.missing(name)
        top, *deeper = [name] if name in self.file.schema_arrow.names else name.split(".")
        field = self.file.schema_arrow.field(top)
        unit = (field.metadata or {}).get(b"unit", b"").decode() or None
        return _ParquetColumn(self, top, deeper), unit

    def group(self, number: int, top: str, deeper: list[str]) -> pa.Array:
        """A column of one row group; of a struct only the part that is asked for."""
        found = self.file.read_row_group(number, columns=[".".join([top, *deeper])], use_threads=False)[top]
        found = found.combine_chunks()
        for name in deeper:
            found = found.field(name)
        return found


class _ParquetColumn:
    """A column of a Parquet file that is read row group by row group: (rows, ...) like an array."""

    def __init__(self, source: _Parquet, top: str, deeper: list[str]):
        self.source, self.top, self.deeper = source, top, deeper
        meta = source.file.metadata
        self._starts = np.cumsum([0, *(meta.row_group(i).num_rows for i in range(meta.num_row_groups))])
        self._held: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows,) of numbers, (rows, length of the first list) of lists."""
        return (len(self), *self._group(0).shape[1:]) if len(self) else (0,)

    def _group(self, number: int) -> np.ndarray:
        if self._held[0] != number:
            found = self.source.group(number, self.top, self.deeper)
            self._held = number, as_array(found, self.source.path, self.top)
        return self._held[1]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, rows: slice | tuple) -> np.ndarray:
        first, last, _ = (rows if isinstance(rows, slice) else slice(None)).indices(len(self))
        groups = range(*np.searchsorted(self._starts, [first, max(first, last - 1)], side="right") - [1, 0])
        parts = [self._group(n)[max(0, first - self._starts[n]) : last - self._starts[n]] for n in groups]
        return _below(parts)


def _below(parts: list[np.ndarray]) -> np.ndarray:
    """Arrays one below the other; rows of lists padded with NaN to the longest."""
    if len({part.shape[1:] for part in parts}) > 1:
        longest = max(part.shape[1] for part in parts)
        parts = [np.pad(p.astype(float), ((0, 0), (0, longest - p.shape[1])), constant_values=np.nan) for p in parts]
    return np.concatenate(parts)


def as_array(column: pa.Array, path, name) -> np.ndarray:
    """Numbers or texts (n,), or lists (n, length of the longest) padded with NaN."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = np.asarray(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        values = as_array(column.flatten(), path, name)
        if values.ndim > 1 and (lengths == 1).all():  # lists of one list: (1, 7781)
            return values
        if values.ndim > 1:  # lists of lists of one number: (7781, 1)
            values = values[:, 0]
        if values.dtype.kind not in "fiub":
            raise BadInput(f"{path}: column {name} holds lists of {column.type.value_type}; expected numbers")
        if len(lengths) and (lengths == lengths[0]).all():
            return values.reshape(len(lengths), -1)
        return padded(np.split(values, np.cumsum(lengths)[:-1]))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return np.array(column.to_pylist(), dtype=object)
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return column.to_numpy(zero_copy_only=False)
    raise BadInput(f"{path}: column {name} holds {kind}; expected numbers, text or lists of numbers")


def padded(rows: list[np.ndarray]) -> np.ndarray:
    """Arrays of several lengths as rows of one, (n, longest) f8, NaN behind their ends."""
    found = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found


def _leaves(field: pa.Field, before: str = "") -> Iterator[str]:
    name = before + field.name
    if pa.types.is_struct(field.type):
        for part in field.type:
            yield from _leaves(part, f"{name}.")
    else:
        yield name


@contextlib.contextmanager
def _open_fits(path) -> Iterator[_Fits]:
    with open_fits(path) as hdus:
        yield _Fits(path, hdus)


@contextlib.contextmanager
def _open_hdf5(path) -> Iterator[_Hdf5]:
    with open_hdf5(path) as file:
        yield _Hdf5(path, file)


@contextlib.contextmanager
def _open_npz(path) -> Iterator[_Arrays]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise BadInput(f"{path}: expected an archive of named arrays (npz)")
            yield _Arrays(path, _Lazy(path, arrays))
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: not a readable npz file ({' '.join(str(error).split())[:120]}); {MEND}") from error


class _Lazy(dict):
    """Arrays of an npz file, each read when asked for; one of objects is BadInput, since it would be unpickled."""

    def __init__(self, path, arrays):
        super().__init__(dict.fromkeys(arrays.files))
        self._path, self._arrays = path, arrays

    def __getitem__(self, name):
        try:
            return self._arrays[name]
        except ValueError as error:
            raise BadInput(f"{self._path}: array {name} holds objects; expected plain numbers or text") from error


@contextlib.contextmanager
def _open_csv(path) -> Iterator[_Arrays]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as CSV ({' '.join(str(error).split())[:120]}); {MEND}") from error
    columns = {str(name).strip(): table[name].to_numpy(dtype=object) for name in table}
    yield _Arrays(path, {name: _numbers_if_all(values) for name, values in columns.items()})


def _numbers_if_all(values: np.ndarray) -> np.ndarray:
    """Texts (n,) as they are if all are whole numbers (identifiers keep all digits) or one is none, else as numbers."""
    with contextlib.suppress(ValueError):
        numbers = np.array([float(value or "nan") for value in values])
        if any("." in value for value in values):
            return numbers
    return values


@contextlib.contextmanager
def _open_parquet(path) -> Iterator[_Parquet]:
    try:
        with pq.ParquetFile(path) as file:
            yield _Parquet(path, file)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file, expected a Parquet file") from error
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}); {MEND}") from error


_OPENERS = {
    FITS: _open_fits,
    (".h5", ".hdf5"): _open_hdf5,
    (".npz",): _open_npz,
    (".parquet", ".pq"): _open_parquet,
    (".csv",): _open_csv,
}
