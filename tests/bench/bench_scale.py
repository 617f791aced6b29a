"""Time and memory of the steps that see a whole survey, at 10,000, 30,000 and 100,000 galaxies, and how they grow.

Run: ``PYTHONPATH=workflow python tests/bench/bench_scale.py [--rows 10000 30000 100000] [--steps knn heads]``

The tables are made up: catalogues without pixels, shards of short vectors, embeddings of 512 numbers. Each step runs in
a process of its own; its memory is the most that the process held, less what it held after its imports. A shard holds
5,000 galaxies however large the survey is, so what is done shard by shard should not grow at all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import torch
from astropy.table import Table

from skyloom.analysis.common import heads, neighbours, tables
from skyloom.analysis.common.embeddings import common_galaxies, open_embeddings, write_embedding
from skyloom.analysis.regression import Settings, scores
from skyloom.catalog.crossmatch import crossmatch
from skyloom.catalog.galaxies import build_galaxies, write_splits
from skyloom.formats.fits_files import primary_hdu, table_hdu, write_fits
from skyloom.settings.analysis import Job
from skyloom.settings.section import parse
from skyloom.tokens.statistics import merge_statistics, shard_statistics
from skyloom.tokens.store import write_shard
from tests.bench.bench_crossmatch import catalogues
from tests.bench.bench_neighbours import embeddings
from tests.catalog import small_survey

WIDTH, SHARD = 512, 5_000
SPLIT = {"kind": "healpix", "nside": 256, "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1}}
MLP = {"hidden": 64, "dropout": 0.1, "learning_rate": 1e-3, "batch_size": 64, "epochs": [1], "seed": 0}
REGRESSION = {"properties": ["z"], "k": [16], "whitened": [0], "epochs": [1], "resamples": 1000, "differences": []}

FIXED = {**small_survey.GOOD, "ZERR": 1e-5, "EBV": 0.02, "DELTACHI2": 900.0, "SURVEY": "sv3", "PROGRAM": "bright"}


def make(folder: Path, rows: int) -> None:
    """All that the steps read."""
    rng = np.random.default_rng(0)
    ra, dec = (x[:rows] for x in catalogues(rows)[:2])
    targetid = 39_600_000_000 + rng.permutation(rows)
    zcatalog = {"TARGETID": targetid, "TARGET_RA": ra, "TARGET_DEC": dec, "Z": rng.gamma(3, 0.1, rows)}
    zcatalog |= {name: np.full(rows, value) for name, value in FIXED.items()}
    zcatalog |= {f"FLUX_{band}": rng.lognormal(3, 0.5, rows) for band in "GRZ"}
    write_fits(folder / "zall.fits", [primary_hdu({}), table_hdu(Table(zcatalog), "ZCATALOG", {})])
    for shard, some in enumerate(np.split(np.arange(rows), np.arange(SHARD, rows, SHARD))):
        header = primary_hdu({"SURVEY": "sv3", "PROGRAM": "bright"})
        fibermap = table_hdu(Table({"TARGETID": targetid[some]}), "FIBERMAP", {})
        write_fits(folder / f"coadd-sv3-bright-{shard:05d}.fits", [header, fibermap])
        vectors = rng.lognormal(size=(len(some), 64))
        write_shard(folder / f"shard-{shard:04d}.h5", targetid[some], {"values": vectors}, {"modality": "sed"})
    values = embeddings(rows, WIDTH, 8, 1)
    split = rng.choice(["train", "validation", "test"], rows, p=[0.8, 0.1, 0.1])
    for name in ("one-image", "two-image"):
        write_embedding(folder / f"{name}.parquet", targetid, split, values)
        values[:, ::2] *= -1


def cross_match(folder: Path, rows: int) -> None:
    """Each galaxy with the nearest of five times as many."""
    ra, dec, other_ra, other_dec = catalogues(5 * rows)
    crossmatch(ra[:rows], dec[:rows], other_ra, other_dec, 1.0)


def galaxies(folder: Path, rows: int) -> None:
    """The catalogue of galaxies from the redshift catalogue and the fibermaps of the coadds."""
    raw = {"coadd": sorted(map(str, folder.glob("coadd-*.fits"))), "zcatalog": [str(folder / "zall.fits")]}
    config = {"modalities": ["spectrum"], "shards": -(-rows // SHARD)}
    build_galaxies("made_up", config, raw, folder / "galaxies.parquet", folder / "cuts.csv")
    assert pq.read_metadata(folder / "galaxies.parquet").num_rows == rows


def split_galaxies(folder: Path, rows: int) -> None:
    """Splits by sky pixels."""
    config = {"split": SPLIT, "seed": 0, "modalities": ["image"]}
    write_splits(folder / "galaxies.parquet", config, folder / "splits.parquet", folder / "shared_sky.json")


def statistics_of_one_shard(folder: Path, rows: int) -> None:
    """The sums of one shard (there are as many of these jobs as shards)."""
    shard_statistics(folder / "shard-0000.h5", folder / "splits.parquet", folder / "statistics-0000.json")


def statistics_merged(folder: Path, rows: int) -> None:
    """The statistics of all shards from the sums of each: here the same ones under different names."""
    part = json.loads((folder / "statistics-0000.json").read_text())
    paths = [folder / f"sums-{shard:04d}.json" for shard in range(-(-rows // SHARD))]
    for path in paths:
        path.write_text(json.dumps({**part, "shard": path.name}))
    merge_statistics(paths, [], folder / "statistics.json", folder / "quarantine.csv")


def samples(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Standardised embeddings and redshifts of the train and test split."""
    table = tables.read_galaxies(folder / "galaxies.parquet", columns=["z"])
    (file, *_) = files = open_embeddings(sorted(folder.glob("*-image.parquet")))
    common = common_galaxies(files, table)
    split = file.split[np.searchsorted(file.targetid, common)]
    targetid = [common[split == name] for name in ("train", "test")]
    features = neighbours.standardise(*(file.of(some) for some in targetid))
    return features, [table["z"].loc[some].to_numpy() for some in targetid]


