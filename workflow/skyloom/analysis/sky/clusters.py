"""k-means of positions on the sphere, and R2 of every model in each cluster."""

import logging

import numpy as np
import pandas
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import bygroup, group_figures, tables
from skyloom.analysis.sky import Settings, figures
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

MEMBERS = ["survey", "targetid", "ra", "dec", "cluster"]


def cluster_sky(job: Job) -> None:
    """Cluster all galaxies of the catalogue by position, score the test galaxies in each cluster.

    Inputs: galaxies (targetid, ra, dec), predictions. Outputs: table (csv, `bygroup.COLUMNS`: rows `count` and
    `share` of each cluster, `r2` of each source and property), members (parquet, MEMBERS), figures. Fewer galaxies with
    a position than clusters: nothing is clustered. Cost: 10 microseconds a galaxy, and the bootstrap's.
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), ["ra", "dec"]).astype(float).dropna()
    rows, members = [], pandas.DataFrame(columns=MEMBERS)
    names: list[str] = []
    if len(galaxies) > settings.clusters:
        with threadpool_limits(1):
            labels = spherical_kmeans(galaxies["ra"], galaxies["dec"], settings.clusters, settings.n_init, job.seed)
        columns = [job.survey, galaxies.index, galaxies["ra"], galaxies["dec"], labels]
        members = pandas.DataFrame(dict(zip(MEMBERS, columns, strict=True))).reset_index(drop=True)
        counts = np.bincount(labels)
        names = [str(number) for number in range(len(counts))]
        for name, count in zip(names, counts, strict=True):
            key = (job.survey, "", "", "kmeans", "position", "all")
            rows.append(tables.row(*key, "count", count, n=len(labels)) | {"group": name})
            rows.append(tables.row(*key, "share", count / len(labels), n=len(labels)) | {"group": name})
        groups = {name: galaxies.index.to_numpy()[labels == number] for number, name in enumerate(names)}
        for predicted in bygroup.read_predictions(job.one("predictions")):
            options = {"resamples": settings.resamples, "seed": job.seed, "least": settings.least}
            rows += bygroup.scored(job.survey, predicted, groups, **options)
    else:
        log.info("%d galaxies have a position: not more than %d clusters", len(galaxies), settings.clusters)
    table = pandas.DataFrame(rows, columns=bygroup.COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    tables.write_parquet(job.outputs["members"], members)
    figures.draw_sky(members, job.outputs["figure"])
    group_figures.draw_by_group(table, names, "cluster of the sky", job.outputs["figure_scores"])


def spherical_kmeans(ra: np.ndarray, dec: np.ndarray, k: int, n_init: int, seed: int) -> np.ndarray:
    """Labels (N,) of k-means of unit vectors, the largest cluster first.

    On the sphere, unlike as published: right ascension wraps at 0, and near the poles a degree of it is short. The
    centres are means of vectors; which is nearest by chord is nearest by angle once they are scaled to unit length, as
    they are for clusters of like extent.

    Parameters
    ----------
    ra, dec : (N,) degrees
    """
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    vectors = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    centres = KMeans(k, n_init=n_init, random_state=seed).fit(vectors).cluster_centers_
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = (vectors @ centres.T).argmax(axis=1)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    return np.argsort(order)[labels]
