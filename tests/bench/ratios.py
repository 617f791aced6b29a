"""What the benchmark's analyses take, over what plain scikit-learn and numpy take on the same arrays, in turns.

Used by ``tests.bench.bench_benchmark``; the answers of the two are compared too, so that no ratio is of other work.
"""

import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

from skyloom.analysis.clusters import Settings as Clusters
from skyloom.analysis.clusters.stability import kmeans_fit
from skyloom.analysis.common import neighbours, statistics
from skyloom.analysis.common.projection import flattened
from skyloom.analysis.umap import Settings as Umap
from tests.bench.bench_neighbours import embeddings

ROUNDS = 4
NEIGHBOURS, PROPERTIES, MODELS, RESAMPLES, INTRINSIC = 64, 5, 10, 1000, 8


def report(galaxies: int, width: int, threads: int) -> None:
    """Print a line for each of kNN regression, k-means and the paired bootstrap."""
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        for name, ours, theirs, same in (knn(galaxies, width), kmeans(galaxies, width), bootstrap(galaxies)):
            ratio = sum(theirs) / sum(ours)
            rounds = ", ".join(f"{b / a:.2f}" for a, b in zip(ours, theirs, strict=True))
            print(f"{name}: skyloom {sum(ours):.2f} s, plain {sum(theirs):.2f} s, ratio {ratio:.2f} ({rounds}); {same}")


def knn(galaxies: int, width: int) -> tuple:
    """Of five properties, weighted by distance, against KNeighborsRegressor: a fifth of the galaxies is asked."""
    reference = embeddings(galaxies - galaxies // 5, width, INTRINSIC, 1)
    queries = embeddings(galaxies // 5, width, INTRINSIC, 2)
    k = min(NEIGHBOURS, len(reference))
    labels = np.random.default_rng(3).normal(size=(len(reference), PROPERTIES))
    neighbours.nearest(queries[:64], reference[:1000], min(k, 1000))  # imports are not timed
    ours, theirs, worst = [], [], 0.0

    def predicted(part: np.ndarray) -> np.ndarray:
        distance, index = neighbours.nearest(part, reference, k)
        return np.stack([neighbours.average(distance, labels[:, p][index]) for p in range(PROPERTIES)], axis=1)

    plain = KNeighborsRegressor(k, weights="distance", algorithm="brute").fit(reference, labels)
    for part in np.array_split(queries, ROUNDS):
        found = timed(ours, lambda part=part: predicted(part))
        expected = timed(theirs, lambda part=part: plain.predict(part))
        worst = max(worst, float(np.abs(found - expected).max()))
    name = f"kNN regression, {len(queries)} x {len(reference)} x {width}"
    return name, ours, theirs, f"differ by at most {worst:.1e}"


def kmeans(galaxies: int, width: int) -> tuple:
    """The fits of the elbow, against KMeans with as many starts."""
    (values,) = neighbours.standardise(embeddings(galaxies, width, INTRINSIC, 1))
    settings = Clusters()
    ours, theirs, worse = [], [], 0.0
    kmeans_fit(values[:200], 2, settings, 0)
    for number in settings.k:
        fit = timed(ours, lambda number=number: kmeans_fit(values, number, settings, 0))
        plain = KMeans(number, n_init=settings.n_init, random_state=0)
        timed(theirs, lambda plain=plain: plain.fit(values))
        worse = max(worse, float(fit.inertia_ / plain.inertia_ - 1))
    name = f"k-means, {galaxies} x {width}, k {settings.k[0]} to {settings.k[-1]}"
    return name, ours, theirs, f"inertia larger by at most {worse:.2%}"


def bootstrap(galaxies: int) -> tuple:
    """R2 of ten models, each two of them paired, against numpy on the rows of the same resamples, one by one."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=galaxies)
    predictions = truth + rng.uniform(0.2, 1, (MODELS, 1)) * rng.normal(size=(MODELS, galaxies))
    ours, theirs, worst, count = [], [], 0.0, RESAMPLES // ROUNDS

    def plainly(seed: int) -> np.ndarray:
        found = []
        for rows in (rows for block in statistics.resamples(galaxies, count, seed) for rows in block):
            own, said = truth[rows], predictions[:, rows]
            found.append(1 - ((own - said) ** 2).sum(axis=1) / ((own - own.mean()) ** 2).sum())
        return np.stack(found, axis=1)

    for seed in range(ROUNDS):
        found = timed(ours, lambda seed=seed: statistics.bootstrap_r2_of_many(truth, predictions, None, count, seed))
        expected = timed(theirs, lambda seed=seed: plainly(seed))
        worst = max(worst, float(np.abs(found[:, 0] - expected).max()))
    name = f"paired bootstrap, {MODELS} models, {galaxies} galaxies, {RESAMPLES} resamples"
    return name, ours, theirs, f"differ by at most {worst:.1e}"


def umap(galaxies: int, width: int, threads: int) -> None:
    """Print the seconds of the UMAP of an embedding, and those of a small one before it, which compiles."""
    torch.set_num_threads(threads)
    settings = Umap()
    options = settings.n_neighbors, settings.min_dist, settings.n_epochs, 0
    values, seconds = embeddings(galaxies, width, INTRINSIC, 1), []
    with threadpool_limits(threads):
        timed(seconds, lambda: flattened(values[:300], *options))
        timed(seconds, lambda: flattened(values, *options))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    first = f"{seconds[0]:.1f} s for a first one of 300, which imports and compiles"
    print(f"UMAP, {galaxies} x {width}: {seconds[1]:.1f} s, after {first}; peak memory {peak:.2f} GiB")


def timed(seconds: list[float], work: Callable):
    """What the work gives; its seconds are put to the list."""
    start = time.perf_counter()
    found = work()
    seconds.append(time.perf_counter() - start)
    return found
