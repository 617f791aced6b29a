"""How long an index of synthetic embeddings takes to build, how fast it answers, what it finds, what memory it takes.

    python -m tests.bench.bench_search [--galaxies 100000] [--width 128] [--threads 2] [--folder /tmp/search]

The embeddings are a bent surface of 12 dimensions with noise, as those of galaxies are. What is aimed at: a million by
128 and by 512 within 15 minutes on two cores, the slowest twentieth of queries below 50 ms.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LATENT, HIDDEN, NOISE, BLOCK = 12, 64, 0.05, 2**14


def write_table(path: Path, galaxies: int, width: int) -> None:
    """Synthetic embeddings as the workflow writes them."""
    rng = np.random.default_rng(1)
    inner, outer = rng.normal(size=(LATENT, HIDDEN)) / LATENT**0.5, rng.normal(size=(HIDDEN, width)) / HIDDEN**0.5
    about = json.dumps({"model": "synthetic", "modality": "spectrum", "shared_space": False, "trained": True})
    vector = pa.list_(pa.float32(), width)
    schema = pa.schema(
        [("targetid", pa.int64()), ("split", pa.string()), ("embedding", vector)], metadata={"skyloom": about}
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, galaxies, BLOCK):
            count = min(BLOCK, galaxies - first)
            values = np.tanh(rng.normal(size=(count, LATENT)) @ inner) @ outer + NOISE * rng.normal(size=(count, width))
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel().astype("f4")), width)
            writer.write_table(pa.table([np.arange(first, first + count), ["test"] * count, column], schema=schema))


def build(folder: Path, threads: int) -> dict:
    """Build the index of ``synthetic-spectrum.parquet``."""
    from skyloom.explore.index import build_index

    start, used = time.monotonic(), time.process_time()
    build_index(folder / "synthetic-spectrum.parquet", folder / "synthetic-spectrum.usearch", threads)
    return {"build s": time.monotonic() - start, "build core s": time.process_time() - used, **memory("build")}


def search(folder: Path, queries: int) -> dict:
    """Ask it, a query at a time, without limits and with limits that half, and one in a hundred, of all pass."""
    from skyloom.explore.index import Index

    start = time.monotonic()
    index = Index(folder / "synthetic-spectrum.usearch")
    found = {"open ms": 1e3 * (time.monotonic() - start)}
    rng = np.random.default_rng(2)
    vectors = index.raw(np.sort(rng.choice(len(index), queries, replace=False)))
    draw = rng.random(len(index))
    for name, among in {"all": None, "half": draw < 0.5, "a hundredth": draw < 0.01}.items():
        index.search(vectors[:1], 10, among)
        ms = 1e3 * timed(index, vectors, among)
        median, slow = np.median(ms, axis=1), np.percentile(ms, 95, axis=1)
        found |= {f"{name}, median ms": median[0], f"{name}, p95 ms": slow[0], f"{name}, p95 core ms": slow[1]}
    return found | memory("search")


def timed(index, vectors: np.ndarray, among: np.ndarray | None) -> np.ndarray:
    """Seconds (2, Q) that each of these vectors takes alone: of the clock, and of a core."""
    seconds = np.empty((2, len(vectors)))
    for i in range(len(vectors)):
        start = np.array([time.perf_counter(), time.process_time()])
        index.search(vectors[i : i + 1], 10, among)
        seconds[:, i] = np.array([time.perf_counter(), time.process_time()]) - start
    return seconds


def measure(folder: Path) -> dict:
    """Recall, and the exact scan of the same."""
    from skyloom.explore.index import Index
    from skyloom.explore.recall import measure as recall_of
    from skyloom.explore.scan import Scan

    scan = Scan(folder / "synthetic-spectrum.parquet")
    found = recall_of(Index(folder / "synthetic-spectrum.usearch"), scan)
    start = time.monotonic()
    scan.search(scan.raw(np.arange(1)), 10)
    return {"recall@10": found["recall"], "lowest": found["lowest"], "scan, one query, s": time.monotonic() - start}


def memory(name: str) -> dict:
    """Peak memory of this process, which has imported torch with the table's reader."""
    return {f"{name} MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Each part in a process of its own, so that its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--folder", type=Path)
    o = parser.parse_args()
    if o.folder:
        o.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=o.folder) as folder:
        path = Path(folder)
        write_table(path / "synthetic-spectrum.parquet", o.galaxies, o.width)
        print(f"{o.galaxies} x {o.width}, {o.threads} threads, load {os.getloadavg()[0]:.1f}", flush=True)
        for part, arguments in ((build, (path, o.threads)), (search, (path, o.queries)), (measure, (path,))):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                for name, value in pool.apply(part, arguments).items():
                    print(f"{name:22} {value:10.4g}", flush=True)
        print(f"{'file MB':22} {os.path.getsize(path / 'synthetic-spectrum.usearch') / 1e6:10.4g}")


if __name__ == "__main__":
    main()
