"""Does an image find its own spectrum? Cosine retrieval in four pairings, with chance beside every number.

Only the cross pairings have a true counterpart, hence ranks. In all four, the redshift of the nearest other galaxy says
whether similar in the embedding means similar in the sky.
"""

import itertools
import logging
from collections.abc import Iterator

import numpy as np
import torch

from skyloom.analysis.common import neighbours, statistics, tables
from skyloom.analysis.common.embeddings import Embedding, common_galaxies, read_embeddings
from skyloom.analysis.retrieval import figures
from skyloom.core.errors import BadInput
from skyloom.tokens.store import Shards

log = logging.getLogger(__name__)

DEFAULTS = {
    "models": ["astroclip"],  # models that embed image and spectrum in one space
    "split": "test",
    "top": [1, 5, 10],
    "resamples": 1000,
    "seed": 0,
    "examples": 2,  # queries shown in each pairing
    "neighbours": 4,  # retrieved galaxies shown
}
CROSS = [("image", "spectrum"), ("spectrum", "image")]
ROUNDING = 2e-6  # of a single-precision dot product of unit vectors: similarities closer than this are ties
PAIRINGS = [*CROSS, ("image", "image"), ("spectrum", "spectrum")]


def retrieve(
    survey: str, galaxies_path, embedding_paths, shard_paths: dict[str, list], outputs: dict, config: dict
) -> None:
    """Rank every galaxy's counterpart among all of the split.

    Parameters
    ----------
    galaxies_path : galaxies.parquet (targetid, z)
    embedding_paths : MODEL-image.parquet and MODEL-spectrum.parquet of each of config["models"]; others are ignored
    shard_paths : {"image": [...], "spectrum": [...]} token shards, for the examples
    outputs : paths `table` (csv), `figure` (png, examples), `figure_recall` (png, recall against k)
    config : any of DEFAULTS
    """
    config = tables.settings(DEFAULTS, config, "retrieval")
    galaxies = tables.read_galaxies(galaxies_path, columns=["z"])
    embeddings = [e for e in read_embeddings(embedding_paths) if e.model in config["models"]]
    rows, curves, examples = [], {}, []
    for model in config["models"]:
        pair = {e.modality: e.select(e.split == config["split"]) for e in embeddings if e.model == model}
        if set(pair) != {"image", "spectrum"}:
            raise BadInput(
                f"retrieval: model {model} needs the files {model}-image.parquet and {model}-spectrum.parquet"
            )
        targetid = common_galaxies(list(pair.values()), galaxies)
        z = galaxies["z"].loc[targetid].to_numpy()
        log.info("%s: %d galaxies of the %s split", model, len(targetid), config["split"])
        rows += [*measure(survey, model, pair, targetid, z, config), *chance(survey, model, targetid, z, config)]
        curves |= {f"{model}, {a} -> {b}": ranks(*unit(pair, targetid, a, b)) for a, b in CROSS}
        examples += example_rows(pair, targetid, z, shard_paths, config)
    tables.write_csv(outputs["table"], rows)
    figures.draw_ranks(curves, len(targetid), outputs["figure_recall"])
    figures.draw_retrieval(examples, outputs["figure"])


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


def unit(pair: dict[str, Embedding], targetid: np.ndarray, query: str, gallery: str) -> list[np.ndarray]:
    """L2-normalised embeddings (n, d) of two modalities; BadInput if they do not share a space."""
    found = [pair[m].of(targetid) for m in (query, gallery)]
    if found[0].shape[1] != found[1].shape[1]:
        model, widths = pair[query].model, [x.shape[1] for x in found]
        raise BadInput(
            f"retrieval: {model}-{query} has {widths[0]} dimensions, {model}-{gallery} {widths[1]}: not one space"
        )
    return [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in found]


def measure(survey, model: str, pair: dict, targetid: np.ndarray, z: np.ndarray, config: dict) -> Iterator[dict]:
    """Rows of recall, median and mean reciprocal rank (cross pairings), and of the redshift of the nearest other."""
    count, seed = config["resamples"], config["seed"]
    for query, gallery in PAIRINGS:
        queries, others = unit(pair, targetid, query, gallery)
        key = (survey, model, f"{query}->{gallery}", "cosine")
        if query != gallery:
            rank = ranks(queries, others)
            for name, function in _rank_metrics(config["top"]).items():
                ci = statistics.interval(statistics.bootstrap(function, rank, count=count, seed=seed))
                yield tables.row(*key, "identity", config["split"], name, function(rank), ci, len(rank))
        near = z[_nearest(queries, others, 1, skip_self=True)[:, 0]]  # its own counterpart has its own redshift
        known = np.isfinite(z) & np.isfinite(near)
        ci = statistics.interval(statistics.bootstrap(_typical_dz, z[known], near[known], count=count, seed=seed))
        yield tables.row(
            *key, "z", config["split"], "median_abs_dz", _typical_dz(z[known], near[known]), ci, known.sum()
        )


