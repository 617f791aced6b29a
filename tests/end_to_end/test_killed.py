"""SIGKILL at any stage, then the same command again: the same final bytes, with one job at a time or two."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from skyloom.core.files import sha256
from tests.end_to_end.conftest import copy_project, run, snakemake
from tests.events import wait_until

pytestmark = pytest.mark.end_to_end
MODEL, EMBEDDING = "results/mock/models/specformer", "results/mock/embeddings/specformer-spectrum.parquet"
UNTRAINED = "results/mock/embeddings/specformer_untrained-spectrum.parquet"
TARGETS = [f"{MODEL}/model.safetensors", EMBEDDING, UNTRAINED]  # the model by name: nothing else needs a deleted one
COMPARED = (
    "*.fits",
    "*.h5",
    "*.hdf5",
    "*.parquet",
    "*.safetensors",
    "*.jsonl",
    "statistics.json",
    "model.json",
    "*.csv",
)
# By stage, files one of which has content once it has begun; of the training, once something has been learned.
STAGES = {
    "mock generation": ["logs/generate_tile-*.log"],
    "tokenization": ["logs/tokenize_spectra-*.log"],
    "training": ["checkpoints/specformer/**/*.safetensors", "models/specformer/*.safetensors"],
    "embedding": ["logs/embed-*.log"],
}


def kill_when(folder: Path, arguments: list[str], patterns: list[str], everything: bool) -> None:
    """Start a run and kill it, all of it or only Snakemake itself, as soon as a file of the stage has content."""
    process = subprocess.Popen(snakemake(folder, *arguments), cwd=folder, start_new_session=True, stdout=-3, stderr=-3)

    def begun() -> bool:
        return any(size(path) for pattern in patterns for path in (folder / "results/mock").glob(pattern))

    wait_until(lambda: begun() or process.poll() is not None, f"the stage of {patterns} begins")
    assert begun(), f"the run ended before the stage of {patterns}"
    os.killpg(process.pid, signal.SIGKILL) if everything else os.kill(process.pid, signal.SIGKILL)
    process.wait()


def size(path: Path) -> int:
    """Of a file in bytes; 0 for one that has just been removed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every artefact of the mock survey up to the embeddings, by name."""
    stages = [folder / "results/mock" / stage for stage in ("raw", "catalog", "tokens", "models", "embeddings")]
    paths = [path for stage in stages for pattern in COMPARED for path in stage.rglob(pattern)]
    return {str(path.relative_to(folder)): sha256(path) for path in paths if "checkpoints" not in path.parts}


@pytest.fixture
def fresh(tmp_path) -> Path:
    """A project without results."""
    return copy_project(tmp_path / "skyloom")


@pytest.fixture
def untrained(finished, tmp_path) -> Path:
    """A finished run that lacks one model and its embeddings."""
    folder = tmp_path / "skyloom"
    subprocess.run(["cp", "-a", finished, folder], check=True)
    for name in (EMBEDDING, f"{MODEL}/model.safetensors"):
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize(
    "everything, begun", [(True, "fresh"), (False, "untrained")], ids=["all processes", "only snakemake"]
)
def test_killed_and_run_again_gives_the_same_bytes(finished, request, everything, begun):
    folder = request.getfixturevalue(begun)
    arguments = ["--configfile", "tiny.yaml", "--cores", "1", *TARGETS]
    stages = STAGES if everything else {"training": STAGES["training"]}
    for patterns in stages.values():
        kill_when(folder, arguments, patterns, everything)
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr[-5000:]
    expected, got = digests(finished), digests(folder)
    assert len(got) > 15 and set(TARGETS) <= set(got)
    assert {name: expected[name] for name in got} == got
    assert not list((folder / "results").rglob(".partial-*"))
