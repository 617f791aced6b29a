"""Writing HATS: a catalogue as Parquet files by place on the sky, which LSDB opens and matches with any other.

The layout is that of the IVOA note "HATS" 1.0 (https://www.ivoa.net/documents/Notes/HATS): a collection is a folder
with ``collection.properties``, the catalogue and, beside it, its margin: for each partition the rows outside of it that
are near its border, without which a cross-match would lose what lies on two sides. A partition is a HEALPix pixel in
nested order, small where the sky is full. What the library `hats` has (properties, partition_info.csv, _metadata,
skymap.fits) it writes; the rows are written here, since `lsdb.from_dataframe` wants all of them in memory.

The same rows give the same bytes: no dates, no host, no order of finishing. Memory: a batch of the source and the
largest partition; the source is read once to count, and once more for every `_OPEN` partitions.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy_healpix import HEALPix, nside_to_pixel_resolution

from skyloom import __version__
from skyloom.core.errors import BadInput
from skyloom.core.extras import extra
from skyloom.core.files import atomic_folder

INDEX = "_healpix_29"
"""The column that HATS sorts by: the nested pixel at order 29."""
INDEX_FIELD = pa.field(INDEX, pa.int64(), metadata={"ucd": "pos.healpix", "description": "Nested HEALPix, order 29"})
ORDER = 29
FINEST = 8  # order of the smallest partitions: a quarter of a degree
ROWS = 500_000  # of a partition, at most, but for a denser one at the finest order
MARGIN = 10.0  # arcsec
COLLECTION = "collection.properties"
"""Written last: where it is, the collection is whole."""
BUILDER = f"Skyloom {__version__}"
_OPEN = 256  # partitions that are filled at a time, a file each
_GROUP = 2**17  # rows of a row group
_WIDER = 4  # pixels are so much wider than what their neighbours have to cover: the narrowest are 0.5 of the mean

Batches = Callable[[Sequence[str] | None], Iterator[pa.Table]]
"""Columns (None: all) -> the rows of a table, some at a time, in the same order at every call."""


def write_collection(
    folder: str | os.PathLike,
    name: str,
    batches: Batches,
    schema: pa.Schema,
    rows: int = ROWS,
    margin: float = MARGIN,
    about: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Write a collection: a catalogue and its margin.

    Parameters
    ----------
    folder : replaced as a whole
    name : of the catalogue, a folder inside
    batches : the rows; ``ra`` and ``dec`` in degrees are among the columns, and rows without them are left out
    schema : of these rows, with what metadata the files should have
    rows : most of a partition
    margin : arcsec
    about : further properties, see the note

    Returns the number of rows that were left out.

    Raises
    ------
    BadInput : no row has a position.
    """
    with extra("hats"):
        import hats  # noqa: F401 (before anything is read)
    counts, without = _count(batches)
    if not counts.sum():
        raise BadInput(f"{name}: none of {without} rows has a position (ra, dec); a HATS catalogue is sorted by it")
    tiles = partition(counts, rows, min(FINEST, reach(margin)))
    full = tiles[[counts_in(counts, tile) > 0 for tile in tiles]]
    schema = schema.append(INDEX_FIELD)
    beside = f"{name}_{margin:g}arcs"
    near_by = {"hats_primary_table_url": name, "hats_margin_threshold": f"{margin:g}"}
    with atomic_folder(folder, COLLECTION) as temporary:
        written = _write_tiles(temporary / name, batches, schema, _Tiles(full))
        _write_metadata(temporary / name, "object", schema, written, about)
        _write_map(temporary / name, counts)
        # where nothing is there may be something near by, too
        written = _write_tiles(temporary / beside, batches, schema, _Tiles(tiles, margin))
        _write_metadata(temporary / beside, "margin", schema, written, {**about, **near_by})
        _write_properties(temporary, name, beside, about)
    return without


def partition(counts: np.ndarray, rows: int, finest: int = FINEST) -> np.ndarray:
    """Pixels (P, 2), order and number, that cover the sky: split where more than `rows` would be in one.

    Parameters
    ----------
    counts : (12 * 4**FINEST,) rows in each pixel of the order FINEST
    finest : order of pixels that are not split
    """
    found, pixels = [], np.arange(12)
    for order in range(finest + 1):
        inside = counts.reshape(12 * 4**order, -1).sum(axis=1)[pixels]
        full = (inside > rows) & (order < finest)
        found.append(np.stack([np.full(len(pixels) - full.sum(), order), pixels[~full]], axis=1))
        pixels = (4 * pixels[full][:, None] + np.arange(4)).ravel()
    return np.concatenate(found)


def counts_in(counts: np.ndarray, tile: np.ndarray) -> int:
    """How many of the counted rows are in a pixel (order, number)."""
    order, pixel = tile
    return int(counts.reshape(12 * 4**order, -1)[pixel].sum())


def index_of(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """`INDEX` of positions in degrees, as `hats` computes it; -1 where a coordinate is not finite."""
    from hats.pixel_math.spatial_index import compute_spatial_index

    found = np.full(len(ra), -1, np.int64)
    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    if known.any():
        found[known] = compute_spatial_index(ra[known] % 360, dec[known])
    return found


def near(index: np.ndarray, arcsec: float) -> np.ndarray:
    """Pixels (N, 9) of order `reach(arcsec)` that hold everything within a distance of the pixels `index` (N,) of order
    29, themselves first; -1 where there are fewer."""
    order = reach(arcsec)
    pixel = index >> 2 * (ORDER - order)
    with np.errstate(invalid="ignore"):  # at twelve corners there are seven neighbours
        around = HEALPix(2**order, order="nested").neighbours(pixel)
    return np.concatenate([pixel[:, None], around.T], axis=1)


def reach(arcsec: float) -> int:
    """The finest order of which a pixel and its neighbours hold all within a distance of any point in the pixel."""
    for order in range(ORDER, 0, -1):
        if nside_to_pixel_resolution(2**order).to_value(u.arcsec) >= _WIDER * arcsec:
            return order
    return 0


def _count(batches: Batches) -> tuple[np.ndarray, int]:
    """Rows in each pixel of the finest order, and how many have no position."""
    counts, without = np.zeros(12 * 4**FINEST, np.int64), 0
    for table in batches(["ra", "dec"]):
        index = _index(table)
        without += int((index < 0).sum())
        counts += np.bincount(index[index >= 0] >> 2 * (ORDER - FINEST), minlength=len(counts))
    return counts, without


def _index(table: pa.Table) -> np.ndarray:
    return index_of(*(table[name].to_numpy().astype(np.float64) for name in ("ra", "dec")))


class _Tiles:
    """Which of some pixels rows belong to, or, with a margin, which they are outside of but near."""

    def __init__(self, tiles: np.ndarray, margin: float | None = None):
        order, pixel = tiles.T
        start = pixel << 2 * (ORDER - order)
        self.tiles, self.margin, self._by_place = tiles, margin, np.argsort(start)
        self._start = start[self._by_place]
        self._end = self._start + (np.int64(1) << 2 * (ORDER - order[self._by_place]))

    def of(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows, and the numbers of the tiles that they go to: one each, of a margin none or several."""
        own = self._holding(index)
        if self.margin is None:
            row = np.flatnonzero(own >= 0)
            return row, own[row]
        known = np.flatnonzero(index >= 0)
        around = near(index[known], self.margin)
        found = self._holding(np.where(around >= 0, around << 2 * (ORDER - reach(self.margin)), -1))
        row, place = np.nonzero((found >= 0) & (found != own[known][:, None]))
        pairs = np.unique(np.stack([known[row], found[row, place]], axis=1), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def _holding(self, index: np.ndarray) -> np.ndarray:
        """The number of the tile that holds a pixel of order 29, -1 for none."""
        place = np.searchsorted(self._start, index, side="right") - 1
        inside = (place >= 0) & (index >= 0) & (index < self._end[place])
        return np.where(inside, self._by_place[place], -1)


def _write_tiles(folder: Path, batches: Batches, schema: pa.Schema, tiles: _Tiles) -> dict[tuple[int, int], int]:
    """A Parquet file a tile, by rising `INDEX`; rows in each of those that have any."""
    written, parts = {}, folder.with_name(f"{folder.name}.parts")
    for start in range(0, len(tiles.tiles), _OPEN):
        parts.mkdir()
        for number in _scatter(parts, batches, schema, tiles, range(start, start + _OPEN)):
            order, pixel = (int(value) for value in tiles.tiles[number])
            written[order, pixel] = _write_sorted(parts / f"{number}.arrow", _place(folder, order, pixel), schema)
        shutil.rmtree(parts)
    return written


def _scatter(parts: Path, batches: Batches, schema: pa.Schema, tiles: _Tiles, numbers: range) -> list[int]:
    """Put the rows of some tiles into a file each, as they come; returns which have any."""
    files = {}
    try:
        for table in batches(None):
            index = _index(table)
            row, tile = tiles.of(index)
            some = np.flatnonzero((tile >= numbers.start) & (tile < numbers.stop))
            order = some[np.argsort(tile[some], kind="stable")]
            table = table.append_column(INDEX, pa.array(index))
            for number, first, count in zip(
                *np.unique(tile[order], return_index=True, return_counts=True), strict=True
            ):
                if number not in files:
                    files[number] = pa.ipc.new_file(parts / f"{number}.arrow", schema)
                files[number].write_table(table.take(row[order[first : first + count]]).cast(schema))
    finally:
        for file in files.values():
            file.close()
    return sorted(files)


def _write_sorted(part: Path, path: Path, schema: pa.Schema) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.memory_map(str(part)) as source:
        table = pa.ipc.open_file(source).read_all()
        table = table.take(np.argsort(table[INDEX].to_numpy(), kind="stable"))
        pq.write_table(table, path, row_group_size=_GROUP, compression="zstd")
    return len(table)


def _place(folder: Path, order: int, pixel: int) -> Path:
    """Where the file of a partition is: at most 10,000 in a folder."""
    return folder / "dataset" / f"Norder={order}" / f"Dir={pixel // 10_000 * 10_000}" / f"Npix={pixel}.parquet"


def _write_metadata(folder: Path, kind: str, schema: pa.Schema, written: Mapping, about: Mapping[str, str]) -> None:
    """What describes a catalogue: its properties, its partitions, the metadata of all their files."""
    from hats.catalog import PartitionInfo, TableProperties
    from hats.io.parquet_metadata import write_parquet_metadata
    from hats.pixel_math import HealpixPixel

    (folder / "dataset").mkdir(parents=True, exist_ok=True)
    PartitionInfo.from_healpix([HealpixPixel(*tile) for tile in written]).write_to_file(catalog_path=folder)
    if written:
        write_parquet_metadata(folder)
    else:
        pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    TableProperties(
        catalog_name=folder.name,
        catalog_type=kind,
        total_rows=sum(written.values()),
        ra_column="ra",
        dec_column="dec",
        healpix_column=INDEX,
        healpix_order=ORDER,
        hats_max_rows=max(written.values(), default=0),
        **({"skymap_order": FINEST} if kind == "object" else {}),
        hats_builder=BUILDER,
        hats_version="v1.0",
        **about,
    ).to_properties_file(folder)


def _write_map(folder: Path, counts: np.ndarray) -> None:
    from hats.io.skymap import write_skymap

    write_skymap(counts, folder)


def _write_properties(folder: Path, name: str, margin: str, about: Mapping[str, str]) -> None:
    """What makes a folder a collection."""
    from hats.catalog.dataset.collection_properties import CollectionProperties

    CollectionProperties(
        obs_collection=name,
        hats_primary_table_url=name,
        all_margins=margin,
        default_margin=margin,
        hats_builder=BUILDER,
        hats_version="v1.0",
        **about,
    ).to_properties_file(folder)
