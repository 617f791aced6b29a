"""What each choice in MOSAIC gains and costs: the default network with one choice as published, or otherwise.

``PYTHONPATH=workflow python tests/bench/bench_mosaic.py [survey folder] [steps] [seeds] [names...]``, when there are
tokens of a simulated survey. Every network learns the same number of steps, one thread, from the training split. Errors
are those of validation galaxies, as ratios to the default's, the geometric mean over queries and quantities, for each
seed; the cost is the CPU time of a step as a ratio. ``published`` is all choices as published at once, but for the size
of the tokens; its cost with 1,149 tokens is measured by a few steps.
"""

import glob
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from skyloom.models import networks
from skyloom.models.mosaic import SIZES
from skyloom.nn.batch import Batch
from skyloom.tokens.splits import read_splits
from skyloom.tokens.store import Shards
from skyloom.training.run import train

PATCH = {"scalars": 3, "lsst": 6, "spherex": 102, "sfh": 13, "sed": 231}
FINE = {"scalars": 1, "lsst": 1, "spherex": 17, "sfh": 13, "sed": 58}
ONE = dict.fromkeys(SIZES, 1)
SHAPE = {"patch": PATCH, "dim": 128, "layers": 3, "heads": 4, "kept": 0}
PUBLISHED = {
    **{"norm": "after", "unknown": "zero", "entry": "linear", "says": "mean", "factors": 0, "scale": "modality"},
    **{"visible": 1.0, "colours": 0.0, "scored": 1.0, "masks": {"whole": 0.0, "largest": 0.2}},
}
CHOICES = {
    "default": {},
    "zero for what is hidden": {"unknown": "zero"},
    "one linear map": {"entry": "linear"},
    "one mean and deviation a vector": {"scale": "modality"},
    "no colours": {"colours": 0.0},
    "visible numbers count as much": {"visible": 1.0},
    "no vector shown whole": {"masks": {"whole": 0.0}},
    "gaps of a fifth": {"masks": {"largest": 0.2}},
    "loss on all numbers": {"scored": 1.0},
    "means, squared error": {"says": "mean", "factors": 0},
    "no joint distribution": {"factors": 0},
    "norms after": {"norm": "after"},
    "fine tokens": {"patch": FINE},
    "published": PUBLISHED,
}
GALAXIES = 600  # validation galaxies that errors are of
QUERIES = {
    "lsst": ["lsst"],
    "lsst_spherex": ["lsst", "spherex"],
    "early": ["lsst", {"sfh": [0, 10]}],
    "late": ["lsst", {"sfh": [10, 13.8]}],
    "log_mstar": ["log_mstar"],
}


def main():
    survey = Path(sys.argv[1] if len(sys.argv) > 1 else "results/simulated")
    steps, seeds = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 600), (3, 2)))
    chosen = sys.argv[4:] or list(CHOICES)
    truth = truths(survey, "validation")
    base: dict[int, dict] = {}
    cost: dict[int, float] = {}
    for name in dict.fromkeys(["default", *chosen]):
        ratios, costs, shown = [], [], []
        for seed in range(1, seeds + 1):
            errors, seconds = learn(survey, CHOICES[name], steps, seed, truth)
            base.setdefault(seed, errors)
            cost.setdefault(seed, seconds)
            ratios.append(np.exp(np.mean([np.log(errors[key] / base[seed][key]) for key in errors])))
            costs.append(seconds / cost[seed])
            shown.append(f"{errors['lsst', 'redshift']:.3f}")
        each = " ".join(f"{r:.3f}" for r in ratios)
        print(f"{name}: error x {each}; redshift of lsst {' '.join(shown)}; cost x {np.mean(costs):.2f}", flush=True)
    if "published" in chosen:
        _, seconds = learn(survey, PUBLISHED | {"patch": ONE, "dim": 256, "layers": 6, "heads": 8}, 4, 1, None, 8)
        print(f"published, 1,149 tokens, dim 256, 6 layers: {seconds / 8:.2f} s a galaxy and step")
    print(f"default: {1e3 * np.mean(list(cost.values())) / 64:.2f} ms a galaxy and step")


def truths(survey: Path, split: str) -> dict[str, torch.Tensor]:
    """Modality -> numbers of the galaxies of a split."""
    splits = read_splits(survey / "catalog/splits.parquet")
    found = {}
    for name in SIZES:
        shards = Shards(sorted(glob.glob(str(survey / f"tokens/{name}/shard-*.h5"))))
        rows = shards.rows(splits.targetid[splits.of(split)][:GALAXIES])
        found[name] = torch.from_numpy(shards.read(rows, ["values"])["values"])
    return found


def learn(survey: Path, changes: dict, steps: int, seed: int, truth: dict | None, batch: int = 64):
    """Errors on these galaxies, (query, quantity) -> mean absolute error, and CPU seconds of a step."""
    config = {"kind": "mosaic", "name": "mosaic", "modalities": list(SIZES), "model": SHAPE | changes}
    config |= {"seed": seed, "threads": 1, "training": {"steps": steps, "batch_size": batch, "learning_rate": 0.002}}
    config["training"] |= {"warmup": min(100, steps // 4), "validate_every": steps, "checkpoint_every": steps}
    config["training"] |= {"validation_samples": 64}
    tokens = {name: sorted(glob.glob(str(survey / f"tokens/{name}/shard-*.h5"))) for name in SIZES}
    statistics = {name: survey / f"tokens/{name}/statistics.json" for name in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        out = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl"}
        out = {key: Path(folder, "m", file) for key, file in out.items()}
        begin = time.process_time()
        splits = survey / "catalog/splits.parquet"
        train(config, tokens, splits, out, Path(folder, "c"), statistics=statistics)
        seconds = (time.process_time() - begin) / steps
        model, _ = networks.load(out["card"].parent)
    if truth is None:
        return {}, seconds
    errors = {}
    for name, given in QUERIES.items():
        wanted = [n for n in ("redshift", "log_mhalo", "log_mstar", "sfh", "sed") if n not in str(given)]
        question = model.question(name, {"given": given, "wanted": wanted})
        with torch.inference_mode():
            parts = [
                model.predict(Batch({m: {"values": v[i : i + 500]} for m, v in truth.items()}), question)
                for i in range(0, len(truth["lsst"]), 500)
            ]
        for column in question.columns:
            said = torch.cat([part[column.name] for part in parts])
            true = truth[column.modality][:, list(column.places)]
            errors[name, column.name] = float((said.reshape(true.shape) - true).abs().nanmean())
    return errors, seconds


if __name__ == "__main__":
    print(json.dumps({"torch": torch.__version__, "cpus": torch.get_num_threads()}))
    main()