def read_embeddings(folder: Path, rows: int) -> None:
    """One of two tables read, for the galaxies that both have, and standardised."""
    samples(folder)


def knn(folder: Path, rows: int) -> None:
    """The same, and the 64 nearest training galaxies of each test galaxy."""
    (train, test), (z, _) = samples(folder)
    distance, index = neighbours.nearest(test, train, 64)
    neighbours.average(distance, z[index])


def mlp(folder: Path, rows: int) -> None:
    """The same, and one epoch of a head on the redshift."""
    (train, test), (z, _) = samples(folder)
    heads.fit_predict(train, z[:, None], test, MLP)


def regress(folder: Path, rows: int) -> None:
    """The whole regression: photometry and two embeddings, neighbours and heads, table and figures."""
    outputs = {"table": "r.csv", "predictions": "p.parquet", "figure_predictions": "p.png", "figure_scores": "s.png"}
    outputs["figure_cross"] = "c.png"
    files = {"galaxies": ["galaxies.parquet"], "splits": ["splits.parquet"]}
    inputs = {role: [str(folder / name) for name in names] for role, names in files.items()}
    inputs["embeddings"] = sorted(map(str, folder.glob("*-image.parquet")))
    outputs = {role: str(folder / name) for role, name in outputs.items()}
    scores.regress(Job("made_up", inputs, outputs, parse(Settings, REGRESSION, "regression"), 0))


STEPS = (
    cross_match,
    galaxies,
    split_galaxies,
    statistics_of_one_shard,
    statistics_merged,
    read_embeddings,
    knn,
    mlp,
    regress,
)


def child(name: str, folder: Path, rows: int) -> None:
    """Run a step in this process; print seconds and the memory it took, in bytes."""
    torch.set_num_threads(2)
    step = next(step for step in STEPS if step.__name__ == name)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, that of the imports, is forgotten
    before, _ = resident()
    start = time.perf_counter()
    step(folder, rows)
    seconds = time.perf_counter() - start
    print(json.dumps({"step": name, "rows": rows, "s": seconds, "bytes": resident()[1] - before}))


def resident() -> tuple[int, int]:
    """Bytes of memory this process holds, and the most it has held (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(1024 * int(status[name].split()[0]) for name in ("VmRSS", "VmHWM"))


def growth(rows: np.ndarray, values: np.ndarray) -> float:
    """Exponent b of the fit values = a rows^b."""
    return float(np.polyfit(np.log(rows), np.log(np.maximum(values, 1e-9)), 1)[0]) if len(rows) > 1 else np.nan


def summary(measured: pandas.DataFrame) -> str:
    """A line a step: seconds and memory at each number of rows, exponents, and bytes a further row takes."""
    lines = []
    for name, of_step in measured.groupby("step", sort=False):
        rows = of_step["rows"].to_numpy()
        line = {"step": name}
        line |= {f"s @ {n}": f"{s:.2f}" for n, s in zip(rows, of_step["s"], strict=True)} | {
            "s ~ n^": f"{growth(rows, of_step['s'].to_numpy()):.2f}"
        }
        line |= {f"MiB @ {n}": f"{x / 2**20:.0f}" for n, x in zip(rows, of_step["bytes"], strict=True)}
        line["MiB ~ n^"] = f"{growth(rows, of_step['bytes'].to_numpy() + 1):.2f}"
        line["bytes a row"] = f"{np.polyfit(rows, of_step['bytes'], 1)[0] if len(rows) > 1 else np.nan:.0f}"
        lines.append(line)
    return pandas.DataFrame(lines).to_string(index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--steps", nargs="+", choices=[step.__name__ for step in STEPS], help="default: all")
    parser.add_argument("--child", nargs=3, metavar=("STEP", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    config = parser.parse_args()
    if config.child:
        child(config.child[0], Path(config.child[1]), int(config.child[2]))
        return
    first = ["galaxies", "split_galaxies", "statistics_of_one_shard"]  # what others read
    measured = []
    for rows in config.rows:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), rows)
            for step in [step.__name__ for step in STEPS]:
                if config.steps and step not in (*config.steps, *first):
                    continue
                command = [sys.executable, __file__, "--child", step, folder, str(rows)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{step} of {rows} rows failed:\n{done.stderr}")
                measured.append(json.loads(done.stdout.splitlines()[-1]))
                print(json.dumps(measured[-1]), flush=True)
    print(summary(pandas.DataFrame(measured)))


if __name__ == "__main__":
    main()
