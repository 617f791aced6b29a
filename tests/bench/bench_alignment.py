"""What each choice in AstroCLIP gains and costs: the default run's alignment with one choice otherwise.

``PYTHONPATH=workflow python tests/bench/bench_alignment.py [results folder] [steps] [seeds] [names...]``

For a folder with tokens and models of the surveys `mock` and `mock_spectra`. All is measured on the validation split:
R2 by kNN as the published protocol has it (k = 64, standardised, nothing chosen), its mean over five properties,
recall@10 among all validation galaxies. The first lines are of the encoders before the alignment. The cost is the CPU
time of a training, one thread. A moco and the tokens of magnitudes are made in a temporary folder.
"""

import glob
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skyloom.analysis.common import neighbours
from skyloom.analysis.common.batches import Tokens
from skyloom.analysis.common.statistics import r2
from skyloom.analysis.retrieval.similarity import ranks
from skyloom.models import networks
from skyloom.models.astroclip import PUBLISHED, PUBLISHED_V1
from skyloom.tokens.magnitudes import tokenize_magnitudes
from skyloom.tokens.splits import read_splits
from skyloom.training.labels import read_labels
from skyloom.training.run import train

PROPERTIES = ["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"]
PAIR = {"image": "astrodino", "spectrum": "specformer"}
KEPT = {"keep": {"spectrum": 1.0}}
CHOICES: dict[str, tuple[dict, dict]] = {  # name -> keys of the model, backbones
    "default": ({}, PAIR),
    "public code's image head": ({"image_positions": False, "image_residual": False}, PAIR),
    "patches without positions": ({"image_positions": False}, PAIR),
    "flips and rotations": ({"image_views": 8}, PAIR),
    "learned temperature": ({"temperature": "learned"}, PAIR),
    "sigmoid loss, learned": ({"loss": "sigmoid", "temperature": "learned", "logit_scale": 10.0}, PAIR),
    "queue of 512 pairs": ({"queue": 512}, PAIR),
    "512 numbers": ({"dim": 512}, PAIR),
    "last image block learns": ({"unfrozen": {"image": 1}}, PAIR),
    "last blocks learn": ({"unfrozen": {"image": 1, "spectrum": 1}}, PAIR),
    "spectrum kept": (KEPT, PAIR),
    "spectrum kept, weight 0.3": ({"keep": {"spectrum": 0.3}}, PAIR),
    "spectrum kept, weight 3": ({"keep": {"spectrum": 3.0}}, PAIR),
    "both kept": ({"keep": {"image": 1.0, "spectrum": 1.0}}, PAIR),
    "rest-frame spectra": ({}, PAIR | {"spectrum": "redshift"}),
    "rest-frame spectra, kept": (KEPT, PAIR | {"spectrum": "redshift"}),
    "and magnitudes": ({}, PAIR | {"magnitudes": "pca_magnitudes"}),
    "journal version": (PUBLISHED, PAIR),
    "first version, on moco": (PUBLISHED_V1, PAIR | {"image": "moco"}),
}


