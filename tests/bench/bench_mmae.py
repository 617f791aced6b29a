"""What each choice in MMAE gains and costs: the default run's network with one choice as published, or otherwise.

``PYTHONPATH=workflow python tests/bench/bench_mmae.py [survey folder] [steps] [seeds] [names...]``, when there are
tokens of a survey with spectra and HSC images. Every network learns the same number of steps, one thread, from the
training split. sigma_NMAD is that of validation galaxies, of the image alone, of the spectrum alone, of both, and of
both with half of each hidden; the errors of what is then drawn up again are of all numbers, as ratios to the default's,
where the numbers are the same; the cost is the CPU time of a step as a ratio. Last, what it gains at the published size
that hidden tokens do not enter: the CPU time of a step, and of an answer, with three quarters hidden.
"""

import glob
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from skyloom.analysis.common.statistics import outlier_rate, sigma_nmad
from skyloom.models import networks
from skyloom.models.mmae import PUBLISHED, Config
from skyloom.models.mmae.network import Mmae
from skyloom.models.mmae.objective import Objective
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.settings.section import parse
from skyloom.tokens.splits import read_splits
from skyloom.tokens.store import Shards
from skyloom.training.labels import read_labels
from skyloom.training.run import train

MODALITIES = {"hsc_image": ["flux"], "spectrum": ["flux", "ivar"]}
SHAPE = {"image_size": 48, "patch": 12, "slice": 60, "dim": 96, "layers": 2, "heads": 4, "fusion": 1}
SHAPE |= {"spectrum_weight": 0.1}
SIZES = {"image_size", "patch", "dim", "layers", "heads", "fusion", "pooled", "slice"}
CHOICES = {
    "default": {},
    "hidden tokens zero": {"hidden": "zero"},
    "drawn from one vector": {"decoder": "pooled"},
    "one number for the redshift": {"redshift": "point"},
    "one head for image and spectrum": {"redshift": "density"},
    "three quarters hidden": {"masks": {"image": [0.75, 0.75], "spectrum": [0.75, 0.75]}},
    "half of the spectra, no image alone": {"masks": {"no_spectrum": 0.5, "no_image": 0.0, "band": 0.0}},
    "averages of pixels": {"spectra": "averages", "slice": 16, "redshift": "density"},
    "no lines told": {"lines": False},
    "no convolutions": {"stem": 0},
    "no photometry": {"apertures": []},
    "images not turned": {"turned": False},
    "exposures as they are": {"exposure": 1.0},
    "spectra not moved": {"shift": 0.0},
    "norms after": {"norm": "after"},
    "the whole image by itself besides": {"alone_weight": 1.0},
    "all as published": {k: v for k, v in PUBLISHED.items() if k not in SIZES} | {"pooled": 30, "slice": 16},
}
ASKED = {
    "image": {"spectrum": 1.0},
    "quarter hidden": {"image": 0.25, "spectrum": 1.0},
    "spectrum": {"image": 1.0},
    "both": {},
    "half of both": {"image": 0.5, "spectrum": 0.5, "reconstruct": ["hsc_image", "spectrum"]},
}


def main():
    survey = Path(sys.argv[1] if len(sys.argv) > 1 else "results/mock_spectra")
    steps, seeds = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 400), (3, 2)))
    chosen = sys.argv[4:] or list(CHOICES)
    tokens = {m: sorted(glob.glob(str(survey / f"tokens/{m}/shard-*.h5"))) for m in MODALITIES}
    batch, z = galaxies(survey, tokens, "validation")
    base: dict[int, tuple] = {}
    print(f"{len(z)} validation galaxies, {steps} steps of 32")
    print(
        "| choice | "
        + " | ".join(f"sigma_NMAD, {name}" for name in ASKED)
        + " | outliers, image | image, spectrum | cost |"
    )
    for name in dict.fromkeys(["default", *chosen]):
        lines = []
        for seed in range(1, seeds + 1):
            found, errors, seconds = learn(survey, tokens, CHOICES[name], steps, seed, batch, z)
            base.setdefault(seed, (errors, seconds))
            same = "spectra" not in CHOICES[name] and "stretch" not in CHOICES[name]
            ratio = [errors[m] / base[seed][0][m] if same else np.nan for m in MODALITIES]
            lines.append([*found.values(), *ratio, seconds / base[seed][1]])
        cells = [", ".join(f"{line[place]:.3f}" for line in lines) for place in range(len(lines[0]))]
        columns = [*cells[:-3], " and ".join(cells[-3:-1]), cells[-1]]
        print(f"| {name} | " + " | ".join(columns) + " |", flush=True)
    published(Batch({m: {n: x[:64] for n, x in d.items()} for m, d in batch.data.items()},
                    labels={"z": torch.from_numpy(z[:64]).float()}, targetid=batch.targetid[:64]))  # fmt: skip
    print(f"default: {1e3 * np.mean([seconds for _, seconds in base.values()]) / 32:.2f} ms a galaxy and step")


