"""The tidy table every analysis writes, and readers that say what is wrong with a table."""

import os
from collections.abc import Iterable

import pandas
import pyarrow
import pyarrow.parquet

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic

COLUMNS = ["survey", "model", "modality", "method", "property", "split", "metric", "value", "ci_low", "ci_high", "n"]


def row(survey, model, modality, method, property, split, metric, value, ci=(float("nan"),) * 2, n=0) -> dict:
    """One line of the tidy table; `ci` is (low, high), NaN where a value has no interval."""
    values = [survey, model, modality, method, property, split, metric, float(value), *map(float, ci), int(n)]
    return dict(zip(COLUMNS, values, strict=True))


def write_csv(
    path: str | os.PathLike, table: pandas.DataFrame | Iterable[dict], columns: list[str] | None = None
) -> None:
    """Write a table with six significant digits, so that the same numbers give the same bytes."""
    frame = pandas.DataFrame(table, columns=columns or COLUMNS) if not isinstance(table, pandas.DataFrame) else table
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def write_parquet(path: str | os.PathLike, frame: pandas.DataFrame) -> None:
    """Write a data frame without its index and without pandas metadata."""
    table = pyarrow.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with atomic(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)


def read_parquet(path: str | os.PathLike, columns: list[str] | None = None) -> pandas.DataFrame:
    """Read columns of a Parquet file; BadInput names the file and the first column that is missing."""
    schema = _schema(path)
    for column in columns or []:
        if column not in schema.names:
            raise BadInput(f"{path}: no column {column!r}; it has {', '.join(schema.names)}")
    return pyarrow.parquet.read_table(path, columns=columns).to_pandas()


def read_galaxies(galaxies_path, splits_path=None, columns: Iterable[str] = ()) -> pandas.DataFrame:
    """Galaxies indexed by targetid with `columns`, and their `split` if a splits file is given."""
    galaxies = read_parquet(galaxies_path, ["targetid", *columns]).set_index("targetid")
    if not galaxies.index.is_unique:
        duplicate = galaxies.index[galaxies.index.duplicated()][0]
        raise BadInput(f"{galaxies_path}: targetid {duplicate} occurs more than once; one row a galaxy was expected")
    if splits_path is None:
        return galaxies
    splits = read_parquet(splits_path, ["targetid", "split"]).set_index("targetid")
    return galaxies.join(splits, how="inner")


def column_names(path: str | os.PathLike) -> list[str]:
    """The columns of a Parquet file."""
    return _schema(path).names


def read_known(path: str | os.PathLike, columns: Iterable[str]) -> pandas.DataFrame:
    """As `read_galaxies` without splits, with a column of NaN for each of `columns` that the table lacks."""
    columns = list(dict.fromkeys(columns))
    there = set(column_names(path))
    return read_galaxies(path, columns=[name for name in columns if name in there]).reindex(columns=columns)


def _schema(path):
    try:
        return pyarrow.parquet.read_schema(path)
    except pyarrow.ArrowInvalid as error:
        raise BadInput(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
