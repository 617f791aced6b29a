"""The profile of PBS with stand-ins of its commands: what is asked for, and jobs that were deleted are made again."""

import importlib.util
import json
import os
import shutil
import subprocess

import pytest

from tests.cluster.test_slurm import digests
from tests.end_to_end.conftest import copy_project, snakemake
from tests.events import wait_until
from tests.paths import ROOT

STANDIN = ROOT / "tests" / "cluster" / "standin"
TARGETS = ["results/mock_spectra/models/redshift/model.safetensors", "results/mock_spectra/models/redshift/loss.png"]
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
        reason="needs the extra 'pbs' (snakemake-executor-plugin-cluster-generic)",
    ),
]


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Stand-ins first on the path, and the folder they keep their jobs in."""
    folder = tmp_path / "standin"
    folder.mkdir()
    monkeypatch.setenv("STANDIN", str(folder))
    monkeypatch.setenv("PATH", f"{STANDIN}{os.pathsep}{os.environ['PATH']}")
    assert shutil.which("qsub") == str(STANDIN / "qsub")
    return folder


def jobs(state) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in state.glob("*.json") if path.stat().st_size}


@pytest.mark.skipif(not os.environ.get("SKYLOOM_CLUSTER"), reason="needs SKYLOOM_CLUSTER=1: it takes minutes")
def test_a_run_through_pbs_asks_for_what_rules_need_and_makes_deleted_jobs_again(finished, tmp_path, state):
    folder = copy_project(tmp_path / "skyloom")
    (folder / "pbs").symlink_to("workflow/profiles/pbs")
    options = ["--profile", "pbs", "--configfile", "tiny.yaml", "--jobs", "2", "--latency-wait", "20"]
    with open(folder / "run.log", "w") as log:
        process = subprocess.Popen(snakemake(folder, *options, "--", *TARGETS), cwd=folder, stdout=log, stderr=log)
        wait_until(lambda: jobs(state) or process.poll() is not None, "the first job is submitted")
        first = min(jobs(state))
        subprocess.run([STANDIN / "qdel", first], check=True)
        process.wait(timeout=3600)
    assert process.returncode == 0, (folder / "run.log").read_text()[-5000:]
    expected, got = digests(finished), digests(folder)
    assert set(TARGETS) & set(got) and {name: expected[name] for name in got} == got
    rules = [job["rule"] for job in jobs(state).values()]
    assert rules.count(jobs(state)[first]["rule"]) >= 2 and "draw_loss" not in rules
    (training,) = (job["resources"] for job in jobs(state).values() if job["rule"] == "pretrain")
    assert "ngpus=1" in training[0] and "mem=6000mb" in training[0] and training[1] == "walltime=1440:00"
    (catalogue,) = (job["resources"] for job in jobs(state).values() if job["rule"] == "crossmatch")
    assert "ngpus=0" in catalogue[0]


def test_the_state_of_a_job_is_that_of_qstat(state, monkeypatch):
    spec = importlib.util.spec_from_file_location("status", ROOT / "workflow/profiles/pbs/status.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for number, code in (("1", None), ("2", 0), ("3", 271)):
        (state / f"{number}.json").write_text("{}")
        if code is not None:
            (state / f"{number}.exit").write_text(str(code))
    assert [module.status(number) for number in ("1", "2", "3", "4")] == ["running", "success", "failed", "failed"]