def galaxies(survey: Path, tokens: dict, split: str) -> tuple[Batch, np.ndarray]:
    """The galaxies of a split that have both, and their redshifts."""
    splits = read_splits(survey / "catalog/splits.parquet")
    ids = splits.targetid[splits.of(split)]
    held = {m: Shards(paths) for m, paths in tokens.items()}
    ids = ids[np.all([shards.rows(ids) >= 0 for shards in held.values()], axis=0)]
    z = read_labels(survey / "catalog/galaxies.parquet", ["z"], ids)["z"]
    ids, z = ids[np.isfinite(z)], z[np.isfinite(z)]
    data = {
        m: {n: torch.from_numpy(v) for n, v in shards.read(shards.rows(ids), MODALITIES[m]).items()}
        for m, shards in held.items()
    }
    return Batch(data, targetid=torch.from_numpy(ids)), z


def learn(survey: Path, tokens: dict, changes: dict, steps: int, seed: int, batch: Batch, z: np.ndarray):
    """sigma_NMAD by query and the outliers of images, errors of what is drawn by modality, CPU seconds of a step."""
    config = {"kind": "mmae", "name": "mmae", "modalities": list(MODALITIES), "model": SHAPE | changes}
    config |= {"seed": seed, "threads": 1, "training": {"steps": steps, "batch_size": 32, "learning_rate": 0.002}}
    config["training"] |= {"incomplete": "keep", "warmup": min(50, steps // 4), "validation_samples": 64}
    config["training"] |= {"validate_every": steps, "checkpoint_every": steps}
    statistics = {m: survey / f"tokens/{m}/statistics.json" for m in MODALITIES}
    with tempfile.TemporaryDirectory() as folder:
        out = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl"}
        out = {key: Path(folder, "m", file) for key, file in out.items()}
        begin = time.process_time()
        catalog = survey / "catalog"
        train(config, tokens, catalog / "splits.parquet", out, Path(folder, "c"),
              galaxies_path=catalog / "galaxies.parquet", statistics=statistics)  # fmt: skip
        seconds = (time.process_time() - begin) / steps
        model, _ = networks.load(out["card"].parent)
    found, errors = {}, dict.fromkeys(MODALITIES, 0.0)
    for name, asked in ASKED.items():
        question, said = model.question(name, asked), []
        for start in range(0, len(z), 128):
            some = slice(start, start + 128)
            part = Batch({m: {n: x[some] for n, x in d.items()} for m, d in batch.data.items()},
                         targetid=batch.targetid[some])  # fmt: skip
            with torch.inference_mode():
                answers = model.predict(part, question)
                said.append(answers["z"].numpy())
                for m, true in model.truth(part).items() if "reconstruct" in asked else ():
                    errors[m] += (answers[m] - true).square().mean(1).sum().item() / len(z)
        found[name] = sigma_nmad(z, np.concatenate(said))
        if name == "image":
            missed = outlier_rate(z, np.concatenate(said))
    return {**found, "outliers": missed}, errors, seconds


def published(batch: Batch, times: int = 3) -> None:
    """Zeroed against dropped tokens, at the published size."""
    torch.set_num_threads(1)
    seconds = {}
    for hidden in ("zero", "drop"):
        config = parse(Config, PUBLISHED | {"hidden": hidden, "dropout": 0.0}, "model")
        model = Mmae(config, tuple(MODALITIES))
        objective = Objective(model).train()
        asked = model.question("q", {"image": 0.75, "spectrum": 0.75})
        for what in ("step", "answer"):
            begin = time.process_time()
            for number in range(times):
                if what == "step":
                    objective(batch, Draws(0, number, len(batch)), 0.0)[0].backward()
                else:
                    with torch.inference_mode():
                        model.predict(batch, asked)
            seconds[hidden, what] = (time.process_time() - begin) / times
    for what in ("step", "answer"):
        ratio = seconds["zero", what] / seconds["drop", what]
        print(f"published size, {what}: {ratio:.1f} times as fast with hidden tokens dropped")


if __name__ == "__main__":
    main()
