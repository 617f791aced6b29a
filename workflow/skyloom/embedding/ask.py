"""Ask a trained model any query about a table of galaxies: in Python, `ask`, or a file of any size, `ask_file` and

    python -m skyloom.embedding.ask results/simulated/models/mosaic mine.parquet answers.parquet \\
        --given lsst --wanted redshift log_mstar sfh

Columns are called as the model calls its numbers (`redshift`, `log_mstar`, `lsst_r`; vectors `spherex`, `sfh`, `sed`
as lists); others are left aside, missing values are NaN or null, whole columns may be missing.
"""

import argparse
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from skyloom.core.errors import BadConfig, BadInput, SkyloomError
from skyloom.core.files import atomic
from skyloom.embedding.parts import METADATA, column_of
from skyloom.formats import positions
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.training.numerics import pick_device, reproducible

log = logging.getLogger(__name__)

BLOCK = 4096
"""Galaxies in memory at a time, asked in batches of BATCH."""
BATCH = 256
IDENTIFIERS = ("targetid", "TARGETID", "id", "ID", "object_id", "objectId")


def ask(
    model: str | os.PathLike | nn.Module,
    table,
    given: Sequence | None = None,
    wanted: Sequence | None = None,
    level: float = 0.9,
    samples: int = 0,
    threads: int = 1,
    device: str = "auto",
) -> pa.Table:
    """What a model says of galaxies.

    Parameters
    ----------
    model : folder of a trained model that answers queries of the user's own, or its network
    table : pyarrow, pandas or astropy table
    given : what of the table the model sees: modalities, single values, ranges such as ``{"sfh": [0, 10]}``; all that
        it knows of the table's columns unless told
    wanted : what it is asked for; all that is not given unless told
    level : of the intervals
    samples : draws from the joint distribution
    threads, device : where it computes

    Returns
    -------
    The table's identifier, if it has one, then a column for each wanted number, or vector, with ``_lower`` and
    ``_upper``; the unit in each field's metadata, what was asked in the schema's.

    Raises
    ------
    BadConfig, BadInput : one line: a query that cannot be, a column that is missing or in another unit.
    """
    table = _arrow(table)
    network, card = networks.load(model) if not isinstance(model, nn.Module) else (model, {})
    parts = list(_answers(network, card, iter([table]), table.schema, given, wanted, level, samples, threads, device))
    return pa.concat_tables(parts)


def ask_file(
    model_dir: str | os.PathLike,
    path: str | os.PathLike,
    out_path: str | os.PathLike,
    given: Sequence | None = None,
    wanted: Sequence | None = None,
    level: float = 0.9,
    samples: int = 0,
    threads: int = 1,
    device: str = "auto",
) -> int:
    """As `ask`, for a file: Parquet, which is streamed, or FITS, CSV, ECSV or VOTable; the answers go to Parquet.

    Returns the number of galaxies; says in the log how far it is.
    """
    network, card = networks.load(model_dir)
    blocks, schema, rows = _blocks(path)
    start, done = time.monotonic(), 0
    try:
        answers = _answers(network, card, blocks, schema, given, wanted, level, samples, threads, device)
        with atomic(out_path) as temporary:
            writer = None
            for part in answers:
                writer = writer or pq.ParquetWriter(temporary, part.schema, compression="zstd")
                writer.write_table(part)
                done += len(part)
                rate = done / (time.monotonic() - start)
                log.info("%d of %d galaxies, %.0f/s, %.0f s left", done, rows, rate, (rows - done) / rate)
            if writer is None:
                raise BadInput("no rows")
            writer.close()
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return done


def _blocks(path: str | os.PathLike) -> tuple[Iterator[pa.Table], pa.Schema, int]:
    if str(path).lower().endswith((".parquet", ".pq")):
        try:
            file = pq.ParquetFile(path)
        except FileNotFoundError as error:
            raise BadInput(f"{path}: no such file, expected a table of galaxies") from error
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
        blocks = (pa.Table.from_batches([batch]) for batch in file.iter_batches(BLOCK))
        return blocks, file.schema_arrow, file.metadata.num_rows
    table = _arrow(positions.read_table(path))
    return (table.slice(i, BLOCK) for i in range(0, len(table), BLOCK)), table.schema, len(table)


def _arrow(table) -> pa.Table:
    """A pyarrow table; units in the metadata of its fields."""
    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "colnames"):  # astropy
        names, fields, arrays = table.colnames, [], []
        for name in names:
            values = (
                np.ma.filled(np.ma.asarray(table[name], dtype=None), np.nan) if _masked(table[name]) else table[name]
            )
            values = np.asarray(values)
            values = values.astype(values.dtype.newbyteorder("="))
            if values.ndim > 2 or values.dtype.kind not in "biufSU":
                continue
            array = pa.array(list(values)) if values.ndim == 2 else pa.array(values)
            unit = getattr(table[name], "unit", None)
            meta = {b"unit": str(unit).encode()} if unit is not None else None
            fields.append(pa.field(name, array.type, metadata=meta))
            arrays.append(array)
        return pa.table(arrays, schema=pa.schema(fields))
    try:
        return pa.Table.from_pandas(table, preserve_index=False)
    except (AttributeError, TypeError, pa.ArrowException) as error:
        raise BadInput(f"a {type(table).__name__}: expected a table of pyarrow, pandas or astropy ({error})") from error


