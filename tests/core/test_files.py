"""Outputs are whole or absent, whatever goes wrong while they are written."""

import os
import subprocess

import h5py
import numpy as np
import pytest

from skyloom.core.errors import SkyloomError
from skyloom.core.files import atomic, sha256, write_json


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
