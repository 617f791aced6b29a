"""The whole downstream benchmark of 8 embeddings of 20,000 made-up galaxies: seconds and memory of each analysis.

Run: ``PYTHONPATH=workflow python -m tests.bench.bench_benchmark [--galaxies 20000] [--width 128] [--only sky]``
Or: ``... [--ratios] [--umap 50000x512] [--threads 1]``: kNN regression, k-means and the paired bootstrap over plain
scikit-learn on the same arrays (``--galaxies``, ``--width``), the two in turns; and the seconds of a UMAP, asked to be
below 60. With either the analyses are not run.

Each analysis runs in a process of its own, two at a time, with the settings of config.yaml. The time on two cores is
asked to be below 20 minutes. Spectra and images are made up for the test galaxies alone: no other is looked at.
"""

import argparse
import concurrent.futures
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import yaml

from skyloom.analysis.common.entry import run_analysis
from skyloom.settings import kinds
from tests.analysis import synthetic
from tests.bench import ratios
from tests.paths import ROOT

FIRST = ("regression", "published_protocol")
THEN = (
    *("training_scores", "clusters", "umap", "sky", "environment", "brightness", "residuals", "outliers", "anomalies"),
    *("domain_shift", "calibration", "retrieval"),
)


def run(name: str, entry: dict, inputs: dict, folder: Path) -> tuple[str, float, float]:
    """An analysis; its name, seconds, GiB."""
    start = time.perf_counter()
    kind = entry.get("kind", name)
    outputs = {role: folder / f"{name}-{file}" for role, file in kinds.find("analysis", kind, "").outputs.items()}
    run_analysis(kind, "made_up", inputs.items(), outputs.items(), entry, 1)
    return name, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def inputs_of(name: str, given: dict, folder: Path) -> dict:
    """What an analysis takes, of the made-up survey."""
    found = {role: given[role] for role in ("galaxies", "splits", "embeddings")}
    if name == "retrieval":
        return found | {role: given[role] for role in ("tokens_image", "tokens_spectrum")}
    if name == "calibration":
        found |= {"paired": [], "tokens": given["tokens_spectrum"]}
    tables = {n: str(folder / f"{n}-regression-predictions.parquet") for n in FIRST}
    scored = tables["published_protocol" if name == "training_scores" else "regression"]
    found |= {role: [] for role in ("host_embeddings", "host_galaxies", "host_splits")}
    found |= {"predictions": [] if name in (*FIRST, "calibration") else [scored], "truth": []}
    if name == "residuals":
        aligned = [path for path in given["embeddings"] if "astroclip" in path]
        behind = {"image": "astrodino-image", "spectrum": "specformer-spectrum"}
        backbones = [next(p for p in given["embeddings"] if behind[path.split("-")[1][:-8]] in p) for path in aligned]
        found |= {"aligned": aligned, "backbones": backbones}
    return found


def size(text: str) -> tuple[int, int]:
    """Galaxies and width of "50000x512"."""
    galaxies, width = map(int, text.split("x"))
    return galaxies, width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--only", default="")
    parser.add_argument("--ratios", action="store_true", help="over plain scikit-learn and numpy")
    parser.add_argument("--umap", type=size, metavar="GALAXIESxWIDTH", help="seconds of a UMAP of this size")
    parser.add_argument("--threads", type=int, default=1, help="of --ratios and --umap")
    config = parser.parse_args()
    if config.ratios:
        ratios.report(config.galaxies, config.width, config.threads)
    if config.umap:
        ratios.umap(*config.umap, config.threads)
    if config.ratios or config.umap:
        return
    entries = yaml.safe_load((ROOT / "config.yaml").read_text())["analyses"]
    n = config.galaxies
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = synthetic.survey(folder, (n - 2 * (n // 10), n // 10, n // 10), config.width)
        given = {"galaxies": [str(made["galaxies"])], "splits": [str(made["splits"])]}
        given["embeddings"] = [str(path) for path in made["embeddings"]]
        for modality, paths in synthetic.shards(folder, made["table"].query("split == 'test'")).items():
            given[f"tokens_{modality}"] = [str(path) for path in paths]
        start, total = time.perf_counter(), 0.0
        for stage in (FIRST, THEN):
            wanted = [name for name in stage if name in entries and (not config.only or name in config.only.split(","))]
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(2, context, max_tasks_per_child=1) as pool:
                jobs = []
                for name in wanted:
                    entry = {key: value for key, value in entries[name].items() if key not in ("embeddings", "pairs")}
                    entry |= {"differences": []} if "differences" in entry else {}
                    entry |= {"predictions": []} if name == "calibration" else {}
                    jobs.append(pool.submit(run, name, entry, inputs_of(name, given, folder), folder))
                for job in concurrent.futures.as_completed(jobs):
                    name, seconds, peak = job.result()
                    total += seconds
                    print(f"{name:20s} {seconds:7.1f} s  {peak:5.2f} GiB", flush=True)
        print(f"all: {total:.0f} s of jobs, {time.perf_counter() - start:.0f} s on two cores")


if __name__ == "__main__":
    main()
