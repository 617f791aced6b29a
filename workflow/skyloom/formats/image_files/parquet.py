"""Images in Parquet: AstroCLIP's sample as a hub has it, and the Multimodal Universe, also as partitions of HATS.

An image is lists of lists of numbers in a column `image`; that of the Multimodal Universe is a struct of lists (band,
flux or array, scale, ...) with an entry a band, or a list of such structs. Rows are decoded a few at a time, going on
from where the last ones were: a partition of HATS may be one row group of gigabytes.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.formats import published_splits
from skyloom.formats.fits_files import MEND, check_rows
from skyloom.formats.image_files.hdf5 import in_nanomaggy, multimodal_camera, multimodal_known, multimodal_names
from skyloom.formats.image_files.images import Images, band_places, catalog, checked_shape
from skyloom.formats.spectrum_files.spectra import texts

COLUMN = "image"
BATCH = 64  # rows decoded at once: 30 MB of five bands of 160 pixels
_PIXELS = ("flux", "array")
"""What the pixels are called in the versions of the Multimodal Universe."""


@contextlib.contextmanager
def open_parquet(path: str | os.PathLike) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file to read in a ``with`` block; BadInput if it is missing, not Parquet or damaged."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file, expected a Parquet file") from error
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}); {MEND}") from error


class AstroClip(Images):
    """AstroCLIP's sample with columns image (S, S, 3), spectrum, redshift, targetid; transposed as in its HDF5 file.

    Columns as in datasets/legacy_survey.py of github.com/PolymathicAI/AstroCLIP, by which the mirrors were made.
    """

    form = "AstroCLIP"

    def size(self):
        return self.read([0]).shape[-1]

    def catalog(self):
        with open_parquet(self.path) as file:
            table = _columns(self.path, file, ("targetid", "redshift"))
        split = published_splits.of_file(self.path, len(table["targetid"]))
        return catalog(table["targetid"].astype(np.int64), split, {"redshift": table["redshift"]})

    def read(self, rows):
        images = self._rows.read(rows)
        shape = images.shape
        checked_shape(self.path, f"column {COLUMN}", shape, "(N, S, S, 3)", shape[3] == 3 and shape[1] == shape[2])
        return images.transpose(0, 3, 2, 1)

    @functools.cached_property
    def _rows(self) -> "Rows":
        return Rows(self.path, [COLUMN], lambda part: part)


class Multimodal(Images):
    """The Multimodal Universe (see `skyloom.formats.image_files.hdf5.Multimodal`)."""

    form = "Multimodal Universe"

    def size(self):
        return self.read([0]).shape[-1]

    def catalog(self):
        with open_parquet(self.path) as file:
            there = {name.lower(): name for name in reversed(file.schema_arrow.names)}
            identifier = there.get("object_id")
            wanted = multimodal_names(there)
            names = [there[name] for name in wanted.values()]
            table = _columns(self.path, file, [*names, *([identifier] if identifier else [])])
            total = file.metadata.num_rows
        known = {quantity: table[there[name]] for quantity, name in wanted.items()}
        made = texts(table[identifier]) if identifier else np.full(total, "", object)
        return catalog(made, published_splits.of_file(self.path, total), multimodal_known(known))

    def read(self, rows):
        bands, _ = self.described
        places = band_places(self.path, bands, self.camera.bands)
        images = self._rows.read(rows)
        shape = images.shape
        fits = shape[1] == len(bands) and shape[2] == shape[3]
        checked_shape(self.path, f"column {COLUMN}", shape, f"(N, {len(bands)}, S, S)", fits)
        return in_nanomaggy(np.ascontiguousarray(images[:, places]), self.modality)

    @functools.cached_property
    def _rows(self) -> "Rows":
        with open_parquet(self.path) as file:
            name = next(name for name in _PIXELS if name in _fields(file.schema_arrow.field(COLUMN).type))
            return Rows(self.path, _leaves(file, name), lambda column: _part(column, name))

    @functools.cached_property
    def described(self) -> tuple[list[str], float]:
        """Bands and pixels."""
        return described(self.path)


def is_multimodal(kind: pa.DataType) -> bool:
    """Whether a column of this type holds images with their bands."""
    fields = _fields(kind)
    return "band" in fields and bool(set(_PIXELS) & set(fields))


def is_nested(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of lists of lists of numbers."""
    kind = _storage_type(kind)
    for _ in range(3):
        if not _is_list(kind):
            return False
        kind = _storage_type(kind.value_type)
    return pa.types.is_floating(kind)


def described(path: str | os.PathLike) -> tuple[list[str], float]:
    """The bands of every image of the Multimodal Universe, and the side of a pixel in arcsec, NaN if it is not said."""
    with open_parquet(path) as file:
        if not file.metadata.num_rows:
            raise BadInput(f"{path}: no images")
        fields = _fields(file.schema_arrow.field(COLUMN).type)
        names, scales = set(), []
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, columns=_leaves(file, "band", "scale"), use_threads=False)[COLUMN]
            part = _storage(part)
            names |= {tuple(map(str, bands)) for bands in _part(part, "band").to_pylist() if bands is not None}
            if "scale" in fields and not scales:
                scales = [scale for row in _part(part, "scale").slice(0, 1).to_pylist() for scale in row or ()]
    if len(names) != 1:
        raise BadInput(f"{path}: the bands of column {COLUMN} differ from row to row; expected one order for all")
    return list(names.pop()), float(scales[0]) if scales else float("nan")


