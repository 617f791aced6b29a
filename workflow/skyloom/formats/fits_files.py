"""FITS with errors a user can act on: HDUs and columns by name, types checked, truncation noticed before use."""

import contextlib
import errno
import functools
import io
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.table import Column, Table
from astropy.utils.exceptions import AstropyUserWarning

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic

Hdu = fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU
KINDS = {"integers": "iu", "numbers": "fiu", "text": "U"}
# What astropy raises, besides OSError, when a header or a compressed stream is damaged.
_DAMAGE = (OSError, VerifyError, ValueError, TypeError, LookupError, AttributeError, EOFError, zlib.error)
MEND = "delete it and run again, or copy it again from where it came from"
"""What to do about a damaged file: the workflow makes, fetches or asks for what is not there."""
BLOCK = 2880
"""Bytes: a FITS file is made of whole blocks."""
_TABLE_BYTES = 2**26  # of a block of a table
_TFORM = re.compile(r"(\d*)([A-Z])")
_BYTES = {
    **{"L": ("", 1), "X": ("", 1), "B": ("u1", 1), "I": (">i2", 2), "J": (">i4", 4), "K": (">i8", 8)},
    **{"A": ("S", 1), "E": (">f4", 4), "D": (">f8", 8), "C": ("", 8), "M": ("", 16), "P": ("", 8), "Q": ("", 16)},
}
"""Letter of a column's format -> numpy type of one value (none: not a single value), bytes."""
_COMPRESSED = (".gz", ".bz2", ".fz")
_FORMATS = {"i2": "I", "i4": "J", "i8": "K", "u1": "B", "f4": "E", "f8": "D", "b1": "L"}
_STRUCTURE = ("SIMPLE", "BITPIX", "NAXIS", "EXTEND", "COMMENT", "HISTORY", "", "CHECKSUM", "DATASUM")


