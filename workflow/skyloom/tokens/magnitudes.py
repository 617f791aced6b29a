"""Magnitudes of galaxies, as the catalogue has them: a modality of its own beside images and spectra."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from skyloom.core.errors import BadInput
from skyloom.tokens.galaxies import Quarantine, of_shard
from skyloom.tokens.store import shard_writer

log = logging.getLogger(__name__)

MAGNITUDES = ("mag_g", "mag_r", "mag_z")
"""Columns of galaxies.parquet; the bands of the Legacy Surveys."""


def tokenize_magnitudes(
    galaxies_path: str | os.PathLike,
    shard: int,
    out_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
    compression: str = "none",
) -> None:
    """Write the magnitudes of one shard of galaxies.

    Parameters
    ----------
    galaxies_path : galaxies.parquet
    shard : number of the shard in column `shard`
    out_path : shard with targetid (N,) and values (N, 3) float32, AB mag in g, r, z, not standardised
    quarantine_path : csv of the galaxies left out because a magnitude is not known
    compression : see `store.shard_writer`

    Raises
    ------
    BadInput : the catalogue is not Parquet, or lacks a magnitude.
    """
    try:
        table = of_shard(galaxies_path, ["targetid", *MAGNITUDES], shard).sort_by("targetid")
    except (pa.ArrowException, KeyError, OSError) as error:
        text = f"expected targetid, shard, {', '.join(MAGNITUDES)} ({str(error).splitlines()[0]})"
        raise BadInput(f"{galaxies_path}: {text}") from error
    targetid = table["targetid"].to_numpy()
    values = np.stack([table[name].to_numpy() for name in MAGNITUDES], 1).astype("f4")
    quarantine, known = Quarantine(), np.isfinite(values).all(1)
    where = Path(galaxies_path), targetid, np.arange(len(table))
    good = quarantine.add(*where, np.where(known, "", "a magnitude is not known"))
    attrs = {"modality": "magnitudes", "axis": json.dumps([])}
    with shard_writer(out_path, attrs, {"values": "mag"}, compression) as writer:
        writer.declare(values=(len(MAGNITUDES),))
        writer.append(targetid[good], values=values[good])
        quarantine.write(quarantine_path)
    log.info("%s: %d galaxies, %d quarantined", out_path, writer.rows, len(quarantine.rows))