def camera(path: str | os.PathLike) -> str | None:
    """The modality of images of the Multimodal Universe; None if it is none of ours."""
    return multimodal_camera(*described(path))


def cube(column: pa.Array, path, depth: int) -> np.ndarray:
    """Lists of lists ... of numbers, `depth` deep, as (n, ...) f4; NaN for a row that is null.

    Raises
    ------
    BadInput : lists of several lengths, or of something else.
    """
    rows, present = len(column), np.asarray(column.is_valid())
    column, shape = column.drop_null(), []
    for _ in range(depth):
        column = _storage(column)
        if not _is_list(column.type):
            raise BadInput(f"{path}: column {COLUMN} holds {column.type}, expected lists {depth} deep of numbers")
        lengths = np.unique(np.asarray(column.value_lengths().fill_null(-1)))
        if len(lengths) > 1 or (lengths < 0).any():
            raise BadInput(f"{path}: images of column {COLUMN} differ in shape; expected one for all")
        shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
    if not pa.types.is_floating(column.type):
        raise BadInput(f"{path}: column {COLUMN} holds {column.type}, expected floating-point numbers")
    found = np.full((rows, *shape), np.nan, "f4")
    found[present] = np.asarray(column.to_numpy(zero_copy_only=False), "f4").reshape(-1, *shape)
    return found


class Rows:
    """Images of a file by their rows. Asked for in rising order, each is decoded once, and few are in memory."""

    def __init__(self, path: str | os.PathLike, leaves: list[str], pixels: Callable[[pa.Array], pa.Array]):
        self.path, self.pixels, self.leaves = path, pixels, leaves
        self.file = pq.ParquetFile(path)
        meta = self.file.metadata
        self.starts = np.cumsum([0, *(meta.row_group(number).num_rows for number in range(meta.num_row_groups))])
        self.group, self.first = -1, 0
        self.batches: Iterator[pa.RecordBatch] = iter(())
        self.held = None

    def read(self, rows: Sequence[int]) -> np.ndarray:
        """Lists three deep of numbers as (n, ...) f4, in the order of `rows`, at least one."""
        rows = check_rows(self.path, rows, int(self.starts[-1]))
        wanted, place = np.unique(rows, return_inverse=True)
        groups = np.searchsorted(self.starts, wanted, side="right") - 1
        blocks = []
        for group in np.unique(groups):
            blocks += self._of_group(int(group), wanted[groups == group] - self.starts[group])
        if len({block.shape[1:] for block in blocks}) > 1:
            raise BadInput(f"{self.path}: images of column {COLUMN} differ in shape; expected one for all")
        return np.concatenate(blocks)[place]

    def _of_group(self, group: int, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Blocks of the images of rising rows of a row group."""
        if group != self.group or rows[0] < self.first:
            self.batches = self.file.iter_batches(BATCH, row_groups=[group], columns=self.leaves, use_threads=False)
            self.group, self.first, self.held = group, 0, next(self.batches)
        while len(rows):
            end = self.first + len(self.held)
            inside = rows < end
            if inside.any():
                here = rows[inside] - self.first
                whole = here[-1] - here[0] + 1 == len(here)  # a stretch needs no copy
                part = self.held.slice(here[0], len(here)) if whole else self.held.take(pa.array(here))
                yield cube(self.pixels(_storage(part[COLUMN])), self.path, 3)
                rows = rows[~inside]
            if len(rows):
                self.first, self.held = end, next(self.batches)


def _columns(path, file: pq.ParquetFile, names: Sequence[str]) -> dict[str, np.ndarray]:
    missing = [name for name in names if name not in file.schema_arrow.names]
    if missing:
        raise BadInput(f"{path}: no column {missing[0]}, found {', '.join(file.schema_arrow.names[:20])}")
    table = file.read(columns=list(names), use_threads=False)
    return {name: table[name].to_numpy() for name in names}


def _leaves(file: pq.ParquetFile, *names: str) -> list[str]:
    """The paths of the physical columns below COLUMN that belong to some of its fields."""
    schema = file.schema
    paths = [schema.column(number).path for number in range(len(schema))]
    return [path for path in paths if path.split(".")[0] == COLUMN and set(names) & set(path.split(".")[1:])]


def _part(column: pa.Array, name: str) -> pa.Array:
    """A field of a struct of lists, or of a list of structs: (n,) lists with an entry a band."""
    if pa.types.is_struct(column.type):
        return column.field(name)
    lengths = np.asarray(column.value_lengths().fill_null(0), np.int64)
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, column.flatten().field(name))


def _fields(kind: pa.DataType) -> list[str]:
    kind = _storage_type(kind)
    kind = _storage_type(kind.value_type) if _is_list(kind) else kind
    return [field.name for field in kind] if pa.types.is_struct(kind) else []


def _storage(column) -> pa.Array:
    """One array, without an extension type around it."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _storage_type(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
