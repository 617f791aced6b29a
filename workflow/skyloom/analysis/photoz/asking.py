"""A model asked again, with other shares hidden and shorter exposures: one pass over the test galaxies' tokens."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from skyloom.analysis.photoz import SPECTRUM
from skyloom.core.mixing import uniform
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.nn.spectra import shortened
from skyloom.tokens.store import Shards

log = logging.getLogger(__name__)

BATCH = 128
"""Galaxies at once: 8 MB of spectra, 10 MB of images."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to ask: modality -> share of its tokens that is hidden; share of the exposure of the spectra."""

    hidden: tuple[tuple[str, float], ...]
    exposure: float = 1.0

    @classmethod
    def of(cls, hidden: Mapping[str, float], exposure: float = 1.0) -> "Way":
        """From a mapping."""
        return cls(tuple(hidden.items()), exposure)


def sample(targetid: np.ndarray, shards: Mapping[str, Shards], most: int, seed: int) -> np.ndarray:
    """At most so many of the galaxies (n,) that have all modalities, chosen by a hash, in rising order."""
    for held in shards.values():
        targetid = targetid[np.isin(targetid, held.targetid)]
    few = np.argsort(uniform(seed, targetid), kind="stable")[:most]
    return np.sort(targetid[few])


@torch.inference_mode()
def redshifts(
    network: nn.Module,
    keys: Mapping[str, str],
    ways: Sequence[Way],
    shards: Mapping[str, Shards],
    targetid: np.ndarray,
    seed: int,
) -> dict[Way, np.ndarray]:
    """What the model says of galaxies (n,) when asked in each way: redshifts (n,).

    Parameters
    ----------
    network : its `question` and `predict` (`skyloom.models.networks`)
    keys : modality -> key of a query that says how much of it is hidden (`ModelKind.hides`)
    shards : the tokens of every modality; the galaxies have all
    """
    questions = {way: network.question("asked", {keys[m]: share for m, share in way.hidden}) for way in ways}
    needed = {way: networks.needs(network, question) for way, question in questions.items()}
    rows = {name: held.rows(targetid) for name, held in shards.items()}
    found = {way: np.full(len(targetid), np.nan) for way in ways}
    for start in range(0, len(targetid), BATCH):
        some = slice(start, start + BATCH)
        data = {name: _read(held, rows[name][some], network.inputs[name]) for name, held in shards.items()}
        ids = torch.from_numpy(targetid[some])
        lengths = {way.exposure for way in ways if SPECTRUM in needed[way]}
        spectra = {share: shorter(data[SPECTRUM], share, targetid[some], seed) for share in lengths}
        for way, question in questions.items():
            given = {name: spectra[way.exposure] if name == SPECTRUM else data[name] for name in needed[way]}
            said = network.predict(Batch(given, targetid=ids), question)["z"]
            found[way][some] = said.double().numpy()
    log.info("%d galaxies asked in %d ways", len(targetid), len(ways))
    return found


def _read(held: Shards, rows: np.ndarray, names: Sequence[str]) -> dict[str, torch.Tensor]:
    read = held.read(rows, names)
    return {name: torch.from_numpy(read[name]) for name in names}


def shorter(spectra: Mapping[str, torch.Tensor], share: float, targetid: np.ndarray, seed: int) -> dict:
    """Spectra, flux and ivar (n, W), as of a share of their exposure: noise of variance (1 / share - 1) / ivar is added
    and ivar falls by it. A galaxy has the same noise at every share and in every survey, but for its size."""
    if share == 1:
        return dict(spectra)
    seeds = (uniform(seed, targetid) * 2.0**53).astype(np.int64)
    width = spectra["flux"].shape[1]
    drawn = np.stack([np.random.default_rng(number).standard_normal(width, np.float32) for number in seeds])
    return shortened(spectra["flux"], spectra["ivar"], share, torch.from_numpy(drawn))
