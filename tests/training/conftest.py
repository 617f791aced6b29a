import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.tokens.store import write_shard
from tests.paths import LIBRARY
from tests.training.runs import in_processes

FILES = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl"}
SPECFORMER = {
    "kind": "specformer",
    "name": "specformer",
    "modality": "spectrum",
    "threads": 1,
    "model": {
        "grid": {"pixels": 200},
        "input": "pixels",
        "size": 20,
        "stride": 20,
        "dim": 16,
        "layers": 1,
        "drop_path": 0.1,
    },
    "training": {"steps": 24, "batch_size": 8, "warmup": 4, "log_every": 5, "validate_every": 7, "checkpoint_every": 6},
}
ASTRODINO = {
    "kind": "astrodino",
    "name": "astrodino",
    "modality": "image",
    "threads": 1,
    "model": {
        "image_size": 16,
        "patch": 4,
        "dim": 16,
        "layers": 1,
        "global_size": 12,
        "local_size": 8,
        "local_crops": 1,
        "prototypes": 16,
        "head_hidden": 16,
        "head_dim": 8,
    },
    "training": SPECFORMER["training"],
}
ASTROCLIP = {
    "kind": "astroclip",
    "name": "astroclip",
    "threads": 1,
    "model": {"dim": 8, "image_views": 2, "token_noise": 0.1},
    "training": SPECFORMER["training"],
}


@pytest.fixture(scope="session")
def configs():
    """Configurations of tiny models by kind."""
    return {config["kind"]: config for config in (SPECFORMER, ASTRODINO, ASTROCLIP)}


@pytest.fixture(scope="session")
def outputs():
    """What `train` is to write into a folder."""
    return lambda folder: {name: folder / file for name, file in FILES.items()}


@pytest.fixture(scope="session")
def contents():
    """The bytes of a model's folder."""
    return lambda folder: {file: (folder / file).read_bytes() for file in FILES.values()}


@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    """48 galaxies in two shards a modality, neither of which is sorted; the last two have no image."""
    folder = tmp_path_factory.mktemp("survey")
    rng = np.random.default_rng(0)
    targetid = 39627000000000000 + rng.permutation(1000)[:48].astype("i8")
    phase = rng.uniform(0, 6, (48, 1))
    flux = (2 + np.sin(np.linspace(0, 9, 200) + phase) + 0.1 * rng.normal(size=(48, 200))).astype("f4")
    ivar = np.full((48, 200), 100, "f4")
    colour = np.concatenate([np.sin(phase), np.cos(phase), 0 * phase], 1)[..., None, None]
    rgb = np.clip(0.5 + 0.3 * colour + 0.02 * rng.normal(size=(48, 3, 16, 16)), 0, 1).astype("f4")
    for number, rows in enumerate((slice(0, 20), slice(20, 48))):
        write_shard(
            folder / f"s{number}.h5", targetid[rows], {"flux": flux[rows], "ivar": ivar[rows]}, {"modality": "spectrum"}
        )
        rows = slice(rows.start, min(rows.stop, 46))
        write_shard(
            folder / f"i{number}.h5", targetid[rows], {"flux": 0.1 * rgb[rows], "rgb": rgb[rows]}, {"modality": "image"}
        )
    split = np.array(["train"] * 32 + ["validation"] * 8 + ["test"] * 8)
    pq.write_table(pa.table({"targetid": targetid, "split": split}), folder / "splits.parquet")
    return folder


@pytest.fixture(scope="session")
def tokens(survey):
    return {"spectrum": [survey / "s0.h5", survey / "s1.h5"], "image": [survey / "i0.h5", survey / "i1.h5"]}


@pytest.fixture(scope="session")
def trained(survey, tokens, configs, outputs, tmp_path_factory):
    """Folders of a trained model of each kind."""
    from skyloom.training.run import train

    folder = tmp_path_factory.mktemp("models")
    backbones = {"image": folder / "astrodino", "spectrum": folder / "specformer"}
    for kind, config in configs.items():
        train(config, tokens, survey / "splits.parquet", outputs(folder / kind), folder / "checkpoints", backbones)
    return folder


@pytest.fixture
def run(survey, tokens, trained, outputs, tmp_path):
    """Train with a config; the folder of the model."""
    from skyloom.training.run import train

    def run(config, name="out"):
        backbones = {"image": trained / "astrodino", "spectrum": trained / "specformer"}
        train(config, tokens, survey / "splits.parquet", outputs(tmp_path / name), tmp_path / "checkpoints", backbones)
        return tmp_path / name

    return run


@pytest.fixture
def command(survey, tmp_path):
    """The command line, without the interpreter, that trains a config into a folder."""

    def command(config, name, *more):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        shards = [survey / f"{kind}{number}.h5" for kind in "si" for number in (0, 1)]
        options = ["--config", tmp_path / f"{name}.json", "--out", tmp_path / name]
        options += ["--checkpoints", tmp_path / f"{name}.c", "--splits", survey / "splits.parquet", *more]
        return ["-m", "skyloom.training", *map(str, [*options, "--tokens", *shards])]

    return command


@pytest.fixture(scope="session")
def environment():
    return {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def several(survey, tokens, trained, outputs, environment, tmp_path_factory):
    """Train in several processes, one job after another; the exit codes by job and rank.

    A job is (configuration, folder of the model, folder of checkpoints, processes, and (rank, step) of one that dies).
    """

    def several(*jobs):
        backbones = {"image": str(trained / "astrodino"), "spectrum": str(trained / "specformer")}
        shards = {modality: list(map(str, paths)) for modality, paths in tokens.items()}
        entries = []
        for config, folder, checkpoints, world, *dies in jobs:
            out = {name: str(path) for name, path in outputs(folder).items()}
            arguments = (config, shards, str(survey / "splits.parquet"), out, str(checkpoints), backbones)
            entries.append({"arguments": arguments, "world": world, "dies": dies[0] if dies else None})
        codes, several.said = in_processes(entries, tmp_path_factory.mktemp("jobs"), environment)
        return codes

    return several
