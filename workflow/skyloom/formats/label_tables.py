"""A user's table of labels: columns by targetid, in CSV, ECSV, Parquet, FITS or VOTable; numbers, or text."""

import csv
import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from skyloom.core.errors import BadInput
from skyloom.formats import positions
from skyloom.formats.fits_files import open_fits

TARGETID = "targetid"
"""The column that says which galaxy a row is about, in any case."""


def form(path: str | os.PathLike) -> str:
    """The form of a table by the ending of its name (`positions.FORMS`); BadInput if it is none, or no file."""
    found = next((form for end, form in positions.FORMS.items() if str(path).lower().endswith(end)), None)
    if found is None:
        raise BadInput(f"{path}: labels are read from files that end in {', '.join(positions.FORMS)}")
    if not os.path.isfile(path):
        raise BadInput(f"{path}: no such file, expected a table with labels")
    return found


def column_names(path: str | os.PathLike) -> list[str]:
    """The columns of a table; of the usual forms only the head is read. BadInput if it is no table."""
    kind = form(path)
    if kind == "parquet":
        return list(_schema(path).names)
    if kind == "fits":
        with open_fits(path, whole=False) as hdus:
            return list(_first_table(path, hdus).columns.names)
    if kind == "ascii.csv":
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                return [name.strip() for name in next(csv.reader(file), [])]
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadInput(f"{path}: cannot be read as CSV ({error})") from error
    return list(positions.read_table(path).colnames)


def check(path: str | os.PathLike, names: Sequence[str]) -> str:
    """The name of the column of identifiers; BadInput when it, or one of `names`, is not in the table."""
    there = column_names(path)
    identifier = next((name for name in there if name.lower() == TARGETID), None)
    for name in (identifier or TARGETID, *names):
        if name not in there:
            what = "which says what galaxy a row is about" if name == TARGETID else "which this model learns from"
            raise BadInput(f"{path}: no column {name}, {what}; it has {', '.join(there)}")
    return identifier


def read(path: str | os.PathLike, names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Columns of a table, a value a galaxy.

    Returns
    -------
    targetid : (n,) int64 in rising order, each once
    columns : name -> (n,) float64, NaN where unknown, or object of str, "" where unknown

    Raises
    ------
    BadInput : no table, no such column, a column that holds no single values, or two values of one galaxy.
    """
    identifier = check(path, names)
    wanted = list(dict.fromkeys((identifier, *names)))
    kind = form(path)
    if kind == "parquet":
        found = _from_parquet(path, wanted)
    elif kind == "fits":
        with open_fits(path) as hdus:
            data = _first_table(path, hdus).data
            found = {name: np.array(data.field(name)) for name in wanted}
    else:
        table = positions.read_table(path)
        found = {name: table[name] for name in wanted}
    targetid = _identifiers(path, found[identifier])
    columns = {name: _values(path, name, found[name], len(targetid)) for name in names}
    return _one_each(path, targetid, columns)


def text(values: np.ndarray) -> np.ndarray:
    """Values as the names of classes, (n,) object of str, "" where unknown: whole numbers without a point."""
    if values.dtype == object:
        return values
    return np.array(["" if np.isnan(value) else f"{value:.15g}" for value in values.tolist()], object)


def _schema(path: str | os.PathLike) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _first_table(path: str | os.PathLike, hdus: fits.HDUList):
    found = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
    if found is None:
        raise BadInput(f"{path}: no table among its HDUs, expected one with labels")
    return found


def _from_parquet(path: str | os.PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        table = pq.read_table(path, columns=list(names))
        return {name: _arrow(table[name]) for name in names}
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _arrow(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_integer(column.type) and not column.null_count:
        return column.to_numpy()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64()).to_numpy()
    if pa.types.is_boolean(column.type):
        return np.array(["" if v is None else str(v) for v in column.to_pylist()], object)
    found = np.empty(len(column), object)
    found[:] = ["" if value is None else value for value in column.to_pylist()]
    return found


def _identifiers(path: str | os.PathLike, column) -> np.ndarray:
    values = np.ma.getdata(column)
    if values.dtype.kind not in "iu" or values.ndim != 1 or np.ma.is_masked(np.ma.asarray(column)):
        raise BadInput(f"{path}: column {TARGETID} is {values.dtype}, expected a whole number in every row")
    return np.asarray(values).astype("i8")


def _values(path: str | os.PathLike, name: str, column, rows: int) -> np.ndarray:
    """A column as float64, NaN where unknown, or as text, "" where unknown; of booleans "true" and "false"."""
    values, masked = np.asarray(np.ma.getdata(column)), np.ma.getmaskarray(np.ma.asarray(column))
    if values.shape != (rows,):
        raise BadInput(f"{path}: column {name} has shape {values.shape}, expected one value a row")
    if values.dtype.kind in "iuf":
        return np.where(masked, np.nan, values.astype("f8"))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    texts = values.tolist()
    other = next((value for value in texts if not isinstance(value, str | bool)), None)
    if other is not None:
        raise BadInput(f"{path}: column {name} holds {type(other).__name__}s, expected one number or text a row")
    words = [str(value).strip() for value in texts]
    words = [word.lower() if word in ("True", "False") else word for word in words]
    return np.where(masked, "", np.array(words, object)).astype(object)


def _one_each(
    path: str | os.PathLike, targetid: np.ndarray, columns: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A row a galaxy: what is known of it in any of its rows; BadInput where these differ."""
    known, group = np.unique(targetid, return_inverse=True)
    found = {}
    for name, values in columns.items():
        there = values != "" if values.dtype == object else ~np.isnan(values)
        first = np.full(len(known), -1)
        rows = np.flatnonzero(there)[::-1]
        first[group[rows]] = rows
        differ = np.flatnonzero(there & (values != values[first[group]]))
        if len(differ):
            row, other = differ[0], first[group[differ[0]]]
            raise BadInput(
                f"{path}: targetid {targetid[row]} has {name} {values[other]} and {values[row]}; expected one value"
            )
        nothing = "" if values.dtype == object else np.nan
        found[name] = np.where(first >= 0, values[first], nothing).astype(values.dtype) if len(values) else values
    return known, found
