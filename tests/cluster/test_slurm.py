"""`snakemake --profile slurm` on a real Slurm of one node: jobs preempted and cancelled, the bytes of a local run.

Bring it up with ``tests/cluster/slurm.sh up`` (root, Debian) and set SKYLOOM_CLUSTER=1; otherwise this is skipped.
SKYLOOM_CLUSTER_TARGET=all runs all of the tiny main job through it too.
"""

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from skyloom.core.files import sha256
from skyloom.core.job import lock_path
from skyloom.core.locks import waiting_lock
from tests.cluster.slurm_queue import Queue, is_up
from tests.end_to_end.conftest import copy_project, snakemake
from tests.end_to_end.test_killed import COMPARED
from tests.events import wait_until
from tests.paths import ROOT

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        not os.environ.get("SKYLOOM_CLUSTER") or not is_up(),
        reason="needs SKYLOOM_CLUSTER=1 and a Slurm; tests/cluster/slurm.sh up brings one up",
    ),
]
WHOLE = os.environ.get("SKYLOOM_CLUSTER_TARGET", "").split()
MODEL = "results/mock/models/specformer"
SHARDS = [f"results/simulated/tokens/{name}/shard-0000.h5" for name in ("scalars", "lsst", "spherex", "sfh", "sed")]
TARGETS = [f"{MODEL}/model.safetensors", "results/mock/embeddings/specformer-spectrum.parquet", *SHARDS]
HIDDEN = {"checkpoints", "logs", "benchmarks", ".provenance", "downloads"}


def as_an_administrator_would(folder: Path, **changes) -> None:
    """The profile with partitions, and no account since this Slurm keeps none."""
    path = folder / "workflow/profiles/slurm/config.yaml"
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    profile["default-resources"]["slurm_partition"] = "cpu"
    gpu = {"slurm_partition": "gpu"}
    profile["set-resources"] = {rule: gpu for rule in ("pretrain", "align", "embed", "predict")}
    profile |= {"slurm-no-account": True, "slurm-init-seconds-before-status-checks": 5, "latency-wait": 20}
    path.write_text(yaml.safe_dump(profile | changes))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every result by name, but for what a cancelled job left half-written (swept at the next start)."""
    found = [path for pattern in COMPARED for path in (folder / "results").rglob(pattern)]
    names = {path: path.relative_to(folder) for path in found}
    made = {path: name for path, name in names.items() if not any(part.startswith(".partial-") for part in name.parts)}
    return {str(name): sha256(path) for path, name in made.items() if not HIDDEN & set(name.parts)}


@contextlib.contextmanager
def running(folder: Path, *targets: str) -> Iterator[subprocess.Popen]:
    """A run through Slurm, which must end well."""
    command = snakemake(folder, "--profile", "slurm", "--configfile", "tiny.yaml", "--", *targets)
    with open(folder / "run.log", "a") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            yield process
            assert process.wait(timeout=3600) == 0, (folder / "run.log").read_text()[-5000:]
        finally:
            if process.poll() is None:
                process.terminate()  # Snakemake cancels what it has in the queue


@contextlib.contextmanager
def held_back(folder: Path, *logs: Path) -> Iterator[None]:
    """Let the jobs with these logs wait, as for a leftover of a killed run, so that they cannot end too early."""
    with contextlib.ExitStack() as stack:
        for log in logs:
            stack.enter_context(waiting_lock(folder / lock_path(log.relative_to(folder)), print))
        yield


def has_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint is there, whole: one that is being written lies in a folder of its own."""
    found = (folder / "results/mock/checkpoints/specformer").rglob("step-*.safetensors")
    return any(not path.parent.name.startswith(".partial-") for path in found)


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory) -> Path:
    """A finished run on a cluster, but for a model, embeddings and tokens that are missing."""
    folder = tmp_path_factory.mktemp("slurm") / "skyloom"
    subprocess.run(["cp", "-a", finished, folder], check=True)
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    for name in (f"{MODEL}/model.safetensors", *TARGETS[1:]):
        (folder / name).unlink()
    return folder


def test_jobs_that_slurm_preempts_or_an_operator_cancels_are_made_again_and_end_with_the_same_bytes(finished, copied):
    as_an_administrator_would(copied, jobs=3)  # fewer than there are shards
    queue, training = Queue(copied), copied / "results/mock/logs/pretrain-specformer.log"
    tokenizing = sorted(copied.glob("results/simulated/logs/tokenize_vectors-*.log"))
    assert len(tokenizing) == len(SHARDS)
    with running(copied, *TARGETS):
        with held_back(copied, training):
            with held_back(copied, *tokenizing):
                wait_until(lambda: queue.jobs("cpu", "RUNNING"), "a shard's job runs")
                assert queue.cancel_one()
            wait_until(lambda: queue.jobs("gpu", "RUNNING"), "the training runs")
        assert queue.preempt_when(lambda: has_checkpoint(copied))
    said = (copied / "run.log").read_text()
    assert "SLURM status is: 'CANCELLED'" in said and "Submitted array job" in said
    assert "continuing from the checkpoint of step" in training.read_text()
    expected, got = digests(finished), digests(copied)
    assert set(TARGETS) <= set(got) and got == expected
    submitted = re.findall(r"^Job (\d+): (\w+)", said, flags=re.MULTILINE)
    assert len(submitted) >= 8 and "slurm_logs/rule_pretrain/" in said


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / MODEL / "metrics.jsonl").read_text().splitlines()]


def test_a_training_has_a_process_for_each_gpu_that_slurm_gives_it(finished, copied):
    generic = {"gpu": 0, "gres": "gpu:2", "slurm_partition": "gpu"}
    as_an_administrator_would(copied, **{"set-resources": {"pretrain": generic}})
    (copied / MODEL / "model.safetensors").unlink(missing_ok=True)
    with running(copied, f"{MODEL}/model.safetensors"):
        pass
    assert "2 processes, one a GPU" in (copied / "results/mock/logs/pretrain-specformer.log").read_text()
    for ours, theirs in zip(rows(copied), rows(finished), strict=True):
        assert ours.pop("split") == theirs.pop("split") and ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.skipif(not WHOLE, reason="needs SKYLOOM_CLUSTER_TARGET, such as all: it takes a quarter of an hour")
def test_a_whole_run_through_slurm_gives_the_bytes_of_a_local_one(finished, tmp_path):
    folder = copy_project(tmp_path / "skyloom")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    as_an_administrator_would(folder, jobs=4)
    queue, done = Queue(folder), {"preempted": False, "cancelled": False}
    with running(folder, *WHOLE) as process:

        def looked() -> bool:
            done["preempted"] = done["preempted"] or queue.preempt_one()
            done["cancelled"] = done["cancelled"] or queue.cancel_one()
            time.sleep(0.5)  # the controller has other things to do than to answer
            return process.poll() is not None

        wait_until(looked, "the run ends", deadline=7200)
    said = (folder / "run.log").read_text()
    assert done == {"preempted": True, "cancelled": True}
    expected, got = digests(finished), digests(folder)
    assert len(got) > 12
    assert {name: expected[name] for name in got} == got
    submitted = set(re.findall(r"slurm_logs/rule_(\w+)/", said))
    assert "pretrain" in submitted and not {"draw_loss", "download_wheel"} & submitted


def test_the_profile_is_where_snakemake_looks_for_it():
    assert (ROOT / "slurm").resolve() == ROOT / "workflow" / "profiles" / "slurm"
