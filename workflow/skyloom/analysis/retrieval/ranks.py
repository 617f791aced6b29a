"""Cosine retrieval in every pairing of the modalities of a shared space, with chance beside every number.

Only pairings of two modalities have a true counterpart, hence ranks. In all, those of a modality with itself too, the
redshift of the nearest other galaxy says whether similar in the embedding means similar in the sky. A pairing has the
galaxies that both of its modalities have; their number stands in every line (column n).
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator

import numpy as np
import torch

from skyloom.analysis.common import neighbours, statistics, tables
from skyloom.analysis.common.embeddings import Embedding, open_embedding
from skyloom.analysis.common.traits import Described, describe_all
from skyloom.analysis.retrieval import Settings, figures
from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.figures.samples import Pictures
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

ROUNDING = 2e-6  # of a single-precision dot product of unit vectors: similarities closer than this are ties
LEAST = 2


@dataclasses.dataclass(frozen=True)
class Pairing:
    """Queries among a gallery.

    Attributes
    ----------
    model, query, gallery : names
    targetid, z : (n,) of the galaxies that both modalities have
    queries, others : (n, d) L2-normalised embeddings
    """

    model: str
    query: str
    gallery: str
    targetid: np.ndarray
    z: np.ndarray
    queries: np.ndarray
    others: np.ndarray

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.query}->{self.gallery}"

    @property
    def crosses(self) -> bool:
        """Two modalities: each galaxy has a counterpart."""
        return self.query != self.gallery


def retrieve(job: Job) -> None:
    """Rank every galaxy's counterpart among all of the split.

    Inputs: galaxies (targetid, z), embeddings (tables of models with a shared space), tokens_{modality} (shards, for
    the examples). Outputs: table (csv), figure (png, examples), figure_recall (png, recall against k).
    """
    settings: Settings = job.settings
    galaxies = tables.read_galaxies(job.one("galaxies"), columns=["z"])
    pictures = {m: Pictures(m, job.inputs[f"tokens_{m}"]) for m in _modalities(job)}
    rows, curves, examples = [], {}, []
    for pair in pairings(describe_all(job.inputs["embeddings"]), galaxies["z"], settings.split):
        if len(pair.targetid) < LEAST:
            log.info("%s, %s: %d galaxies: left out", pair.model, pair.name, len(pair.targetid))
            continue
        rank = ranks(pair.queries, pair.others) if pair.crosses else None
        rows += [*measure(job.survey, pair, rank, settings, job.seed), *chance(job.survey, pair, settings, job.seed)]
        if rank is not None:
            curves[f"{pair.model}, {pair.query} -> {pair.gallery}"] = rank
        examples += example_rows(pair, rank, pictures, settings)
        log.info("%s, %s: %d galaxies of the %s split", pair.model, pair.name, len(pair.targetid), settings.split)
    tables.write_csv(job.outputs["table"], rows)
    figures.draw_ranks(curves, job.outputs["figure_recall"])
    figures.draw_retrieval(examples, job.outputs["figure"])


def _modalities(job: Job) -> list[str]:
    return [role.removeprefix("tokens_") for role in job.inputs if role.startswith("tokens_")]


def pairings(described: list[Described], z, split: str) -> Iterator[Pairing]:
    """Every ordered pair of the modalities of each model, then each modality with itself; `z` by targetid.

    BadInput if two modalities of a model do not share a space.
    """
    for model in dict.fromkeys(e.model for e in described):
        own = {}
        for place in described:
            if place.model == model:
                file = open_embedding(place.path)
                known = (file.split == split) & np.isin(file.targetid, z.index.to_numpy())
                own[place.modality] = file.read(file.targetid[known])
        for query, gallery in [*itertools.permutations(own, 2), *zip(own, own, strict=True)]:
            targetid = np.intersect1d(own[query].targetid, own[gallery].targetid)
            vectors = unit(own[query], own[gallery], targetid)
            yield Pairing(model, query, gallery, targetid, z.loc[targetid].to_numpy(float), *vectors)


def unit(query: Embedding, gallery: Embedding, targetid: np.ndarray) -> list[np.ndarray]:
    """L2-normalised embeddings (n, d) of two modalities; BadInput if they do not share a space."""
    if query.width != gallery.width:
        widths = f"{query.name} has {query.width} dimensions, {gallery.name} {gallery.width}"
        raise BadInput(f"retrieval: {widths}: not one space")
    found = (e.of(targetid) for e in (query, gallery))
    return [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in found]


def ranks(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Rank (n,) of gallery row i for query row i by dot product of unit vectors: 1 is best, ties share their mean rank.

    An encoder that has collapsed to one point gets (n + 1) / 2 everywhere, not 1.
    """
    queries, gallery = torch.as_tensor(queries), torch.as_tensor(gallery)
    found = []
    for rows in torch.arange(len(queries)).split(max(1, neighbours.BLOCK // len(gallery))):
        similarity = queries[rows] @ gallery.T
        own = similarity[torch.arange(len(rows)), rows][:, None]
        tied = (similarity - own).abs() <= ROUNDING
        found.append(1 + ((similarity > own) & ~tied).sum(1) + (tied.sum(1) - 1) / 2)
    return torch.cat(found).double().numpy()


def measure(survey: str, pair: Pairing, rank: np.ndarray | None, settings: Settings, seed: int) -> Iterator[dict]:
    """Rows of recall, median and mean reciprocal rank (of two modalities), and of the redshift of the nearest other."""
    count, split = settings.resamples, settings.split
    key = (survey, pair.model, pair.name, "cosine")
    for name, function in rank_metrics(settings.top).items() if rank is not None else ():
        ci = statistics.interval(statistics.bootstrap(function, rank, count=count, seed=seed))
        yield tables.row(*key, "identity", split, name, function(rank), ci, len(rank))
    z, near = pair.z, pair.z[_nearest(pair, 1, skip_self=True)[:, 0]]  # its own counterpart has its own redshift
    known = np.isfinite(z) & np.isfinite(near)
    if known.any():
        ci = statistics.interval(statistics.bootstrap(_typical_dz, z[known], near[known], count=count, seed=seed))
        value = _typical_dz(z[known], near[known])
        yield tables.row(*key, "z", split, "median_abs_dz", value, ci, known.sum())


def chance(survey: str, pair: Pairing, settings: Settings, seed: int) -> Iterator[dict]:
    """The same metrics for a random order of n galaxies: k/n, (n+1)/2, H_n/n, and dz to a random other galaxy."""
    key, n = (survey, pair.model, pair.name, "chance"), len(pair.targetid)
    expected = {f"recall@{k}": min(k / n, 1.0) for k in settings.top}
    expected |= {"median_rank": (n + 1) / 2, "mean_reciprocal_rank": (1 / np.arange(1, n + 1)).mean()}
    for name, value in expected.items() if pair.crosses else ():
        yield tables.row(*key, "identity", settings.split, name, value, n=n)
    known = pair.z[np.isfinite(pair.z)]
    if len(known) > 1:
        order = np.random.default_rng(seed).permutation(len(known))
        value = _typical_dz(known[order], known[np.roll(order, 1)])
        yield tables.row(*key, "z", settings.split, "median_abs_dz", value, n=n)


def example_rows(pair: Pairing, rank: np.ndarray | None, pictures: dict[str, Pictures], settings: Settings) -> list:
    """What `figures.draw_retrieval` draws: a few queries, spread over redshift."""
    order = np.argsort(pair.z, kind="stable")
    places = np.linspace(0.25, 0.85, settings.examples) * (len(order) - 1)
    near = _nearest(pair, min(settings.neighbours, len(order) - 1), skip_self=not pair.crosses)
    rows = []
    for i in order[places.round().astype(int)]:
        panels = [_panel(pictures[pair.query], pair, i, "query", "query")]
        if rank is not None:
            panels.append(_panel(pictures[pair.gallery], pair, i, f"its own, rank {rank[i]:.0f}", "match"))
        for place, j in enumerate(near[i], 1):
            panels.append(_panel(pictures[pair.gallery], pair, j, f"#{place}", "match" if j == i else ""))
        rows.append({"title": f"{style.pretty(pair.model)}\n{pair.query} ->\n{pair.gallery}", "panels": panels})
    return rows


def _panel(pictures: Pictures, pair: Pairing, row: int, text: str, frame: str) -> dict:
    data = pictures.need(pair.targetid[row])
    return {"form": pictures.form, "data": data, "note": f"{text}  z={pair.z[row]:.3f}", "frame": frame}


def _nearest(pair: Pairing, k: int, skip_self: bool) -> np.ndarray:
    """Row numbers (n, k) of the most similar gallery rows; with `skip_self`, row i is never its own neighbour."""
    found = neighbours.nearest(pair.queries, pair.others, k + skip_self, "cosine")[1]
    if not skip_self:
        return found
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True  # a twin pushed the galaxy itself out of its own list: drop the last one instead
    return found[~own].reshape(len(found), -1)


def rank_metrics(top: list[int]) -> dict:
    """Functions of ranks along the last axis, by the name of their metric."""
    metrics = {f"recall@{k}": lambda rank, k=k: (rank <= k).mean(axis=-1) for k in top}
    metrics["median_rank"] = lambda rank: np.median(rank, axis=-1)
    metrics["mean_reciprocal_rank"] = lambda rank: (1 / rank).mean(axis=-1)
    return metrics


def _typical_dz(z: np.ndarray, other: np.ndarray) -> np.ndarray | float:
    return np.median(np.abs(statistics.delta_z(z, other)), axis=-1)
