"""A user's own simulated catalogue, HDF5 or Parquet, as a part file of this project.

The configuration of the survey names the files and says which column is what:

    files: [/data/cosmodc2/cutout.parquet]
    columns:
      targetid: galaxy_id                       # absent: file number * 10^9 + row
      ra: ra
      dec: dec
      redshift: redshift_true
      log_mhalo: {column: halo_mass, log10: true}             # a mass in Msun
      log_mstar: {column: stellar_mass, log10: true}
      lsst: [mag_u_lsst, mag_g_lsst, mag_r_lsst, mag_i_lsst, mag_z_lsst, mag_y_lsst]
      sfh: {column: sfr_history, factor: 1.0e-9, log10: true, floor: -4}  # vectors, Msun/Gyr -> Msun/yr

Names on the left are those of `part_files`, whose units the values must have after `factor` (a product; YAML wants
1.0e+9, and takes 1e9 for text), `log10` and `floor` (the least value there is: without it the logarithm of zero is
missing). A vector is a list of columns or one column (2-D dataset, list column) of any length: the bands of `lsst` and
the rest are your own, and nothing checks that they are those of the simulated survey; null in a list stands for a band
that the file does not have. In HDF5 a column is a dataset,
also in groups (`galaxies/ra`). Right ascensions may be -360 to 360. What is missing becomes NaN, as does a value that
cannot be (`ranges`: a magnitude of 99, a mass that was a logarithm before `log10`), which the log counts; the
tokenizers put such galaxies aside.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import ranges
from skyloom.formats.fits_files import MEND
from skyloom.formats.hdf5_files import dataset_named, open_hdf5
from skyloom.formats.part_columns import UNITS, VECTORS
from skyloom.formats.part_files import part_writer

log = logging.getLogger(__name__)

BLOCK = 4096  # galaxies in memory at a time
REQUIRED = ("ra", "dec")


def convert(
    catalog_path: str | os.PathLike, number: int, columns: Mapping[str, object], out_path: str | os.PathLike
) -> None:
    """Write a user's file as part `number` of a catalogue; a few thousand galaxies are in memory at once.

    Raises
    ------
    BadConfig : `columns` names something unknown, or lacks what every catalogue needs.
    BadInput : the file cannot be read, lacks a column, or has a position that is not on the sky or an identifier that
        is not a whole number, or a column in which no value can be.
    """
    wanted = {name: _Column(name, entry) for name, entry in columns.items()}
    for name in REQUIRED:
        if name not in wanted:
            raise BadConfig(f"columns: no entry for {name}; every simulated catalogue needs {', '.join(REQUIRED)}")
    names = list(dict.fromkeys(source for column in wanted.values() for source in column.sources))
    first, lost, left = 0, dict.fromkeys(wanted, 0), dict.fromkeys(wanted, 0)
    with part_writer(out_path, {}, {"part": number, "source": Path(catalog_path).name}) as writer:
        for table in _tables(catalog_path, names):
            block = {name: column.values(table, catalog_path) for name, column in wanted.items()}
            on_sky = (np.abs(block["ra"]) <= 360) & (np.abs(block["dec"]) <= 90)
            if not on_sky.all():
                row = first + int(np.argmin(on_sky))
                raise BadInput(f"{catalog_path}: row {row} has no position on the sky; expected ra, dec in degrees")
            block["ra"] = block["ra"] % 360
            for name in wanted:
                block[name], outside = ranges.within(name, block[name])
                lost[name] += outside
                left[name] += int(np.isfinite(block[name]).sum())
            block.setdefault("targetid", number * 10**9 + first + np.arange(len(on_sky)))
            writer.append(**block)
            first += len(on_sky)
        _report_outside(catalog_path, wanted, lost, left)
    if not first:
        raise BadInput(f"{catalog_path}: no rows")
    log.info("%s: %d galaxies with %s", out_path, first, ", ".join(wanted))


def _report_outside(path, wanted: Mapping[str, "_Column"], lost: Mapping[str, int], left: Mapping[str, int]) -> None:
    """Say how many values of each quantity were outside its range; BadInput if none was inside."""
    for name, count in lost.items():
        if count and not left[name]:
            source = ", ".join(wanted[name].sources)
            raise BadInput(f"{path}: column {source}: no value is in {ranges.words(name)}; check factor and log10")
        if count:
            total = count + left[name]
            log.warning("%s: %d of %d values outside %s are missing", path, count, total, ranges.words(name))


class _Column:
    """One quantity of part files: the user's columns it is made of, and how."""

    def __init__(self, name: str, entry: object):
        known = [key for key in UNITS if not key.endswith("_error")]
        if name not in known:
            raise BadConfig(f"columns: '{name}' is not known; allowed are {', '.join(known)}")
        options = dict(entry) if isinstance(entry, Mapping) else {"column": entry}
        source = options.pop("column", None)
        self.name, self.vector = name, name in VECTORS
        self.places = [source] if isinstance(source, str) else source
        self.sources = [name for name in self.places or [] if name is not None]
        self.factor, self.log10, self.floor = (options.pop(key, None) for key in ("factor", "log10", "floor"))
        if not self.sources or options or (len(self.places) > 1 and not self.vector):
            columns = "a column, a list of columns" if self.vector else "a column"
            raise BadConfig(
                f"columns.{name}: {entry!r} is not allowed; expected {columns}, or {{column, factor, log10, floor}}"
            )

    def values(self, table: Mapping[str, np.ndarray], path: str | os.PathLike) -> np.ndarray:
        """(n,) or, for a vector, (n, D) values in the units of part files."""
        parts = [table[source] for source in self.sources]
        rows = len(parts[0])
        one_of_vectors = self.vector and len(self.places) == 1
        for source, part in zip(self.sources, parts, strict=True):
            if part.ndim != 1 + one_of_vectors or part.dtype.kind not in "fiu":
                shape = "a vector" if one_of_vectors else "one number"
                raise BadInput(f"{path}: column {source} ({part.dtype}) for {self.name}: expected {shape} a galaxy")
        if self.vector and not one_of_vectors:
            there = dict(zip(self.sources, parts, strict=True))
            values = np.stack([there.get(name, np.full(rows, np.nan)) for name in self.places], axis=1)
        else:
            values = parts[0]
        return _identifiers(values, path, self.sources[0]) if self.name == "targetid" else self._converted(values)

    def _converted(self, values):
        values = values * (1.0 if self.factor is None else self.factor)
        if self.log10:
            zero = np.where(np.isfinite(values) & (values <= 0), -np.inf, np.nan)
            values = np.log10(values, where=values > 0, out=zero)
        if self.floor is not None:
            values = np.maximum(values, self.floor)  # NaN stays
        return np.where(np.isfinite(values), values, np.nan)