def _masked(column) -> bool:
    return np.ma.isMaskedArray(column) and column.dtype.kind == "f"


def _answers(network, card, blocks, schema, given, wanted, level, samples, threads, device) -> Iterator[pa.Table]:
    if not hasattr(network, "columns"):
        raise BadConfig(f"{card.get('name', 'this model')} answers no queries of your own; mosaic does")
    units = {field.name: ((field.metadata or {}).get(b"unit") or b"").decode() for field in schema}
    used = network.columns(units)
    asked = {"given": list(given) if given else used, "level": level, "samples": samples}
    asked |= {"wanted": list(wanted)} if wanted else {}
    device = pick_device(device)
    network.to(device).eval()
    with reproducible(threads), torch.inference_mode():
        question = network.question("of your table", asked)
        there = {*used, *(network.modality(name) for name in used)}
        for name in [name for item in asked["given"] for name in ([item] if isinstance(item, str) else item)]:
            # a single value may lie in the column of its vector
            if name not in there and network.modality(name) not in used:
                raise BadInput(f"no column of {name}, which is given; its columns are {', '.join(schema.names)}")
        identifier = next((name for name in IDENTIFIERS if name in schema.names), None)
        about, first, counts = network.about(question), 0, {}
        for block in blocks:
            rows = np.arange(first, first + len(block))
            first += len(block)
            parts = []
            for start in range(0, len(block), BATCH):
                some = block.slice(start, BATCH)
                columns = {name: _numbers(some[name], name) for name in used}
                batch, outside = network.batch_of(columns, rows[start : start + BATCH])
                counts = {name: counts.get(name, 0) + n for name, n in outside.items()}
                parts.append(network.predict(batch.to(device), question))
            found = {name: torch.cat([part[name] for part in parts]).float().cpu().numpy() for name in parts[0]}
            yield _table(found, identifier and block[identifier], identifier, about)
        for name, n in counts.items():
            if n:
                log.warning("column %s: %d values cannot be and count as missing", name, n)


def _numbers(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """(n,) or (n, D) float64, null as NaN."""
    kind = column.type
    try:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return np.stack([np.asarray(row, "f8") for row in column.to_pylist()])
        return column.cast(pa.float64()).to_numpy()
    except (ValueError, TypeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"column {name} holds {kind}, expected numbers, or lists of one length ({reason})") from error


def _table(found: Mapping[str, np.ndarray], ids, identifier: str | None, about: dict) -> pa.Table:
    arrays = [ids.combine_chunks()] if identifier else []
    fields = [pa.field(identifier, ids.type)] if identifier else []
    for name, values in found.items():
        array = column_of(values)
        own = re.sub(r"_(lower|upper|quantiles|samples)$", "", name)
        fields.append(pa.field(name, array.type, metadata={b"unit": about["columns"][own]["unit"].encode()}))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields, metadata={METADATA: json.dumps(about)}))


def items(words: Sequence[str]) -> list:
    """What the command line names: `lsst`, `redshift`, or a range `sfh:0:10`."""
    found = []
    for word in words:
        name, *ends = word.split(":")
        try:
            found.append({name: [float(end) for end in ends]} if ends else name)
        except ValueError as error:
            raise BadConfig(f"{word}: expected a name, or a range such as sfh:0:10") from error
    return found


def main() -> None:
    """Read the command line, ask, and end with one line when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.embedding.ask", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a trained model")
    parser.add_argument("table", help="Parquet (streamed), FITS, CSV, ECSV or VOTable")
    parser.add_argument("out", help="Parquet")
    parser.add_argument(
        "--given", nargs="+", default=[], help="lsst, log_mstar, lsst_r, sfh:0:10 (default: all columns)"
    )
    parser.add_argument("--wanted", nargs="+", default=[], help="the same (default: all that is not given)")
    parser.add_argument("--level", type=float, default=0.9, help="of the intervals (0.9)")
    parser.add_argument("--samples", type=int, default=0, help="draws from the joint distribution (0)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--extensions", action="append", default=[], help="folder with kinds of models of your own")
    o = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)  # ours alone: other libraries have things to say too
    try:
        kinds.extend(str(Path(folder).resolve()) for folder in o.extensions)
        given, wanted = items(o.given), items(o.wanted)
        ask_file(o.model, o.table, o.out, given, wanted, o.level, o.samples, o.threads, o.device)
    except SkyloomError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
