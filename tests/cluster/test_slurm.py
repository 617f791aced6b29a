"""`snakemake --profile slurm` on a real Slurm of one node: jobs preempted and cancelled, the bytes of a local run.

Bring it up with ``tests/cluster/slurm.sh up`` (root, Debian) and set SKYLOOM_CLUSTER=1; otherwise this is skipped.
SKYLOOM_CLUSTER_TARGET=all runs all of the tiny main job through it instead of its redshifts.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from skyloom.core.files import sha256
from tests.end_to_end.conftest import copy_project, snakemake
from tests.end_to_end.test_killed import COMPARED
from tests.events import wait_until
from tests.paths import ROOT


def asked(*command: str) -> str:
    """What a command of Slurm prints; nothing if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def is_up() -> bool:
    return bool(shutil.which("sinfo")) and any(word in asked("sinfo", "-h", "-o", "%T") for word in ("idle", "mix"))


pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        not os.environ.get("SKYLOOM_CLUSTER") or not is_up(),
        reason="needs SKYLOOM_CLUSTER=1 and a Slurm; tests/cluster/slurm.sh up brings one up",
    ),
]
TARGETS = os.environ.get("SKYLOOM_CLUSTER_TARGET", "").split() or [
    "results/mock_spectra/analysis/redshift.csv",
    "results/desi_samples/analysis/redshift.csv",
    "results/mock_spectra/embeddings/redshift-spectrum.parquet",
]


def as_an_administrator_would(folder: Path) -> None:
    """The profile with partitions, and no account since this Slurm keeps none."""
    path = folder / "workflow/profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["default-resources"]["slurm_partition"] = "cpu"
    gpu = {"slurm_partition": "gpu"}
    profile["set-resources"] = {rule: gpu for rule in ("pretrain", "align", "embed", "predict")}
    profile |= {"slurm-no-account": True, "slurm-init-seconds-before-status-checks": 5, "latency-wait": 20, "jobs": 4}
    path.write_text(yaml.safe_dump(profile))


class Queue:
    """The jobs of this Slurm."""

    def jobs(self, partition: str, states: str) -> list[str]:
        """Numbers of jobs in a partition."""
        return asked("squeue", "-h", "-r", "-p", partition, "-t", states, "-o", "%A").split()

    def restarted(self, number: str) -> bool:
        """Whether a job was preempted and queued again."""
        found = re.search(r"Restarts=(\d+)", asked("scontrol", "show", "job", number))
        return bool(found) and int(found[1]) > 0

    def preempt_one(self) -> bool:
        """Send in an urgent job that needs all that the node has while a job of the GPU partition runs."""
        running = self.jobs("gpu", "RUNNING")
        if not running:
            return False
        whole = ["--partition=urgent", "--gpus=2", "--cpus-per-task=4", "--time=1", "--requeue", "--output=/dev/null"]
        urgent = asked("sbatch", "--parsable", *whole, "--wrap=true").strip()
        wait_until(lambda: not asked("squeue", "-h", "-j", urgent, "-t", "PD,R,CG").strip(), "the urgent job ends")
        return any(self.restarted(number) for number in running)

    def cancel_one(self) -> bool:
        """Cancel a job that runs on the node, as an operator would."""
        running = self.jobs("cpu", "RUNNING")
        if not running:
            return False
        asked("scancel", running[0])
        wait_until(lambda: running[0] not in self.jobs("cpu", "RUNNING,COMPLETING"), "the cancelled job ends")
        return running[0] in self.jobs("cpu", "CANCELLED")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every result by name."""
    found = [path for pattern in COMPARED for path in (folder / "results").rglob(pattern)]
    hidden = {"checkpoints", "logs", "benchmarks", ".provenance", "downloads"}
    names = {path: path.relative_to(folder) for path in found}
    return {str(name): sha256(path) for path, name in names.items() if not hidden & set(name.parts)}


def test_a_run_through_slurm_survives_preemption_and_cancelling_and_gives_the_bytes_of_a_local_one(finished, tmp_path):
    folder = copy_project(tmp_path / "skyloom")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    as_an_administrator_would(folder)
    queue, done = Queue(), {"preempted": False, "cancelled": False}
    command = snakemake(folder, "--profile", "slurm", "--configfile", "tiny.yaml", "--", *TARGETS)
    with open(folder / "run.log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

        def looked() -> bool:
            done["preempted"] = done["preempted"] or queue.preempt_one()
            done["cancelled"] = done["cancelled"] or queue.cancel_one()
            time.sleep(0.5)  # the controller has other things to do than to answer
            return process.poll() is not None

        wait_until(looked, "the run ends")
    said = (folder / "run.log").read_text()
    assert process.returncode == 0, said[-5000:]
    assert done == {"preempted": True, "cancelled": True}
    expected, got = digests(finished), digests(folder)
    assert len(got) > 12
    assert {name: expected[name] for name in got} == got
    submitted = set(re.findall(r"slurm_logs/rule_(\w+)/", said))
    assert {"pretrain", "measure_redshift"} <= submitted and not {"draw_loss", "download_wheel"} & submitted


def test_the_profile_is_where_snakemake_looks_for_it():
    assert (ROOT / "slurm").resolve() == ROOT / "workflow" / "profiles" / "slurm"
