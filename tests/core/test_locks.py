"""Locks where the file system has none, and where somebody deletes the file."""

import errno
import fcntl
import threading

import pytest

from skyloom.core.errors import SkyloomError
from skyloom.core.job import only_run
from skyloom.core.locks import waiting_lock
from tests.events import wait_until


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_the_body_runs_after_one_warning(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    said, ran = [], []
    with waiting_lock(tmp_path / "x.lock", said.append):
        ran.append(True)
    assert ran and len(said) == 1 and "no file locks" in said[0]
    with only_run(tmp_path / ".snakemake"):
        ran.append(True)
    assert len(ran) == 2


def test_another_error_of_locking_is_raised(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="broken"), waiting_lock(tmp_path / "x.lock", print):
        pass


def test_three_holders_follow_each_other_although_the_file_is_removed_in_between(tmp_path):
    path, order, waiting = tmp_path / "locks" / "x.lock", [], []

    def hold(name):
        with waiting_lock(path, waiting.append):
            order.extend([name, name])

    with waiting_lock(path, waiting.append):
        others = [threading.Thread(target=hold, args=(name,)) for name in "ab"]
        for other in others:
            other.start()
        wait_until(lambda: len(waiting) == 2, "both wait")
        assert order == []
    for other in others:
        other.join()
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
    assert not path.exists()


def test_a_second_run_is_refused_and_a_third_allowed_afterwards(tmp_path):
    folder = tmp_path / ".snakemake"
    with only_run(folder), pytest.raises(SkyloomError, match="another run works in this folder"), only_run(folder):
        pass
    with only_run(folder):
        pass
