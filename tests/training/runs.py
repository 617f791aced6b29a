"""What tests of training share: changing a configuration, reading metrics."""

import json
import os
import subprocess
import sys

from tests.paths import ROOT

KINDS = ("specformer", "astrodino", "astroclip")


def change(config, **parts):
    """A config with some keys of `model` and `training` changed."""
    return {**config, **{part: {**config.get(part, {}), **values} for part, values in parts.items()}}


def rows(folder, split=None):
    """Rows of metrics, of one split or all."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in lines if split in (None, row["split"])]


def in_processes(jobs, folder, environment):
    """Exit codes by job and process, and what they said, of `tests.training.processes`."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    paths = {"PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], str(ROOT)])}
    command = [sys.executable, "-m", "tests.training.processes", folder / "jobs.json"]
    done = subprocess.run(command, env={**environment, **paths}, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr
