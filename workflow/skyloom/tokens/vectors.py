"""Vectors and scalars of simulated galaxies, as the catalogue has them: numbers are tokens for MOSAIC."""

import logging
import os
from collections.abc import Sequence

import numpy as np

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.hdf5_files import dataset_named, open_hdf5, read_rows
from skyloom.formats.part_files import SCALARS, UNITS, VECTORS
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
    quarantine_path : csv of the galaxies left out because a value is not finite
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
    with shard_writer(out_path, {"modality": modality}, {"values": unit}, compression) as writer:
        writer.declare(values=(length,))
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "sim"), part_paths, _BLOCK):
            values = _read(path, names, row)
            if values.shape[1] != length:
                raise BadInput(f"{path}: {modality} of {values.shape[1]} numbers, {length} in {part_paths[0]}")
            finite = np.isfinite(values).all(axis=1)
            good = quarantine.add(path, targetid, row, np.where(finite, "", f"{modality}: a value is not finite"))
            writer.append(targetid[good], values=values[good])
        quarantine.write(quarantine_path)
    log.info("%s: %d galaxies, %d quarantined", out_path, writer.rows, len(quarantine.rows))


def _length(path, name):
    with open_hdf5(path) as file:
        shape = dataset_named(path, file, name).shape
    return shape[1] if len(shape) == 2 else 1


def _read(path, names, row):
    """Rows of datasets side by side (n, D) f4."""
    with open_hdf5(path) as file:
        columns = [read_rows(path, dataset_named(path, file, name), row) for name in names]
    return np.concatenate([values.reshape(len(row), -1) for values in columns], axis=1)