@contextlib.contextmanager
def open_fits(path: str | os.PathLike, whole: bool = True) -> Iterator[fits.HDUList]:
    """Open a FITS file to read in a ``with`` block; BadInput if it is not FITS, damaged, or shorter than it says.

    Only reading belongs in the block: what astropy raises there about a damaged file becomes BadInput. Without `whole`
    HDUs are looked at when they are asked for, which is much faster where a file has many and two are wanted; those
    behind them may be missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # truncation and damage are errors here, the rest is noise
        try:
            with fits.open(path, mode="readonly", lazy_load_hdus=not whole) as hdus:
                if whole:
                    _check_length(path, hdus)
                yield hdus
        except FileNotFoundError as error:
            raise BadInput(f"{path}: no such file, expected a FITS file") from error
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BadInput(f"{path}: not a readable FITS file, truncated or damaged ({reason}); {MEND}") from error


def _check_length(path: str | os.PathLike, hdus: fits.HDUList) -> None:
    if str(path).endswith(_COMPRESSED):
        return  # the decompressor notices
    length = os.path.getsize(path)
    for index, hdu in enumerate(hdus):
        needed = hdus.fileinfo(index)["datLoc"] + hdu.size
        if needed > length:
            raise BadInput(f"{path}: truncated: HDU {hdu.name} needs {needed} bytes, the file has {length}; {MEND}")


def hdu_named(path: str | os.PathLike, hdus: fits.HDUList, name: str) -> Hdu:
    """The HDU called `name`; BadInput lists those there are."""
    if name not in hdus:
        raise BadInput(f"{path}: no HDU {name}, found {', '.join(hdu.name for hdu in hdus)}")
    return hdus[name]


def read_table(
    path: str | os.PathLike,
    hdus: fits.HDUList,
    name: str,
    required: Mapping[str, str],
    rows: np.ndarray | None = None,
    columns: Sequence[str] | None = None,
) -> Table:
    """Rows and columns of a binary table HDU as an in-memory Table: native byte order, text as str, no masked columns.

    Parameters
    ----------
    name
        EXTNAME of the HDU.
    required
        Column name -> kind ("integers", "numbers" or "text") that must be there; BadInput otherwise.
    rows
        (n,) row indices, all rows when None; in range (see `check_rows`).
    columns
        Only these columns (they become required too), all when None.
    """
    hdu, wanted = _table_named(path, hdus, name, required, columns)
    return _as_table(path, hdu, wanted, required, rows)


def table_blocks(
    path: str | os.PathLike,
    name: str,
    required: Mapping[str, str],
    columns: Sequence[str] | None = None,
    size: int = _TABLE_BYTES,
) -> Iterator[Table]:
    """The rows of a binary table HDU, in order, as Tables of which each takes at most about `size` bytes of the file.

    A table lies in a file row by row, so that one column of it is as long to read as all; here no more than a block is
    in memory. Parameters and errors are those of `read_table`.
    """
    with open_fits(path) as hdus:
        hdu, wanted = _table_named(path, hdus, name, required, columns)
        total, width = int(hdu.header["NAXIS2"]), int(hdu.header["NAXIS1"])
        if str(path).endswith(_COMPRESSED):
            yield _as_table(path, hdu, wanted, required, None)
            return
        header, begin = hdu.header.copy(), hdus.fileinfo(hdus.index_of(hdu.name))["datLoc"]
    rows = max(1, size // max(width, 1))
    header["PCOUNT"] = 0
    with open(path, "rb", buffering=0) as file:
        file.seek(begin)
        for first in range(0, max(total, 1), rows):
            header["NAXIS2"] = count = min(rows, total - first)
            data = file.read(count * width)
            padded = data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
            block = fits.BinTableHDU.fromstring(header.tostring().encode("ascii") + padded, uint=True)
            yield _as_table(path, block, wanted, required, None)


def _table_named(
    path: str | os.PathLike,
    hdus: fits.HDUList,
    name: str,
    required: Mapping[str, str],
    columns: Sequence[str] | None,
) -> tuple[Hdu, list[str]]:
    """The binary table HDU called `name`, and which of its columns are wanted; BadInput if they are not there."""
    hdu = hdu_named(path, hdus, name)
    if not isinstance(hdu, fits.BinTableHDU) or isinstance(hdu, fits.CompImageHDU):
        raise BadInput(f"{path}: HDU {name} is not a binary table")
    names = hdu.columns.names
    wanted = list(names if columns is None else columns)
    for column in [*required, *wanted]:
        if column not in names:
            raise BadInput(f"{path}: HDU {name} has no column {column}")
    return hdu, wanted


def _as_table(
    path: str | os.PathLike, hdu: Hdu, columns: Sequence[str], required: Mapping[str, str], rows: np.ndarray | None
) -> Table:
    """Columns of a table HDU in memory, their kinds checked."""
    table = Table(meta={"EXTNAME": hdu.name})
    for column in columns:
        values = _column_values(hdu.data, column, rows)
        _check_kind(path, hdu.name, column, values, required.get(column))
        table[column] = Column(values, unit=_parsed_unit(hdu.columns[column].unit))
    return table


def _column_values(data: fits.FITS_rec, column: str, rows: np.ndarray | None) -> np.ndarray:
    values = data.field(column) if rows is None else data.field(column)[rows]
    if values.dtype.kind in "SU":
        return np.char.rstrip(np.asarray(values).astype(str))
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def _check_kind(path: str | os.PathLike, name: str, column: str, values: np.ndarray, kind: str | None) -> None:
    if kind is not None and values.dtype.kind not in KINDS[kind]:
        raise BadInput(f"{path}: HDU {name} column {column} is {values.dtype.name}, expected {kind}")


@functools.cache
def _parsed_unit(text: str | None) -> units.UnitBase | None:
    return units.Unit(text, parse_strict="silent") if text else None


def read_image_rows(hdu: Hdu, rows: np.ndarray, dtype: str) -> np.ndarray:
    """Rows of an image HDU as `dtype`, in the order of `rows`; only these are read, each stretch of them at once."""
    wanted, place = np.unique(rows, return_inverse=True)
    found = np.empty((len(wanted), *hdu.shape[1:]), dtype)
    for first, last in stretches(wanted):
        found[first:last] = hdu.section[int(wanted[first]) : int(wanted[last - 1]) + 1]
    return found if np.array_equal(rows, wanted) else found[place]


def one_row(path: str | os.PathLike, hdu: Hdu, names: Sequence[str]) -> dict[str, object]:
    """Those single values of the first row of a binary table that are there, by name: numbers and texts.

    Straight from the bytes: astropy describes every column of a table before it gives one, and SDSS has 126 a row.
    """
    header, offset, wanted = hdu.header, 0, {}
    for number in range(1, header.get("TFIELDS", 0) + 1):
        count, code = _TFORM.match(str(header[f"TFORM{number}"]).strip()).groups()
        kind, size = _BYTES[code]
        width = -(-int(count or 1) // 8) if code == "X" else int(count or 1) * size
        name = str(header.get(f"TTYPE{number}", "")).strip()
        if name in names and kind and (code == "A" or count in ("", "1")):
            wanted[name] = (offset, f"S{width}" if code == "A" else kind)
        offset += width
    if not wanted or not header.get("NAXIS2", 0):
        return {}
    if str(path).endswith(_COMPRESSED):
        return {name: hdu.data[name][0] for name in wanted}
    with open(path, "rb") as file:
        file.seek(hdu.fileinfo()["datLoc"])
        row = file.read(offset)
    if len(row) < offset:
        raise BadInput(f"{path}: truncated: HDU {hdu.name} ends after {len(row)} bytes; {MEND}")
    found = {name: np.frombuffer(row, kind, 1, place)[0] for name, (place, kind) in wanted.items()}
    return {name: value.decode().rstrip() if isinstance(value, bytes) else value for name, value in found.items()}


def stretches(rows: np.ndarray) -> list[tuple[int, int]]:
    """Where consecutive values of increasing `rows` begin and end, as (first, last + 1) positions: one read each."""
    if not rows.size:
        return []
    edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1), rows.size]
    return [(int(first), int(last)) for first, last in zip(edges[:-1], edges[1:], strict=True)]


def check_rows(path: str | os.PathLike, rows: Sequence[int] | None, total: int) -> np.ndarray | None:
    """`rows` as int64 indices; BadInput unless all are in 0 .. total-1."""
    if rows is None:
        return None
    rows = np.asarray(rows, dtype=np.int64).reshape(-1)
    if rows.size and (rows.min() < 0 or rows.max() >= total):
        raise BadInput(f"{path}: asked for rows {rows.min()}..{rows.max()}, the file has {total} rows")
    return rows


def header_keywords(header: fits.Header) -> dict[str, object]:
    """The keywords of a header that say something about the data, without FITS structure, comments and checksums."""
    return {key: header[key] for key in header if key not in _STRUCTURE}


def primary_hdu(keywords: Mapping[str, object]) -> fits.PrimaryHDU:
    """An empty primary HDU with `keywords`, in their order."""
    hdu = fits.PrimaryHDU()
    for key, value in keywords.items():
        hdu.header[key] = value
    return hdu


def table_hdu(table: Table, name: str, unit_of: Mapping[str, str]) -> fits.BinTableHDU:
    """A Table as a binary table HDU; the unit text of a column comes from `unit_of`, else from the column."""
    columns = [_fits_column(table[column], unit_of.get(column)) for column in table.colnames]
    return fits.BinTableHDU.from_columns(columns, nrows=len(table), name=name)


def _fits_column(column: Column, unit: str | None) -> fits.Column:
    values = np.ma.getdata(np.asarray(column))
    if values.dtype.kind in "UO":
        values = np.char.encode(values.astype(str), "ascii")
    if unit is None and column.unit is not None:
        unit = column.unit.to_string()
    if values.dtype.kind == "S":
        code = f"{max(values.dtype.itemsize, 1)}A"
    else:
        count = int(np.prod(values.shape[1:], dtype=int))
        code = ("" if count == 1 else str(count)) + _FORMATS[values.dtype.str[1:]]
    return fits.Column(name=column.name, format=code, array=values, unit=unit)


def image_hdu(values: np.ndarray, name: str, unit: str | None = None) -> fits.ImageHDU:
    """An array as an image HDU with its unit in BUNIT."""
    hdu = fits.ImageHDU(data=values, name=name)
    if unit:
        hdu.header["BUNIT"] = unit
    return hdu


def encoded(hdu: Hdu) -> bytes:
    """An extension HDU as it stands in a file: header, data, padding."""
    buffer = io.BytesIO()
    primary = fits.PrimaryHDU()
    fits.HDUList([primary, hdu]).writeto(buffer, output_verify="silentfix", checksum=False)
    return buffer.getvalue()[len(primary.header.tostring()) :]


def reserve_image(file: BinaryIO, shape: tuple[int, ...], dtype: str, name: str, unit: str | None = None) -> int:
    """Begin an image HDU at the end of an open file and leave room for its data; where these begin, in bytes.

    The data are to be written there in blocks, big-endian; what is not written is 0.
    """
    header = image_hdu(np.broadcast_to(np.zeros((), dtype), shape), name, unit).header.tostring().encode("ascii")
    begin = file.seek(0, io.SEEK_END) + len(header)
    file.write(header)
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    file.truncate(begin + -(-size // BLOCK) * BLOCK)
    return begin


def write_fits(path: str | os.PathLike, hdus: Sequence[Hdu]) -> None:
    """Write HDUs atomically, without checksum cards: those carry the date, and equal data must give equal bytes."""
    with atomic(path) as temporary:
        try:
            fits.HDUList(list(hdus)).writeto(temporary, overwrite=True, output_verify="silentfix", checksum=False)
        except OSError as error:
            if "Not enough space on disk" not in str(error):
                raise
            # astropy hides the error number, by which a full disk is known
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
