"""What each stage costs at 1,000, 4,000 and 16,000 galaxies, how it grows, what that comes to in a large survey.

Run: ``PYTHONPATH=workflow python tests/bench/bench_growth.py FOLDER [--tiles 2 8 31] [--galaxies 13.1e6 1e9]``

The default run with other numbers of tiles, of the mock survey alone and with twenty steps of every training: training
costs what its steps cost, whatever the survey. Costs are seconds of CPU from the benchmark files of the run, which
other work on the machine hardly changes. Finished runs in FOLDER are taken as they are. Tables of a million galaxies
and more: bench_scale.py.
"""

import argparse
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import yaml

from tests.bench.bench_scale import growth
from tests.end_to_end.conftest import copy_project, snakemake
from tests.paths import ROOT

PER_SHARD = 3000  # galaxies
STAGES = {
    "mock survey": r"generate_tile|merge_mock_catalogs|checksum_raw|gather_manifest",
    "cross-match, cuts, splits": r"crossmatch|split_galaxies",
    "tokens, statistics": r"tokenize_|measure_shard|gather_statistics",
    "training, twenty steps": r"pretrain|align|draw_loss",
    "embeddings, predictions": r"embed|predict|gather_parts",
}
"""Stage -> its rules; an analysis is a stage of its own."""


def configuration(tiles: int) -> dict:
    """The default run, cut down to what is measured."""
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    gone = dict.fromkeys(set(default["surveys"]) - {"mock", "mock_spectra"})
    small = {"tiles": 1, "targets_per_tile": {"bgs": 150, "lrg": 0, "elg": 0, "qso": 150}, "shards": 1}
    shards = max(1, round(tiles * 520 / PER_SHARD))
    trained = [name for name, model in default["models"].items() if model.get("training", {}).get("steps") != 0]
    steps = {"training": {"steps": 20, "warmup": 2}}
    models = {name: steps for name in trained if default["models"][name]["kind"] != "pca"} | {"redshift_grism": None}
    surveys = {"mock": {"tiles": tiles, "shards": min(shards, tiles)}, "mock_spectra": small}
    return {"surveys": surveys | gone, "models": models}


def run(folder: Path, tiles: int) -> Path:
    """The results of a run of so many tiles in `folder`, made unless they are there; one that was stopped goes on."""
    made = folder / f"tiles-{tiles}"
    if not (made / "results/mock/report.html").exists():
        if not made.exists():
            copy_project(made)
        (made / "growth.yaml").write_text(yaml.safe_dump(configuration(tiles)))
        command = snakemake(made, "results/mock/report.html", "--configfile", "growth.yaml", "--cores", "2")
        with open(made / "run.log", "w") as log:
            subprocess.run(command, cwd=made, stdout=log, stderr=log, check=True)
    return made / "results" / "mock"


def costs(results: Path) -> tuple[int, pandas.DataFrame]:
    """Galaxies of a run; of each stage the seconds of CPU and the largest process in MiB."""
    galaxies = pq.read_metadata(results / "catalog/galaxies.parquet").num_rows
    rows = []
    for path in (results / "benchmarks").glob("*.tsv"):
        rule = re.match(r"[a-z_]+", path.stem).group()
        stage = next((stage for stage, rules in STAGES.items() if re.match(rules, rule)), rule.replace("_", " "))
        measured = pandas.read_csv(path, sep="\t").iloc[0]
        rows.append({"stage": stage, "s": measured["cpu_time"], "mib": measured["max_rss"]})
    table = pandas.DataFrame(rows).astype({"s": float, "mib": float})
    return galaxies, table.groupby("stage").agg({"s": "sum", "mib": "max"})


def summary(measured: dict[int, pandas.DataFrame], extrapolated: list[float]) -> str:
    """A line a stage: seconds and MiB at each number of galaxies, exponents, and days of a core for larger ones.

    Days are those of the last step, from the two largest runs: seconds of a start are not multiplied.
    """
    counts = np.array(sorted(measured))
    stages = measured[counts[-1]].sort_values("s", ascending=False).index
    lines = []
    for stage in stages:
        s, mib = (np.array([measured[n][what].get(stage, np.nan) for n in counts]) for what in ("s", "mib"))
        line = {"stage": stage} | {f"s @ {n}": f"{x:.0f}" for n, x in zip(counts, s, strict=True)}
        line["s ~ n^"] = f"{growth(counts[-2:], s[-2:]):.2f}"
        line |= {f"MiB @ {n}": f"{x:.0f}" for n, x in zip(counts, mib, strict=True)}
        line["MiB ~ n^"] = f"{growth(counts[-2:], mib[-2:]):.2f}"
        line["ms a galaxy"] = f"{1000 * (s[-1] - s[-2]) / (counts[-1] - counts[-2]):.2f}"
        power = max(growth(counts[-2:], s[-2:]), 1.0)
        line |= {f"core days @ {n:.3g}": f"{s[-1] * (n / counts[-1]) ** power / 86400:.3g}" for n in extrapolated}
        lines.append(line)
    return pandas.DataFrame(lines).to_string(index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", type=int, nargs="+", default=[2, 8, 31])
    parser.add_argument("--galaxies", type=float, nargs="*", default=[13.1e6, 1e9], help="extrapolated to")
    config = parser.parse_args()
    measured = dict(costs(run(config.folder, tiles)) for tiles in config.tiles)
    print(summary(measured, config.galaxies))


if __name__ == "__main__":
    main()
