"""Clusters of embeddings: k-means with its elbow, and HDBSCAN; what their members have in common."""

import logging

import hdbscan
import numpy as np
import pandas
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from skyloom.analysis.clusters import RAW, Settings, figures
from skyloom.analysis.clusters.describe import describe
from skyloom.analysis.clusters.stability import kmeans_fit, stability
from skyloom.analysis.common import neighbours, tables, traits
from skyloom.analysis.common.traits import in_order, read_split
from skyloom.core.mixing import uniform
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

MEMBERS = ["survey", "model", "modality", "method", "targetid", "cluster"]
Scores = list[tuple[str, str, float]]


def cluster(job: Job) -> None:
    """k-means and HDBSCAN of each embedding.

    Inputs: galaxies (targetid, properties), embeddings (tables MODEL-MODALITY.parquet). Outputs: table (csv), members
    (parquet: MEMBERS, of the methods that see all galaxies), figure_kmeans and figure_hdbscan (png). An embedding with
    no more galaxies than the largest k is left out with a line in the log.

    Cost of an embedding of 20,000 galaxies and 512 columns on one core: 13 s (0.65 ms a galaxy), of which HDBSCAN on
    components takes 5, on 5,000 whole embeddings 3; 1.1 GB.
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), settings.properties)
    described = in_order(job.inputs["embeddings"], bool(settings.embeddings))
    rows, members = [], []
    for place in described:
        embedding = read_split(place.path, settings.split)
        n = len(embedding.targetid)
        if n <= max(settings.k):
            log.info("%s: %d galaxies, not more than k = %d: left out", place.name, n, max(settings.k))
            continue
        (scaled,) = neighbours.standardise(embedding.values)
        values = galaxies.reindex(embedding.targetid)
        name = [job.survey, place.model, place.modality]
        everyone = np.arange(n)
        some = sample(embedding.targetid, settings.raw_galaxies, job.seed)
        methods = {"kmeans": (kmeans, everyone), "hdbscan": (density, everyone), RAW: (raw_density, some)}
        for method, (run, who) in methods.items():
            with threadpool_limits(1):  # sums over threads round as their number says
                labels, scores = run(scaled[who], settings, job.seed)
                steady = _steady(scaled, labels, settings, job.seed) if method == "kmeans" else []
            found = describe(labels, values.iloc[who], settings.bins, settings.permutations, job.seed)
            key = [*name, method]
            rows += [tables.row(*key, p, settings.split, metric, v, n=len(who)) for p, metric, v in scores]
            rows += [tables.row(*key, "all", settings.split, "stability", v, ci, n) for v, ci in steady]
            rows += [tables.row(*key, p, settings.split, metric, v, n=len(who)) for p, metric, v in found]
            if len(who) == n and method != RAW:
                columns = [*key, embedding.targetid, labels]
                members.append(pandas.DataFrame(dict(zip(MEMBERS, columns, strict=True))))
        log.info("%s clustered", place.name)
    table = pandas.DataFrame(rows, columns=tables.COLUMNS)
    members = pandas.concat(members, ignore_index=True) if members else pandas.DataFrame(columns=MEMBERS)
    tables.write_csv(job.outputs["table"], table)
    tables.write_parquet(job.outputs["members"], members)
    palette = traits.palette(described)
    figures.draw_kmeans(table, settings.properties, palette, job.outputs["figure_kmeans"])
    figures.draw_hdbscan(table, palette, job.outputs["figure_hdbscan"])


def kmeans(values: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, Scores]:
    """Labels (N,) at the elbow, largest cluster first, and rows (property, metric, value) of the inertia curve.

    `below_chord` is what the elbow is chosen by, see `below_chord`.
    """
    k = sorted(set(settings.k))
    fits = [kmeans_fit(values, n, settings, seed) for n in k]
    places, inertia = np.array(k, dtype=float), np.array([fit.inertia_ for fit in fits])
    best = elbow(places, inertia)
    labels = by_size(fits[best].labels_)
    scores = [(f"k={n}", "inertia", value) for n, value in zip(k, inertia, strict=True)]
    scores += [(f"k={n}", "below_chord", value) for n, value in zip(k, below_chord(places, inertia), strict=True)]
    scores.append(("all", "chosen_k", k[best]))
    if 1 < len(np.unique(labels)) < len(labels):
        sample = min(len(values), 5000)
        silhouette = silhouette_score(values, labels, sample_size=sample, random_state=seed)
        scores.append(("all", "silhouette", silhouette))
    return labels, scores


def below_chord(k: np.ndarray, inertia: np.ndarray) -> np.ndarray:
    """How far each point lies below the chord from the first to the last point, both axes scaled to 0..1.

    Along the inertia; the distance at right angles to the chord is 1/sqrt(2) of it. All 0 if inertia never falls.
    """
    x = (k - k[0]) / (k[-1] - k[0])
    drop = inertia[0] - inertia[-1]
    return 1 - x - (inertia - inertia[-1]) / drop if drop > 0 else np.zeros(len(k))


def elbow(k: np.ndarray, inertia: np.ndarray) -> int:
    """Place of the point farthest below the chord."""
    return int(np.argmax(below_chord(k, inertia)))


def density(values: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, Scores]:
    """HDBSCAN labels (N,), noise -1 and clusters by size, on the leading principal components; it draws nothing."""
    centred = values - values.mean(axis=0)
    width = min(settings.hdbscan_components, *values.shape)
    basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :width]
    model = hdbscan.HDBSCAN(settings.min_cluster_size, settings.min_samples, core_dist_n_jobs=1)
    return _numbered(model.fit_predict((centred @ basis).astype(np.float64)))


def raw_density(values: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, Scores]:
    """HDBSCAN labels (N,) on all columns of a standardised embedding (N, d), as published; it draws nothing.

    In hundreds of dimensions trees find no neighbours faster than one matrix product does: all distances are made at
    once, N^2 doubles, of which HDBSCAN makes a few copies.
    """
    values = values.astype(np.float64)
    squares = (values**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * values @ values.T, 0))
    np.fill_diagonal(distance, 0)
    model = hdbscan.HDBSCAN(settings.raw_min_cluster_size, settings.min_samples, metric="precomputed")
    return _numbered(model.fit_predict(distance))


def sample(targetid: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Rows of at most so many galaxies, by a hash of the targetid, in rising order."""
    return np.sort(np.argsort(uniform(seed, targetid), kind="stable")[:most])


def by_size(labels: np.ndarray) -> np.ndarray:
    """Clusters renumbered from 0, largest first; noise (-1) stays."""
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    renamed = np.full(len(labels), -1)
    for new, old in enumerate(order):
        renamed[labels == old] = new
    return renamed


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, Scores]:
    return by_size(labels), [("all", "clusters", len(np.unique(labels[labels >= 0])))]


def _steady(values: np.ndarray, labels: np.ndarray, settings: Settings, seed: int) -> list:
    """The stability of k-means with as many clusters as the labels have; nothing to be found of one."""
    k = len(np.unique(labels))
    return [stability(values, k, settings, seed)] if k > 1 else []
