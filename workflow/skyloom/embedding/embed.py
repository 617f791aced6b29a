"""Embeddings, and answers to queries, of the galaxies of one shard, streamed to a Parquet table."""

import logging
import os
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.parts import write_part
from skyloom.embedding.shards import join
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.training.numerics import pick_device, reproducible

log = logging.getLogger(__name__)

Path_ = str | os.PathLike


def embed_shard(
    model_dir: Path_,
    name: str,
    tokens: Mapping[str, Path_],
    splits_path: Path_,
    out_path: Path_,
    batch_size: int = 64,
    threads: int = 1,
    device: str = "auto",
) -> None:
    """Write targetid, split and embedding (fixed-size list of float32) of the galaxies of one shard, by rising
    targetid.

    Memory does not grow with the number of galaxies, but for 16 bytes each. The last bits depend on batch_size and
    threads.

    Parameters
    ----------
    model_dir : folder of a trained model
    name : one of its embeddings: a modality, or "joint"
    tokens : modality -> token shard, all of one number; those the embedding is not made of are left aside
    splits_path : parquet with targetid and split
    out_path : the table, see `skyloom.embedding.parts`

    Raises
    ------
    BadConfig : the model has no such embedding, or tokens it needs were not given.
    BadInput : the model, a shard or the splits are damaged, or a galaxy has no split.
    """
    model, card = networks.load(model_dir)
    given = card["gives"]["embeddings"]
    if name not in given:
        raise BadConfig(f"{model_dir}: this model embeds {', '.join(given)}, not {name}")
    about = {"model": card["name"], "modality": name, **card["traits"], "weights_sha256": card["weights_sha256"]}

    def ask(batch: Batch) -> dict[str, Tensor]:
        return {"embedding": model.embed(batch, name)}

    _stream(model, card, name, tokens, splits_path, out_path, about, ask, batch_size, threads, device)


def predict_shard(
    model_dir: Path_,
    query: str,
    tokens: Mapping[str, Path_],
    splits_path: Path_,
    out_path: Path_,
    batch_size: int = 64,
    threads: int = 1,
    device: str = "auto",
    asked: dict | None = None,
) -> None:
    """Write what a model answers to a query (values, intervals, reconstructions) for the galaxies of one shard.

    As `embed_shard`; the columns are those that the network's `predict` names, a number or a vector each. `asked` is
    what a query of the user's own says (`skyloom.settings.kinds.ModelKind.asks`).
    """
    model, card = networks.load(model_dir)
    known = card["gives"]["queries"]
    if asked is None and query not in known:
        raise BadConfig(f"{model_dir}: this model answers {', '.join(known) or 'no query'}, not {query}")
    with reproducible(threads):
        question = query if asked is None else model.to(pick_device(device)).question(query, asked)
    about = {"model": card["name"], "query": query, "modalities": list(networks.needs(model, question))}
    about |= card["traits"] | {"weights_sha256": card["weights_sha256"]}
    about |= {} if asked is None else {"asked": asked}
    about |= model.about(question) if hasattr(model, "about") else {}

    def ask(batch: Batch) -> dict[str, Tensor]:
        return model.predict(batch, question)

    _stream(model, card, question, tokens, splits_path, out_path, about, ask, batch_size, threads, device)


def _stream(
    model: torch.nn.Module,
    card: dict,
    name: object,
    tokens: Mapping[str, Path_],
    splits_path: Path_,
    out_path: Path_,
    about: dict,
    ask: Callable[[Batch], dict[str, Tensor]],
    batch_size: int,
    threads: int,
    device: str,
) -> None:
    device = pick_device(device)
    start = time.monotonic()
    joined = join(model, name, tokens, card["training"]["incomplete"])
    with reproducible(threads), torch.inference_mode():
        model.to(device)

        def values(places: np.ndarray) -> dict[str, np.ndarray]:
            parts = [ask(batch) for batch in joined.batches(places, batch_size, device)]
            return {column: np.concatenate([_array(part[column]) for part in parts]) for column in parts[0]}

        blank = {column: _array(tensor) for column, tensor in ask(joined.blank(device)).items()}
        write_part(out_path, joined.targetid, splits_path, values, blank, about)
    joined.close()
    elapsed, count = time.monotonic() - start, len(joined.targetid)
    log.info("%s: %d galaxies in %.1f s (%.0f/s)", out_path, count, elapsed, count / elapsed)


def _array(tensor: Tensor) -> np.ndarray:
    """float32 for all floating numbers shorter than that, other types as they are; (B,) or (B, D)."""
    if tensor.is_floating_point() and tensor.dtype != torch.float64:
        tensor = tensor.float()
    if tensor.ndim > 2:
        raise BadInput(f"a model gave an array of shape {tuple(tensor.shape)}; expected (B,) or (B, D): flatten it")
    return tensor.cpu().numpy()
