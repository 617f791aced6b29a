"""A file system without locks: a run goes on after one warning, and so does HDF5, which locks files by itself."""

import os
import shutil
import subprocess

import pytest

from tests.end_to_end.conftest import snakemake
from tests.end_to_end.small import project

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler, to answer for the kernel"),
]
FLOCK = """
#include <errno.h>
int flock(int descriptor, int operation) { errno = ENOLCK; return -1; }
"""
SCRIPT = """
from pathlib import Path
from skyloom.core.job import job

with job(snakemake):
    import h5py
    with h5py.File("table.h5", "w") as file:
        file["x"] = [1]
    with h5py.File("table.h5") as file:
        Path(snakemake.output[0]).write_text(f"{file['x'][0]}")
"""


def test_a_run_on_a_file_system_without_locks_ends_well_and_warns_once(tmp_path):
    folder, library = project(tmp_path / "project", SCRIPT), tmp_path / "flock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"], input=FLOCK, text=True, check=True)
    locked = "import fcntl; fcntl.flock(open('Snakefile'), fcntl.LOCK_EX)"
    given = {"cwd": folder, "capture_output": True, "text": True, "env": {**os.environ, "LD_PRELOAD": str(library)}}
    command = snakemake(folder, "--cores", "1")
    assert "No locks available" in subprocess.run([command[0], "-c", locked], **given).stderr
    done = subprocess.run(command, **given)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("no file locks on this file system") == 1
    assert (folder / "results/joined.txt").read_text() == "1"
    assert "no file locks on this file system" in (folder / "results/logs/part-a.log").read_text()
