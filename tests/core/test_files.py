"""Outputs are whole or absent, whatever goes wrong while they are written."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from skyloom.core.errors import SkyloomError
from skyloom.core.files import atomic, sha256, sweep, write_json


def test_atomic_replaces_only_when_the_body_ends(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ValueError), atomic(path) as temporary:
        temporary.write_text("half of the new")
        raise ValueError("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_the_temporary_file_has_the_name_of_the_final_one(tmp_path):
    with atomic(tmp_path / "report.zip") as temporary:
        assert temporary.name == "report.zip"
        temporary.write_text("x")


WRITER = """
import os, signal, sys
from skyloom.core.files import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_sweep_removes_what_killed_writers_left_and_nothing_else(tmp_path):
    path = tmp_path / "figures" / "retrieval.png"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=-1, stdout=-1) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == b"begun\n"
    left = {writer.pid: folder for writer in writers for folder in path.parent.glob(f".partial-*-{writer.pid}-*")}
    dead, live = writers
    dead.kill()
    dead.communicate()
    foreign = path.parent / f".partial-another.host-{dead.pid}-abcdefgh"
    unknown = path.parent / ".partial-of-somebody"
    foreign.mkdir(), unknown.mkdir()
    assert sweep(tmp_path) == [left[dead.pid]]
    assert {*path.parent.iterdir()} == {left[live.pid], foreign, unknown}
    live.communicate(b"")
    assert path.read_text() == "half" and sweep(tmp_path) == []


def test_same_value_same_json_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def _write_bytes(path):
    path.write_bytes(bytes(8 << 20))


def _write_hdf5(path):
    with h5py.File(path, "w") as file:
        for block in range(8):
            file.create_dataset(f"flux{block}", data=np.ones((1 << 17,)))
            file.flush()


@pytest.mark.parametrize("write", [_write_bytes, _write_hdf5])
def test_full_disk_is_one_line_and_leaves_nothing(small_disk, write):
    with pytest.raises(SkyloomError, match="disk is full") as error, atomic(small_disk / "shard.h5") as temporary:
        write(temporary)
    assert "\n" not in str(error.value)
    assert os.listdir(small_disk) == []
