"""A Snakemake killed with SIGKILL leaves its job running: the rerun of that job waits for it."""

import os
import signal
import subprocess

import pytest

from tests.end_to_end.conftest import snakemake
from tests.end_to_end.small import project
from tests.events import wait_until

pytestmark = pytest.mark.end_to_end

# Each run says when it begins and ends; it ends when it may.
SCRIPT = """
import time
from pathlib import Path
from skyloom.core.job import job

def say(word):
    with open("order.txt", "a") as file:
        file.write(word + "\\n")

with job(snakemake):
    say("begin")
    deadline = time.monotonic() + 240
    while not Path("go").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    Path(snakemake.output[0]).write_text("made")
    say("end")
"""


def test_a_rerun_waits_for_the_job_that_a_killed_snakemake_left_behind(tmp_path):
    folder = project(tmp_path / "project", SCRIPT)
    order, terminal = folder / "order.txt", folder / "terminal.txt"
    command = snakemake(folder, "--cores", "1", "results/parts/a.txt")

    def words():
        return order.read_text().split() if order.exists() else []

    first = subprocess.Popen(command, cwd=folder, stdout=-3, stderr=-3)
    wait_until(lambda: words() == ["begin"], "the first job begins")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with open(terminal, "w") as file:
        second = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
    # Either it waits, or it works beside the first one.
    wait_until(lambda: "waiting for" in terminal.read_text() or len(words()) > 1, "the second job begins or waits")
    (folder / "go").touch()
    assert second.wait(timeout=1800) == 0, terminal.read_text()
    wait_until(lambda: words().count("end") == 2, "both jobs end")
    assert words() == ["begin", "end", "begin", "end"]
    assert "part a: waiting for an earlier run of the same job to end" in terminal.read_text()
    assert not list((folder / "results/.locks").rglob("*.lock"))
