"""Embeddings as embedding-atlas (Apple; PyPI embedding-atlas) opens them: one Parquet file a table of embeddings.

    embedding-atlas results/mock/share/astroclip-image.atlas.parquet --x x --y y --neighbors neighbors --image image

=========  ============================================================================================================
vector     the embedding
x, y       its place on the survey's map (UMAP), where the analysis has one; else its two leading principal components
neighbors  struct of ids (rows of this file, from 0, the galaxy itself first) and distances
image      struct of bytes: PNG of the galaxy, of surveys with images; null where a galaxy has none
...        the catalogue's columns
=========  ============================================================================================================
"""

import os
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.analysis.common.embeddings import open_embedding
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.explore.catalog import Catalog
from skyloom.explore.index import Index
from skyloom.explore.scan import Scan
from skyloom.tokens.images import hsc_rgb
from skyloom.tokens.store import Shards

NEIGHBOURS = 15
"""With the galaxy itself, as UMAP counts them."""
SIDE = 48
"""Pixels of a picture, about: larger ones are averaged by whole factors."""
_BLOCK = 1024


def write_atlas(
    galaxies: str | os.PathLike,
    table: str | os.PathLike,
    index: Index | Scan,
    umap: str | os.PathLike | None,
    shards: Sequence[str | os.PathLike],
    out_path: str | os.PathLike,
) -> None:
    """Write the file, a thousand galaxies in memory at a time.

    Parameters
    ----------
    table : of embeddings
    index : of the same
    umap : the analysis `projection`: model, modality, targetid, x, y
    shards : token shards with images; may be none

    Raises
    ------
    BadInput : a file is damaged, or they are not of the same galaxies.
    """
    catalog, opened = Catalog(galaxies), open_embedding(table)
    targetid = opened.targetid
    place = catalog.places(targetid)
    if (place < 0).any() or not np.array_equal(targetid, index.targetid):
        raise BadInput(f"{table}: not of the galaxies of {galaxies} and of its index; delete them and rerun")
    where = _places(umap, opened, index)
    pictures = Shards(list(shards)) if shards else None
    with atomic(out_path) as temporary:
        writer = None
        for first in range(0, max(len(targetid), 1), _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, len(targetid)))
            part = _part(catalog, place, opened, index, where, pictures, rows)
            writer = writer or pq.ParquetWriter(temporary, part.schema, compression="zstd")
            writer.write_table(part)
        writer.close()
    if pictures:
        pictures.close()


def _part(catalog, place, opened, index, where, pictures, rows: np.ndarray) -> pa.Table:
    vectors = opened.of(opened.targetid[rows])
    distance, row = index.search(vectors, min(NEIGHBOURS, len(index)))
    distance, row = _itself_first(distance, row, rows)
    neighbours = pa.StructArray.from_arrays([_lists(row), _lists(distance)], names=["ids", "distances"])
    columns = {
        "targetid": pa.array(opened.targetid[rows]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), opened.width),
        "x": pa.array(where[rows, 0]),
        "y": pa.array(where[rows, 1]),
        "neighbors": neighbours,
        "split": pa.array(opened.split[rows].astype(str), pa.string()),
    }
    if pictures:
        columns["image"] = _images(pictures, opened.targetid[rows])
    arrays, fields = catalog.take([name for name in catalog.shown if name not in columns], place[rows])
    own = [pa.field(name, array.type) for name, array in columns.items()]
    return pa.table([*columns.values(), *arrays], schema=pa.schema([*own, *fields]))


def _itself_first(distance: np.ndarray, row: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The galaxy itself first, at distance 0, should another be at the same place, or should it not be found."""
    order = np.argsort(row != own[:, None], axis=1, kind="stable")
    row, distance = np.take_along_axis(row, order, 1), np.take_along_axis(distance, order, 1)
    lost = (row[:, :1] != own[:, None]).any(axis=1)
    row[lost], distance[lost] = np.roll(row[lost], 1, axis=1), np.roll(distance[lost], 1, axis=1)
    row[:, 0], distance[:, 0] = own, 0
    return distance, row


def _lists(values: np.ndarray) -> pa.ListArray:
    """(n, k) as lists, without what is missing at their ends."""
    there = values >= 0  # NaN is not
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype("i4")
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[there]))


def _places(umap: str | os.PathLike | None, opened, index: Index | Scan) -> np.ndarray:
    """(N, 2) float64 of the galaxies on the map."""
    if umap is not None:
        table = pq.read_table(umap)
        own = pc.and_(pc.equal(table["model"], opened.model), pc.equal(table["modality"], opened.modality))
        table = table.filter(own)
        known = table["targetid"].to_numpy()
        order = np.argsort(known, kind="stable")
        if np.isin(opened.targetid, known).all() and len(known):
            place = order[np.searchsorted(known, opened.targetid, sorter=order)]
            return np.stack([table[axis].to_numpy().astype("f8")[place] for axis in "xy"], axis=1)
    return _components(opened, index.space)


def _components(opened, space) -> np.ndarray:
    """Two leading principal components; the largest part of each is positive, so that they are the same every time."""
    blocks = [slice(first, first + 2**14) for first in range(0, len(opened.targetid), 2**14)]
    square = np.zeros((opened.width, opened.width))
    for block in blocks:
        values = space.of(opened.of(opened.targetid[block])).astype("f8")
        square += values.T @ values
    _, axes = np.linalg.eigh(square)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    found = [space.of(opened.of(opened.targetid[block])).astype("f8") @ axes for block in blocks]
    places = np.concatenate(found) if found else np.empty((0, 2))
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def _images(pictures: Shards, targetid: np.ndarray) -> pa.Array:
    rows = pictures.rows(targetid)
    name = "rgb" if "rgb" in pictures.shapes else "flux"
    found: list[dict | None] = [None] * len(rows)
    there = np.flatnonzero(rows >= 0)
    if len(there):
        values = pictures.read(rows[there], [name])[name]
        values = values if name == "rgb" else hsc_rgb(values)
        for i, image in zip(there, values, strict=True):
            found[i] = {"bytes": png(smaller(image, SIDE))}
    return pa.array(found, pa.struct([("bytes", pa.binary())]))


def smaller(image: np.ndarray, side: int) -> np.ndarray:
    """(3, s, s) averaged from (3, S, S) by a whole factor, to the smallest s that is at least `side`."""
    factor = max(1, image.shape[-1] // side)
    s = image.shape[-1] // factor
    cut = (image.shape[-1] - s * factor) // 2
    kept = image[:, cut : cut + s * factor, cut : cut + s * factor]
    return kept.reshape(3, s, factor, s, factor).mean(axis=(2, 4))


def png(image: np.ndarray) -> bytes:
    """A colour image (3, H, W) of values 0 to 1 as PNG; the last row of the array is the first of the picture, since
    y rises upwards on the sky."""
    pixels = (np.moveaxis(image, 0, -1)[::-1].clip(0, 1) * 255).round().astype("u1")
    height, width = pixels.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), "u1"), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(part: tuple[bytes, bytes]) -> bytes:
    kind, data = part
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
