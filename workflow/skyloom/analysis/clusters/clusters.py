"""Clusters of embeddings: k-means with its elbow, and HDBSCAN; what their members have in common."""

import logging
from collections.abc import Iterator

import hdbscan
import numpy as np
import pandas
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score

from skyloom.analysis.clusters import Settings, figures
from skyloom.analysis.common import neighbours, tables, traits
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.common.traits import in_order
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

MEMBERS = ["survey", "model", "modality", "method", "targetid", "cluster"]


def cluster(job: Job) -> None:
    """k-means and HDBSCAN of each embedding.

    Inputs: galaxies (targetid, properties), embeddings (tables MODEL-MODALITY.parquet). Outputs: table (csv), members
    (parquet: MEMBERS), figure_kmeans and figure_hdbscan (png). An embedding with no more galaxies than the largest k is
    left out with a line in the log.
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), settings.properties)
    described = in_order(job.inputs["embeddings"], bool(settings.embeddings))
    rows, members = [], []
    for place in described:
        embedding = read_embedding(place.path)
        if settings.split != "all":
            embedding = embedding.select(embedding.split == settings.split)
        n = len(embedding.targetid)
        if n <= max(settings.k):
            log.info("%s: %d galaxies, not more than k = %d: left out", place.name, n, max(settings.k))
            continue
        (scaled,) = neighbours.standardise(embedding.values)
        values = galaxies.reindex(embedding.targetid)
        name = [job.survey, place.model, place.modality]
        for method, run in (("kmeans", kmeans), ("hdbscan", density)):
            labels, scores = run(scaled, settings, job.seed)
            found = [*scores, *describe(labels, values, settings.bins)]
            rows += [tables.row(*name, method, p, settings.split, metric, v, n=n) for p, metric, v in found]
            columns = [*name, method, embedding.targetid, labels]
            members.append(pandas.DataFrame(dict(zip(MEMBERS, columns, strict=True))))
        log.info("%s clustered", place.name)
    table = pandas.DataFrame(rows, columns=tables.COLUMNS)
    members = pandas.concat(members, ignore_index=True) if members else pandas.DataFrame(columns=MEMBERS)
    tables.write_csv(job.outputs["table"], table)
    tables.write_parquet(job.outputs["members"], members)
    palette = traits.palette(described)
    figures.draw_kmeans(table, settings.properties, palette, job.outputs["figure_kmeans"])
    figures.draw_hdbscan(table, palette, job.outputs["figure_hdbscan"])


def kmeans(values: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, list[tuple[str, str, float]]]:
    """Labels (N,) at the elbow, largest cluster first, and rows (property, metric, value) of the inertia curve."""
    k = sorted(settings.k)
    options = {"init": "k-means++", "n_init": settings.n_init, "random_state": seed, "batch_size": 2048}
    fits = [MiniBatchKMeans(n, **options).fit(values) for n in k]
    best = elbow(np.array(k, dtype=float), np.array([fit.inertia_ for fit in fits]))
    labels = by_size(fits[best].labels_)
    scores = [(f"k={n}", "inertia", fit.inertia_) for n, fit in zip(k, fits, strict=True)]
    scores.append(("all", "chosen_k", k[best]))
    if 1 < len(np.unique(labels)) < len(labels):
        sample = min(len(values), 5000)
        silhouette = silhouette_score(values, labels, sample_size=sample, random_state=seed)
        scores.append(("all", "silhouette", silhouette))
    return labels, scores


def elbow(k: np.ndarray, inertia: np.ndarray) -> int:
    """Place of the point farthest below the chord from the first to the last point, both axes scaled to 0..1."""
    x = (k - k[0]) / (k[-1] - k[0])
    drop = inertia[0] - inertia[-1]
    if drop <= 0:
        return 0
    return int(np.argmax(1 - x - (inertia - inertia[-1]) / drop))


def density(values: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, list[tuple[str, str, float]]]:
    """HDBSCAN labels (N,), noise -1 and clusters by size, on the leading principal components; it draws nothing."""
    centred = values - values.mean(axis=0)
    width = min(settings.hdbscan_components, *values.shape)
    basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :width]
    model = hdbscan.HDBSCAN(settings.min_cluster_size, settings.min_samples, core_dist_n_jobs=1)
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
