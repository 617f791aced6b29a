"""Cosine retrieval in every pairing of the modalities of a shared space, with chance beside every number.

Only pairings of two modalities have a true counterpart, hence ranks. In all, those of a modality with itself too, the
redshift of the nearest other galaxy says whether similar in the embedding means similar in the sky, and its mass,
colour and size whether it does so beyond redshift (`likeness`). A pairing has the galaxies that both of its modalities
have; their number stands in every line (column n). What redshift alone would find: `narrow`.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.common.traits import describe_all
from skyloom.analysis.retrieval import Settings, figures, likeness, narrow, overlays
from skyloom.analysis.retrieval.pairs import Pairing, nearest, pairings
from skyloom.analysis.retrieval.similarity import ranks
from skyloom.figures import style
from skyloom.figures.samples import Pictures
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

LEAST = 2


def retrieve(job: Job) -> None:
    """Rank every galaxy's counterpart among all of the split, and among those of its redshift.

    Inputs: galaxies (targetid, z, what `likeness` names), embeddings (tables of models with a shared space),
    tokens_{modality} (shards, for the examples). Outputs: table (csv), figure (png, examples), figure_spectra
    (png, their spectra laid over each other), figure_recall (png, recall against k), figure_likeness (png, rank and
    likeness at the same redshift).

    Cost: the galaxies of a pairing are compared N x N, in blocks of 64 MiB. 20,000 of 512 dimensions take 25 s of CPU
    if it crosses modalities (1.2 ms a galaxy), 12 s if not, the bootstrap included.
    """
    settings: Settings = job.settings
    galaxies = tables.read_galaxies(job.one("galaxies"), columns=["z"])
    values = likeness.read(job.one("galaxies"), settings.likeness)
    pictures = {m: Pictures(m, job.inputs[f"tokens_{m}"]) for m in _modalities(job)}
    rows, curves, examples = [], {}, []
    for pair in pairings(describe_all(job.inputs["embeddings"]), galaxies["z"], settings.split):
        if len(pair.targetid) < LEAST:
            log.info("%s, %s: %d galaxies: left out", pair.model, pair.name, len(pair.targetid))
            continue
        rank = ranks(pair.queries, pair.others) if pair.crosses else None
        found = nearest(pair, narrow.VOTING, skip_self=True)
        rows += measure(job.survey, pair, rank, found[:, 0], settings, job.seed)
        rows += chance(job.survey, pair, settings, job.seed)
        rows += likeness.alike(job.survey, pair, found[:, 0], values, settings, job.seed)
        if rank is not None:
            rows += narrow.within(job.survey, pair, settings, job.seed)
            rows += narrow.by_redshift(job.survey, pair, found, settings, job.seed)
            curves[f"{pair.model}, {pair.query} -> {pair.gallery}"] = rank
        examples += example_rows(pair, rank, pictures, settings)
        log.info("%s, %s: %d galaxies of the %s split", pair.model, pair.name, len(pair.targetid), settings.split)
    tables.write_csv(job.outputs["table"], rows)
    table = pandas.DataFrame(rows, columns=tables.COLUMNS)
    figures.draw_likeness(table, settings.narrow, job.outputs["figure_likeness"])
    figures.draw_ranks(curves, job.outputs["figure_recall"])
    figures.draw_retrieval(examples, job.outputs["figure"])
    overlays.draw_overlays(examples, job.outputs["figure_spectra"])


def _modalities(job: Job) -> list[str]:
    return [role.removeprefix("tokens_") for role in job.inputs if role.startswith("tokens_")]


def measure(
    survey: str, pair: Pairing, rank: np.ndarray | None, near: np.ndarray, settings: Settings, seed: int
) -> Iterator[dict]:
    """Rows of recall, median and mean reciprocal rank (of two modalities), and of the redshift of the nearest other.

    `near` (n,): rows of the nearest other galaxies; its own counterpart has its own redshift.
    """
    count, split = settings.resamples, settings.split
    key = (survey, pair.model, pair.name, "cosine")
    for name, function in rank_metrics(settings.top).items() if rank is not None else ():
        ci = statistics.interval(statistics.bootstrap(function, rank, count=count, seed=seed))
        yield tables.row(*key, "identity", split, name, function(rank), ci, len(rank))
    z, other = pair.z, pair.z[near]
    known = np.isfinite(z) & np.isfinite(other)
    if known.any():
        ci = statistics.interval(statistics.bootstrap(_typical_dz, z[known], other[known], count=count, seed=seed))
        value = _typical_dz(z[known], other[known])
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
    shown = order[places.round().astype(int)]
    near = nearest(pair, min(settings.neighbours, len(order) - 1), not pair.crosses, shown)
    rows = []
    for i, found in zip(shown, near, strict=True):
        panels = [_panel(pictures[pair.query], pair, i, "query", "query")]
        if rank is not None:
            panels.append(_panel(pictures[pair.gallery], pair, i, f"its own, rank {rank[i]:.0f}", "match"))
        for place, j in enumerate(found, 1):
            panels.append(_panel(pictures[pair.gallery], pair, j, f"#{place}", "match" if j == i else ""))
        rows.append({"title": f"{style.pretty(pair.model)}\n{pair.query} ->\n{pair.gallery}", "panels": panels})
    return rows


def _panel(pictures: Pictures, pair: Pairing, row: int, text: str, frame: str) -> dict:
    data = pictures.need(pair.targetid[row])
    return {"form": pictures.form, "data": data, "note": f"{text}  z={pair.z[row]:.3f}", "frame": frame}


def rank_metrics(top: list[int]) -> dict:
    """Functions of ranks along the last axis, by the name of their metric."""
    metrics = {f"recall@{k}": lambda rank, k=k: (rank <= k).mean(axis=-1) for k in top}
    metrics["median_rank"] = lambda rank: np.median(rank, axis=-1)
    metrics["mean_reciprocal_rank"] = lambda rank: (1 / rank).mean(axis=-1)
    return metrics


def _typical_dz(z: np.ndarray, other: np.ndarray) -> np.ndarray | float:
    return np.median(np.abs(statistics.delta_z(z, other)), axis=-1)