class Bench:
    """A survey with its tokens and encoders.

    Parameters
    ----------
    results : folder of `mock` and `mock_spectra`
    made : where to put what is made
    """

    def __init__(self, results: Path, made: Path):
        self.survey, self.made = results / "mock", made
        self.known: dict[tuple, dict] = {}  # tokens of frozen encoders, which are the same for most choices
        self.tokens = {m: sorted(glob.glob(str(self.survey / f"tokens/{m}/shard-*.h5"))) for m in ("image", "spectrum")}
        self.tokens["magnitudes"] = [str(made / "magnitudes.h5")]
        self.catalog = self.survey / "catalog"
        tokenize_magnitudes(self.catalog / "galaxies.parquet", 0, made / "magnitudes.h5", made / "quarantine.csv")
        self.folders = {n: self.survey / f"models/{n}" for n in ("astrodino", "specformer")}
        self.folders["redshift"] = results / "mock_spectra/models/redshift"
        splits = read_splits(self.catalog / "splits.parquet")
        self.ids = {split: splits.targetid[splits.of(split)] for split in ("train", "validation")}
        self.labels = {
            s: read_labels(self.catalog / "galaxies.parquet", PROPERTIES, ids) for s, ids in self.ids.items()
        }

    def encoder(self, name: str, seed: int) -> Path:
        """The folder of an encoder, which is trained if it is not there."""
        if name == "moco":
            config = {"kind": "moco", "modality": "image", "training": {"checkpoint_every": 1000}}
        elif name == "pca_magnitudes":
            config = {"kind": "pca", "modality": "magnitudes", "model": {"components": 3}}
        if name not in self.folders:
            self.folders[name] = self.learn(name, config | {"name": name}, {}, seed)[0]
        return self.folders[name]

    def learn(self, name: str, config: dict, backbones: dict[str, Path], seed: int) -> tuple[Path, float]:
        """Folder and CPU seconds of a training."""
        folder = self.made / f"{name}-{seed}"
        out = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl"}
        begin = time.process_time()
        train(config | {"seed": seed, "threads": 1}, self.tokens, self.catalog / "splits.parquet",
              {key: folder / file for key, file in out.items()}, self.made / "checkpoints", backbones,
              galaxies_path=self.catalog / "galaxies.parquet")  # fmt: skip
        return folder, time.process_time() - begin

    def embed(self, folder: Path, modality: str) -> dict[str, np.ndarray]:
        """Embeddings (N, d) of a split's galaxies."""
        model = networks.load(folder)[0]
        held = Tokens(modality, self.tokens[modality], model.inputs[modality])
        key = self.frozen(model, modality)
        if key is not None and key not in self.known:
            self.known[key] = {s: [model.tokens(held.batch(some), modality).half() for some in parts(ids)]
                               for s, ids in self.ids.items()}  # fmt: skip
        if key is not None:
            pool = {s: [model.pool(tokens.float(), modality) for tokens in of] for s, of in self.known[key].items()}
            return {s: np.concatenate([part.numpy() for part in of]) for s, of in pool.items()}
        return {
            split: np.concatenate([model.embed(held.batch(some), modality).numpy() for some in parts(ids)])
            for split, ids in self.ids.items()
        }

    def frozen(self, model, modality: str) -> tuple | None:
        """What the tokens that an AstroCLIP pools depend on; None where its encoder has learned, and of others."""
        if not hasattr(model, "backbones") or model.config.unfrozen.get(modality):
            return None
        encoder = model.backbones[modality]
        return modality, str(networks.describe(encoder)), model.bare(modality)

    def scores(self, embedded: dict[str, np.ndarray]) -> list[float]:
        """R2 of PROPERTIES of validation galaxies by the published kNN."""
        reference, queries = neighbours.standardise(embedded["train"], embedded["validation"])
        found = []
        for name in PROPERTIES:
            known, truth = np.isfinite(self.labels["train"][name]), self.labels["validation"][name]
            distance, index = neighbours.nearest(queries, reference[known], 64)
            said = neighbours.average(distance, self.labels["train"][name][known][index])
            found.append(float(r2(truth[np.isfinite(truth)], said[np.isfinite(truth)])))
        return found


def parts(ids: np.ndarray, size: int = 128) -> list[np.ndarray]:
    """Some at a time."""
    return np.array_split(ids, -(-len(ids) // size))


def main():
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    steps, seeds = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 200), (3, 2)))
    chosen = sys.argv[4:] or list(CHOICES)
    with tempfile.TemporaryDirectory() as made:
        bench = Bench(results, Path(made))
        print(f"{len(bench.ids['validation'])} validation galaxies, {steps} steps of 256")
        heads = ["image, z", "image, mean", "spectrum, z", "spectrum, mean", "recall@10 image, spectrum", "CPU s"]
        print(f"| choice | {' | '.join(heads)} |\n|---{'|---' * len(heads)}|")
        for backbones in {tuple(sorted(CHOICES[name][1].items())): 0 for name in chosen}:
            before = [bench.scores(bench.embed(bench.encoder(dict(backbones)[m], 1), m)) for m in PAIR]
            cells = [f"{value:.3f}" for own in before for value in (own[0], np.mean(own))]
            print(f"| *before: {', '.join(name for _, name in backbones)}* | {' | '.join(cells)} | | |", flush=True)
        for name in chosen:
            model, backbones = CHOICES[name]
            lines = []
            for seed in range(1, seeds + 1):
                config = {"kind": "astroclip", "name": "astroclip", "model": {"dim": 128, **model}}
                config["training"] = {"steps": steps, "batch_size": 256, "checkpoint_every": 10000}
                folders = {m: bench.encoder(encoder, 1) for m, encoder in backbones.items()}
                folder, seconds = bench.learn(name, config, folders, seed)
                own = {m: bench.embed(folder, m) for m in PAIR}
                found = [x for m in PAIR for r in [bench.scores(own[m])] for x in (r[0], np.mean(r))]
                rank = ranks(own["image"]["validation"], own["spectrum"]["validation"])
                lines.append([*found, (rank <= 10).mean(), seconds])
            form = [".3f"] * 5 + [".0f"]
            cells = [", ".join(f"{line[i]:{f}}" for line in lines) for i, f in enumerate(form)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