def chance(survey: str, model: str, targetid: np.ndarray, z: np.ndarray, config: dict) -> Iterator[dict]:
    """The same metrics for a random order of n galaxies: k/n, (n+1)/2, H_n/n, and dz to a random other galaxy."""
    n = len(targetid)
    expected = {f"recall@{k}": min(k / n, 1.0) for k in config["top"]}
    expected |= {"median_rank": (n + 1) / 2, "mean_reciprocal_rank": (1 / np.arange(1, n + 1)).mean()}
    for (query, gallery), (name, value) in itertools.product(CROSS, expected.items()):
        yield tables.row(survey, model, f"{query}->{gallery}", "chance", "identity", config["split"], name, value, n=n)
    known = z[np.isfinite(z)]
    order = np.random.default_rng(config["seed"]).permutation(len(known))
    for query, gallery in PAIRINGS:
        value = _typical_dz(known[order], known[np.roll(order, 1)])
        yield tables.row(
            survey, model, f"{query}->{gallery}", "chance", "z", config["split"], "median_abs_dz", value, n=n
        )


def example_rows(pair: dict, targetid: np.ndarray, z: np.ndarray, shard_paths: dict, config: dict) -> list[dict]:
    """What `figures.draw_retrieval` draws: for each pairing a few queries, spread over redshift."""
    order = np.argsort(z, kind="stable")
    places = np.linspace(0.25, 0.85, config["examples"]) * (len(order) - 1)
    chosen = order[places.round().astype(int)]
    shards = {modality: Shards(paths) for modality, paths in shard_paths.items()}
    rows = []
    for query, gallery in PAIRINGS:
        queries, others = unit(pair, targetid, query, gallery)
        rank = ranks(queries, others)
        near = _nearest(queries, others, config["neighbours"], skip_self=query == gallery)
        for i in chosen:
            panels = [_panel(shards, query, targetid[i], z[i], "query", "query")]
            if query != gallery:
                panels.append(_panel(shards, gallery, targetid[i], z[i], f"its own, rank {rank[i]:.0f}", "match"))
            for place, j in enumerate(near[i], 1):
                panels.append(_panel(shards, gallery, targetid[j], z[j], f"#{place}", "match" if j == i else ""))
            rows.append({"title": f"{query} ->\n{gallery}", "panels": panels})
    return rows


def _panel(shards: dict[str, Shards], modality: str, targetid: int, z: float, text: str, frame: str) -> dict:
    store, names = shards[modality], ["rgb"] if modality == "image" else ["flux", "ivar"]
    found = store.rows(np.array([targetid]))
    if found[0] < 0:
        raise BadInput(f"{store.paths[0]}: targetid {targetid} has an embedding but no {modality} in the token shards")
    data = store.read(found, names)
    data = data["rgb"][0] if modality == "image" else np.stack([data["flux"][0], data["ivar"][0]])
    return {"modality": modality, "data": data, "note": f"{text}  z={z:.3f}", "frame": frame}


def _nearest(queries: np.ndarray, gallery: np.ndarray, k: int, skip_self: bool) -> np.ndarray:
    """Row numbers (n, k) of the most similar gallery rows; with `skip_self`, row i is never its own neighbour."""
    found = neighbours.nearest(queries, gallery, k + skip_self, "cosine")[1]
    if not skip_self:
        return found
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True  # a twin pushed the galaxy itself out of its own list: drop the last one instead
    return found[~own].reshape(len(found), -1)


def _rank_metrics(top: list[int]) -> dict:
    metrics = {f"recall@{k}": lambda rank, k=k: (rank <= k).mean(axis=-1) for k in top}
    metrics["median_rank"] = lambda rank: np.median(rank, axis=-1)
    metrics["mean_reciprocal_rank"] = lambda rank: (1 / rank).mean(axis=-1)
    return metrics


def _typical_dz(z: np.ndarray, other: np.ndarray) -> np.ndarray | float:
    return np.median(np.abs(statistics.delta_z(z, other)), axis=-1)
