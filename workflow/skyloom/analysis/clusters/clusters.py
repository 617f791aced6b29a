"""Clusters of embeddings: k-means with its elbow, and HDBSCAN; what their members have in common."""

import logging
from collections.abc import Iterator

import hdbscan
import numpy as np
import pandas
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score

from skyloom.analysis.clusters import figures
from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import selected
from skyloom.core.errors import BadConfig, BadInput

log = logging.getLogger(__name__)

DEFAULTS = {
    "embeddings": [],  # MODEL-MODALITY names; empty: all
    "split": "all",
    "properties": ["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"],
    "bins": 4,  # quantile bins of a property for the mutual information
    "k": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    "n_init": 3,
    "hdbscan_components": 10,  # principal components HDBSCAN sees: density means little in hundreds of dimensions
    "min_cluster_size": 20,
    "min_samples": 5,
    "seed": 0,
}


def cluster(survey: str, galaxies_path, embedding_paths, outputs: dict, config: dict) -> None:
    """k-means and HDBSCAN of each embedding.

    Parameters
    ----------
    galaxies_path : galaxies.parquet (targetid, properties)
    embedding_paths : files MODEL-MODALITY.parquet
    outputs : paths `table` (csv), `members` (parquet: survey, model, modality, method, targetid, cluster),
        `figure_kmeans` (png) and `figure_hdbscan` (png)
    config : any of DEFAULTS
    """
    config = tables.settings(DEFAULTS, config, "clusters")
    if min(config["n_init"], min(config["k"])) < 1 or len(config["k"]) < 3:
        raise BadConfig(
            f"clusters: k is {config['k']}, n_init {config['n_init']}; need three k or more, all at least 1"
        )
    galaxies = tables.read_galaxies(galaxies_path, columns=config["properties"])
    rows, members = [], []
    for embedding in selected(embedding_paths, config["embeddings"], "clusters"):
        if config["split"] != "all":
            embedding = embedding.select(embedding.split == config["split"])
        if len(embedding.targetid) <= max(config["k"]):
            raise BadInput(
                f"{embedding.name}: {len(embedding.targetid)} galaxies; k-means with k={max(config['k'])} needs more"
            )
        (scaled,) = neighbours.standardise(embedding.values)
        values = galaxies.reindex(embedding.targetid)
        name = {"survey": survey, "model": embedding.model, "modality": embedding.modality}
        for method, run in (("kmeans", kmeans), ("hdbscan", density)):
            labels, scores = run(scaled, config)
            found = [*scores, *describe(labels, values, config["bins"])]
            n = len(labels)
            rows += [tables.row(*name.values(), method, p, config["split"], metric, v, n=n) for p, metric, v in found]
            members.append(
                pandas.DataFrame({**name, "method": method, "targetid": embedding.targetid, "cluster": labels})
            )
        log.info("%s clustered", embedding.name)
    table, members = pandas.DataFrame(rows), pandas.concat(members, ignore_index=True)
    tables.write_csv(outputs["table"], table)
    tables.write_parquet(outputs["members"], members)
    figures.draw_kmeans(table, config["properties"], outputs["figure_kmeans"])
    figures.draw_hdbscan(table, outputs["figure_hdbscan"])


def kmeans(values: np.ndarray, config: dict) -> tuple[np.ndarray, list[tuple[str, str, float]]]:
    """Labels (N,) at the elbow, largest cluster first, and rows (property, metric, value) of the inertia curve."""
    k = sorted(config["k"])
    fits = [
        MiniBatchKMeans(n, init="k-means++", n_init=config["n_init"], random_state=config["seed"], batch_size=2048).fit(
            values
        )
        for n in k
    ]
    best = elbow(np.array(k, dtype=float), np.array([fit.inertia_ for fit in fits]))
    labels = by_size(fits[best].labels_)
    scores = [(f"k={n}", "inertia", fit.inertia_) for n, fit in zip(k, fits, strict=True)]
    scores.append(("all", "chosen_k", k[best]))
    if 1 < len(np.unique(labels)) < len(labels):
        sample = min(len(values), 5000)
        silhouette = silhouette_score(values, labels, sample_size=sample, random_state=config["seed"])
        scores.append(("all", "silhouette", silhouette))
    return labels, scores


def elbow(k: np.ndarray, inertia: np.ndarray) -> int:
    """Place of the point farthest below the chord from the first to the last point, both axes scaled to 0..1."""
    x = (k - k[0]) / (k[-1] - k[0])
    drop = inertia[0] - inertia[-1]
    if drop <= 0:
        return 0
    return int(np.argmax(1 - x - (inertia - inertia[-1]) / drop))


def density(values: np.ndarray, config: dict) -> tuple[np.ndarray, list[tuple[str, str, float]]]:
    """HDBSCAN labels (N,), noise -1 and clusters by size, on the leading principal components."""
    centred = values - values.mean(axis=0)
    width = min(config["hdbscan_components"], *values.shape)
    basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :width]
    model = hdbscan.HDBSCAN(config["min_cluster_size"], config["min_samples"], core_dist_n_jobs=1)
    labels = model.fit_predict((centred @ basis).astype(np.float64))
    return by_size(labels), [("all", "clusters", len(np.unique(labels[labels >= 0])))]


def by_size(labels: np.ndarray) -> np.ndarray:
    """Clusters renumbered from 0, largest first; noise (-1) stays."""
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    renamed = np.full(len(labels), -1)
    for new, old in enumerate(order):
        renamed[labels == old] = new
    return renamed


def describe(labels: np.ndarray, values: pandas.DataFrame, bins: int) -> Iterator[tuple[str, str, float]]:
    """Counts, mean of each property by cluster, and mutual information with binned properties (adjusted for chance)."""
    for c in np.unique(labels):
        yield f"cluster={c}", "count", (labels == c).sum()
        for name in values:
            yield (
                f"cluster={c}",
                f"mean_{name}",
                np.nanmean(values[name][labels == c]) if (values[name][labels == c].notna().any()) else np.nan,
            )
    for name in values:
        known = values[name].notna().to_numpy()
        if known.sum() > bins:
            quantiles = pandas.qcut(values[name][known], bins, labels=False, duplicates="drop")
            yield name, "ami", adjusted_mutual_info_score(quantiles, labels[known])
