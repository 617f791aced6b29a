"""Embeddings of every galaxy of a survey by one model, streamed from shards to a Parquet table."""

import json
import logging
import math
import os
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from skyloom import models
from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import atomic
from skyloom.tokens.store import Shards
from skyloom.training.data import read_splits
from skyloom.training.loop import pick_device, reproducible

log = logging.getLogger(__name__)

_ROWS_PER_GROUP = 8192


def embed(
    model_dir: str | os.PathLike,
    modality: str,
    shard_paths: Sequence[str | os.PathLike],
    splits_path: str | os.PathLike,
    out_path: str | os.PathLike,
    batch_size: int = 64,
    threads: int = 1,
    device: str = "auto",
) -> None:
    """Write targetid, split and embedding (fixed-size list of float32) of every galaxy in the shards, by rising
    targetid.

    Memory does not grow with the number of galaxies, but for 16 bytes each. The bytes depend on batch_size and threads.

    Parameters
    ----------
    model_dir : folder of a trained model
    modality : one of `skyloom.settings.layout.MODALITIES` that the model takes
    shard_paths : token shards of that modality
    splits_path : parquet with targetid and split
    out_path : the table

    Raises
    ------
    BadConfig : the model cannot embed this modality.
    BadInput : the model, a shard or the splits are damaged, or a galaxy has no split.
    """
    model, card = models.load(model_dir)
    if modality not in model.inputs:
        raise BadConfig(f"{model_dir}: this model embeds {', '.join(sorted(model.inputs))}, not {modality}")
    shards = Shards(shard_paths)
    targetid, rows = np.unique(shards.targetid, return_index=True)
    split = split_of(targetid, splits_path)
    device = pick_device(device)
    start = time.monotonic()
    with reproducible(threads), torch.inference_mode(), atomic(out_path) as temporary:
        model.to(device)
        metadata = {"modality": modality, "kind": card["config"]["kind"], "weights_sha256": card["weights_sha256"]}
        schema = schema_of(width(model, modality, shards), metadata)
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for first in range(0, len(rows), _ROWS_PER_GROUP):
                group = slice(first, first + _ROWS_PER_GROUP)
                values = forward(model, modality, shards, rows[group], batch_size, device)
                flat = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
                writer.write_table(pa.table([targetid[group], split[group], flat], schema=schema))
    shards.close()
    elapsed = time.monotonic() - start
    log.info("%s: %d embeddings in %.1f s (%.0f/s)", out_path, len(rows), elapsed, len(rows) / elapsed)


def split_of(targetid: np.ndarray, splits_path: str | os.PathLike) -> np.ndarray:
    """The split of each galaxy, (N,) str."""
    known, split = read_splits(splits_path)
    place = np.searchsorted(known, targetid).clip(max=max(0, len(known) - 1))
    missing = targetid[known[place] != targetid] if len(known) else targetid
    if len(missing):
        raise BadInput(
            f"{splits_path}: {len(missing)} galaxies of the shards have no split, e.g. targetid {missing[0]}"
        )
    return split[place]


def width(model: nn.Module, modality: str, shards: Shards) -> int:
    """Length of an embedding, tried on a blank galaxy."""
    names = model.inputs[modality]
    for name in names:
        if name not in shards.shapes:
            raise BadInput(f"{shards.paths[0]}: no dataset {name}; expected a {modality} shard")
    device = next(iter(model.state_dict().values())).device
    blank = {name: torch.zeros(1, *shards.shapes[name], device=device) for name in names}
    return model.embed(blank, modality).shape[1]


def forward(
    model: nn.Module, modality: str, shards: Shards, rows: np.ndarray, batch_size: int, device: str
) -> np.ndarray:
    """Embeddings of the galaxies in `rows` of the shards, (len(rows), dim) float32."""
    parts = []
    for part in np.array_split(rows, math.ceil(len(rows) / batch_size)):
        batch = shards.read(part, model.inputs[modality])
        tensors = {name: torch.from_numpy(batch[name]).to(device) for name in model.inputs[modality]}
        parts.append(model.embed(tensors, modality).float().cpu().numpy())
    return np.concatenate(parts)


def schema_of(dim: int, metadata: dict) -> pa.Schema:
    """Columns of the table, and in its metadata which model made it."""
    fields = [
        pa.field("targetid", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("embedding", pa.list_(pa.float32(), dim), nullable=False),
    ]
    return pa.schema(fields, metadata={"skyloom": json.dumps(metadata, sort_keys=True)})
