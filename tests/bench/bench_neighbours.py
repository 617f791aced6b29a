"""The neighbours of 40,000 queries among 160,000 rows of 512 numbers, timed against scikit-learn: they must be its own.

Run: ``PYTHONPATH=workflow python tests/bench/bench_neighbours.py [--device cuda] [--queries 40000] [--k 64]``

The two take turns on parts of the queries, so that whatever else the machine does meets both. scikit-learn always runs
on the CPU, with as many threads as ours.
"""

import argparse
import resource
import time

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from skyloom.analysis.common.neighbours import nearest

ROUNDS = 4


def embeddings(rows: int, width: int, intrinsic: int, seed: int) -> np.ndarray:
    """Standard normal rows, (rows, width) float32; a curved sheet of `intrinsic` dimensions with .1 noise, unless 0."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((rows, width), dtype=np.float32)
    if not intrinsic:
        return noise
    mix = np.random.default_rng(0).standard_normal((2 * intrinsic, width), dtype=np.float32)
    latent = rng.standard_normal((rows, intrinsic), dtype=np.float32)
    return np.concatenate([np.sin(2 * latent), latent], axis=1) @ mix / intrinsic**0.5 + 0.1 * noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    for name, value in (("queries", 40_000), ("rows", 160_000), ("width", 512), ("k", 64), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--intrinsic", type=int, default=0, help="dimensions of the data; 0: all of them (normal)")
    config = parser.parse_args()
    torch.set_num_threads(config.threads)
    reference = embeddings(config.rows, config.width, config.intrinsic, 1)
    queries = embeddings(config.queries, config.width, config.intrinsic, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    nearest(queries[:64], reference[:20_000], config.k, device=config.device)  # imports are not timed
    theirs = NearestNeighbors(algorithm="brute").fit(reference)
    ours_s, theirs_s, peak, same, worst = [], [], 0.0, 0, 0.0
    with threadpool_limits(config.threads):
        for part in np.array_split(queries, ROUNDS):
            start = time.perf_counter()
            distance, index = nearest(part, reference, config.k, device=config.device)
            ours_s.append(time.perf_counter() - start)
            peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # before theirs adds to it
            start = time.perf_counter()
            expected, order = theirs.kneighbors(part, config.k)
            theirs_s.append(time.perf_counter() - start)
            same += int((index == order).all(axis=1).sum())
            worst = max(worst, float(np.abs(distance - expected).max()))
    ratios = np.divide(theirs_s, ours_s)
    print(f"{config.queries} x {config.rows} x {config.width}, k {config.k}, {config.device}, {config.threads} threads")
    print(f"same neighbours in the same order: {same} of {config.queries}; distances differ by at most {worst:.1e}")
    print(f"skyloom {sum(ours_s):.1f} s, scikit-learn {sum(theirs_s):.1f} s, ratio {sum(theirs_s) / sum(ours_s):.2f}")
    print(f"ratio of each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(f"peak memory {peak:.2f} GiB, of which {before:.2f} GiB before the search")


if __name__ == "__main__":
    main()
