"""Locks where the file system has none, and where somebody deletes the file."""

import errno
import fcntl
import threading

import pytest

from skyloom.core.download import Manners, remote_size
from skyloom.core.errors import SkyloomError
from skyloom.core.job import only_run
from skyloom.core.locks import waiting_lock
from tests.archive import Archive, serving
from tests.events import wait_until


@pytest.fixture(params=["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])
def no_locks(request, monkeypatch):
    """A file system without locks, by one of the answers that such give."""

    def flock(*_):
        raise OSError(getattr(errno, request.param), "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_without_locks_the_body_runs_after_one_warning(tmp_path, no_locks):
    said, warned, ran = [], [], []
    with waiting_lock(tmp_path / "x.lock", said.append, warned.append):
        ran.append(True)
    assert ran and said == [] and len(warned) == 1 and "no file locks" in warned[0]


def test_a_run_without_locks_begins_after_one_warning(tmp_path, no_locks, capsys):
    with only_run(tmp_path / ".snakemake"):
        assert capsys.readouterr().err.count("\n") == 1
    with only_run(tmp_path / ".snakemake"):
        assert "no file locks on this file system: do not start two runs" in capsys.readouterr().err


def test_without_locks_a_job_keeps_the_interval_of_an_archive_by_itself_and_warns_once(tmp_path, no_locks, caplog):
    waits, manners = [], Manners(interval=2.0, slots=str(tmp_path))
    with serving(Archive({"/file": b"0"})) as archive:
        assert remote_size(f"{archive.url}/file", manners, waits.append) == 1
        assert remote_size(f"{archive.url}/file", manners, waits.append) == 1
    assert len(waits) == 1 and 0 < waits[0] <= 2
    assert [record.message for record in caplog.records if "no file locks" in record.message] != []
    assert len({record.message for record in caplog.records}) == len(caplog.records)


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
