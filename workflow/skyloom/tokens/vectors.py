"""Vectors and scalars of simulated galaxies, as the catalogue has them: numbers are tokens for MOSAIC."""

import json
import logging
import os
from collections.abc import Sequence

import numpy as np

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.hdf5_files import dataset_named, open_hdf5, read_rows
from skyloom.formats.part_columns import SCALARS, UNITS, VECTORS
from skyloom.tokens.galaxies import Quarantine, blocks, shard_rows
from skyloom.tokens.store import shard_writer

log = logging.getLogger(__name__)

DATASETS = {"scalars": SCALARS, **{name: (name,) for name in VECTORS}}
"""Modality -> the datasets of part files that it is made of."""
_BLOCK = 4096  # galaxies in memory at once: 15 MB of the longest vector


def tokenize_vectors(
    galaxies_path: str | os.PathLike,
    part_paths: Sequence[str | os.PathLike],
    modality: str,
    shard: int,
    out_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
    compression: str = "none",
) -> None:
    """Write one modality of one shard of galaxies.

    Parameters
    ----------
    galaxies_path : galaxies.parquet of a simulated survey
    part_paths : part files that hold (at least) the galaxies of this shard
    modality : a key of DATASETS
    shard : number of the shard in column `shard`
    out_path : shard with targetid (N,) and values (N, D) float32, in the units of the part files, not standardised
    quarantine_path : csv of the galaxies left out because no value is finite; a value that is not known is NaN
    compression : see `store.shard_writer`

    Raises
    ------
    BadInput : a part or the catalogue is broken, or the parts have vectors of different lengths.
    BadConfig : an unknown modality.
    """
    if modality not in DATASETS:
        raise BadConfig(f"modality: '{modality}' is not known; allowed are {', '.join(DATASETS)}")
    names = DATASETS[modality]
    length = sum(_length(part_paths[0], name) for name in names)
    quarantine = Quarantine()
    unit = ", ".join(UNITS[name] or "dimensionless" for name in names)
    attrs = {"modality": modality, "axis": json.dumps(_axis(part_paths[0], modality))}
    with shard_writer(out_path, attrs, {"values": unit}, compression) as writer:
        writer.declare(values=(length,))
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "sim"), part_paths, _BLOCK):
            values = _read(path, names, row)
            if values.shape[1] != length:
                raise BadInput(f"{path}: {modality} of {values.shape[1]} numbers, {length} in {part_paths[0]}")
            values[~np.isfinite(values)] = np.nan
            known = ~np.isnan(values).all(axis=1)
            good = quarantine.add(path, targetid, row, np.where(known, "", f"{modality}: no value is finite"))
            writer.append(targetid[good], values=values[good])
        quarantine.write(quarantine_path)
    log.info("%s: %d galaxies, %d quarantined", out_path, writer.rows, len(quarantine.rows))


def _axis(path, modality) -> list[float]:
    """Where the numbers of a vector lie, as the part file has it: places, or edges; empty if it does not say."""
    with open_hdf5(path) as file:
        axis = file.get(f"axis/{modality}")
        return [] if axis is None or axis.dtype.kind not in "fiu" else axis[:].astype(float).tolist()


def _length(path, name):
    if name in SCALARS:
        return 1
    with open_hdf5(path) as file:
        shape = dataset_named(path, file, name).shape
    return shape[1] if len(shape) == 2 else 1


def _read(path, names, row):
    """Rows of datasets side by side (n, D) f4."""
    with open_hdf5(path) as file:
        if len(names) > 1:  # of several numbers, those that a catalogue does not have are missing
            present = [name for name in names if name in file] or names
            found = {name: read_rows(path, dataset_named(path, file, name), row) for name in present}
            columns = [found.get(name, np.full(len(row), np.nan, "f4")) for name in names]
        else:
            columns = [read_rows(path, dataset_named(path, file, names[0]), row)]
    return np.concatenate([values.reshape(len(row), -1) for values in columns], axis=1)