def _identifiers(values: np.ndarray, path, name) -> np.ndarray:
    """Identifiers (n,) i8; floats only where their type counts without gaps."""
    if values.dtype.kind == "f":
        bits = np.finfo(values.dtype).nmant + 1
        wrong = ~(np.abs(values) <= 2**bits) | (values != np.trunc(values))
    else:
        bits = 63
        wrong = values > np.iinfo("i8").max
    if wrong.any():
        example = values[np.argmax(wrong)]
        raise BadInput(f"{path}: column {name} for targetid holds {example}; expected whole numbers below 2^{bits}")
    return values.astype("i8")


def _tables(path: str | os.PathLike, names: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """Blocks of a file as name -> array; the reader is chosen by the name's ending."""
    reader = _READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise BadInput(f"{path}: expected a file that ends in {', '.join(_READERS)}")
    return reader(path, names)


def _hdf5_tables(path, names):
    with open_hdf5(path) as file:
        data = {name: dataset_named(path, file, name) for name in names}
        for name, values in data.items():
            if not values.ndim:
                raise BadInput(f"{path}: column {name} is a single number; expected one a galaxy")
            if len(values) != len(data[names[0]]):
                raise BadInput(f"{path}: column {name} has {len(values)} rows, {names[0]} has {len(data[names[0]])}")
        for first in range(0, len(data[names[0]]), BLOCK):
            yield {name: values[first : first + BLOCK] for name, values in data.items()}


def _parquet_tables(path, names):
    try:
        file = pq.ParquetFile(path)
        for name in names:
            if name not in file.schema_arrow.names:
                raise BadInput(f"{path}: no column {name}, found {', '.join(file.schema_arrow.names)}")
        for batch in file.iter_batches(BLOCK, columns=names):
            yield {name: _array(batch[name], path, name) for name in names}
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}); {MEND}") from error


def _array(column: pa.Array, path, name) -> np.ndarray:
    """A column of numbers (n,), or of lists of one length (n, D)."""
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or _is_fixed(column.type)):
        return column.to_numpy(zero_copy_only=False)
    values = column.flatten().to_numpy(zero_copy_only=False)
    if column.null_count or len(values) % len(column) or (not _is_fixed(column.type) and _ragged(column)):
        raise BadInput(f"{path}: column {name} must hold lists of one length")
    return values.reshape(len(column), -1)


def _is_fixed(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def _ragged(column: pa.Array) -> bool:
    return len(np.unique(np.diff(column.offsets.to_numpy()))) > 1


_READERS: dict[str, Callable] = {
    **dict.fromkeys((".h5", ".hdf5"), _hdf5_tables),
    **dict.fromkeys((".parquet", ".pq"), _parquet_tables),
}
