"""The attention of every model and modality: scored over test galaxies, drawn for a few."""

import logging
from pathlib import Path

import numpy as np
import pandas
import torch

from skyloom.analysis.attention import Settings, figures
from skyloom.analysis.attention.scores import Attention, rows
from skyloom.analysis.common import tables
from skyloom.analysis.common.batches import Tokens, of_split
from skyloom.figures.samples import Pictures
from skyloom.models import networks
from skyloom.settings.analysis import Job
from skyloom.training.numerics import reproducible

log = logging.getLogger(__name__)

TOGETHER = 64


def measure(job: Job) -> None:
    """Score and draw where the pooling queries look.

    Inputs: galaxies (targetid, z), splits, model_{name} (weights and card), tokens_{modality} (shards). Outputs: table
    (csv), figure_image and figure_spectrum (png). Without test galaxies that have all modalities the table has no rows
    and the figures say so.

    Raises
    ------
    BadInput : a model or a shard is damaged.
    """
    s: Settings = job.settings
    shards = {role.removeprefix("tokens_"): files for role, files in job.inputs.items() if role.startswith("tokens_")}
    models = {role: networks.load(Path(files[0]).parent) for role, files in job.inputs.items() if _is_model(role)}
    reads = {m: next(model.inputs[m] for model, _ in models.values() if m in model.inputs) for m in shards}
    tokens = {m: Tokens(m, files, reads[m]) for m, files in shards.items()}
    z = tables.read_galaxies(job.one("galaxies"), columns=["z"])["z"]
    among = z.index.to_numpy()
    for one in tokens.values():
        among = np.intersect1d(among, one.targetid)
    ids = of_split(job.one("splits"), "test", among, s.galaxies, job.seed)
    z = z.reindex(ids).to_numpy(float)
    found = []
    with reproducible(1), torch.inference_mode():
        for model, card in models.values() if len(ids) else ():
            for modality in model.attending:
                if modality in tokens:
                    weights = _attention(model, modality, tokens[modality], ids)
                    found.append(Attention(card["name"], modality, model.places(modality), weights))
    lines = [row for one in found for row in rows(job.survey, one, z, s.near, s.resamples, job.seed)]
    tables.write_csv(job.outputs["table"], pandas.DataFrame(lines, columns=tables.COLUMNS))
    chosen = figures.choose(z, s.shown)
    pictures = {modality: Pictures(modality, files) for modality, files in shards.items()}
    figures.draw_images(found, pictures, ids, z, chosen, job.outputs["figure_image"])
    figures.draw_spectra(found, pictures, ids, z, chosen, job.outputs["figure_spectrum"])
    log.info("attention of %d galaxies, %d maps each", len(ids), sum(one.weights.shape[1] for one in found))


def _is_model(role: str) -> bool:
    return role.startswith("model_")


def _attention(model, modality: str, tokens: Tokens, ids: np.ndarray) -> np.ndarray:
    """(N, heads, T)."""
    parts = np.array_split(ids, -(-len(ids) // TOGETHER))
    return torch.cat([model.attention(tokens.batch(some), modality) for some in parts]).double().numpy()
