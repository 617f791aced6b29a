"""What jobs ask Slurm for, by the executor's own hand: GPUs where something trains, and as the profile says."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.end_to_end.conftest import copy_project
from tests.paths import ROOT

PROFILE = (ROOT / "workflow/profiles/slurm/config.yaml").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The project, where nothing has been made."""
    return copy_project(tmp_path_factory.mktemp("resources") / "skyloom")


def offered() -> dict[str, dict]:
    """What the profile offers as comments for GPUs, by rule."""
    lines = PROFILE.splitlines()
    start = lines.index("# set-resources:")
    shown = []
    for line in lines[start:]:
        if not line.startswith(("# set-resources:", "#   ")):
            break
        shown.append(line.removeprefix("# "))
    return yaml.safe_load("\n".join(shown))["set-resources"]


def jobs(folder, **changes) -> list[dict]:
    """Rule, wildcards and command of every job that Slurm gets, with changes of the profile."""
    profile = folder / "mine"
    profile.mkdir(exist_ok=True)
    (profile / "config.yaml").write_text(yaml.safe_dump({**yaml.safe_load(PROFILE), **changes}))
    arguments = ["--profile", "mine", "--configfile", "tiny.yaml", "--", "all"]
    command = [sys.executable, "-m", "tests.cluster.submissions", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert "jobs: " in done.stdout, done.stdout + done.stderr
    found = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("jobs: ")).removeprefix("jobs: ")
    )
    return [job for job in found if not job["local"]]


def of(found: list[dict], rule: str) -> list[str]:
    """The commands of the jobs of a rule."""
    commands = [job["command"] for job in found if job["rule"] == rule]
    assert commands, rule
    return commands


TRAIN = ("pretrain", "align", "embed", "predict")
OTHERS = ("fit", "embed_baseline", "generate_tile_with_hsc", "crossmatch", "tokenize_spectra")


def test_what_trains_or_embeds_with_a_trained_network_asks_for_a_gpu_and_nothing_else_does(folder):
    found = jobs(folder)
    assert {job["rule"] for job in found if "--gpus=1" in job["command"].split()} == set(TRAIN)
    assert not any("gpu" in job["command"] for job in found if job["rule"] not in TRAIN)
    models = {job["wildcards"]["model"] for job in found if job["rule"] == "fit"}
    assert {"pca_spectrum", "specformer_untrained"} <= models and all(of(found, rule) for rule in OTHERS)
    assert all("--mem 6000 " in command and " -t 1440 " in command for command in of(found, "pretrain"))
    for job in found:  # a second attempt has twice the memory and time
        first, second = (
            [int(re.search(rf"{option} (\d+)", job[name])[1]) for option in ("-t", "--mem")]
            for name in ("command", "again")
        )
        assert second == [2 * first[0], 2 * first[1]], job["rule"]


def test_what_is_small_or_needs_the_network_runs_where_snakemake_does(folder):
    found = {job["rule"] for job in jobs(folder)}
    assert not {name for name in found if name.startswith(("download", "fetch", "draw_loss", "gather_statistics"))}


def test_the_lines_that_the_profile_offers_give_trainings_four_gpus_and_baselines_none(folder):
    found = jobs(folder, **{"set-resources": offered()})
    assert all({"--gpus=h100:4", "--cpus-per-gpu=8"} <= set(command.split()) for command in of(found, "pretrain"))
    assert all("--gpus=1" in command.split() for rule in TRAIN[1:] for command in of(found, rule))
    assert not any("gpu" in command for rule in OTHERS for command in of(found, rule))
    assert {job["partition"] for job in found if job["rule"] in TRAIN} == {"gpu"}
    assert {job["partition"] for job in found if job["rule"] not in TRAIN} == {None}


def generic(given: dict) -> dict:
    """What the profile offers in place of `gpu` and `gpu_model` to clusters that know only generic resources."""
    switch = yaml.safe_load(re.search(r"generic resources: `(gpu: 0, gres: .*?)`", PROFILE)[1].join("{}"))
    return {**{name: value for name, value in given.items() if name not in ("gpu", "gpu_model")}, **switch}


def test_a_cluster_that_knows_gpus_as_generic_resources_is_asked_for_those_alone(folder):
    found = jobs(folder, **{"set-resources": {rule: generic(given) for rule, given in offered().items()}})
    for rule in TRAIN:
        assert all("--gres=gpu:4" in command.split() and "--gpus" not in command for command in of(found, rule))
    assert not any("gpu" in command for rule in OTHERS for command in of(found, rule))
