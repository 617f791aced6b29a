"""Downloads from a server that misbehaves: resumed, retried, verified, whole or absent."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from skyloom.core.download import Manners, Remote, download, remote_size
from skyloom.core.errors import NotAvailable, SkyloomError
from tests.archive import Archive, serving
from tests.paths import LIBRARY

NAME = "/data/file.fits"
BODY = random.Random(1).randbytes(1_000_000)
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def archive():
    with serving(Archive({NAME: BODY})) as made:
        yield made


class Waits(list):
    """The waits of a download, whose `append` a test may replace."""


@pytest.fixture
def waits():
    return Waits()


def fetch(archive, folder, waits, size=None, checksum="", **manners):
    path = folder / "file.fits"
    given = Manners(**{"timeout": 30, "tries": 3, **manners})
    download(Remote(archive.url + NAME, size, checksum), path, given, waits.append)
    assert sorted(p.name for p in folder.iterdir()) == ["file.fits"]
    return path.read_bytes()


def fault(archive, folder, waits, **given):
    """The error line of a download that must fail, and leave nothing under the final name."""
    with pytest.raises(SkyloomError) as raised:
        fetch(archive, folder, waits, **given)
    assert not (folder / "file.fits").exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_arrives_whole_and_one_that_is_there_is_not_asked_for_again(archive, tmp_path, waits):
    assert fetch(archive, tmp_path, waits, len(BODY), SHA256) == BODY
    assert fetch(archive, tmp_path, waits, len(BODY), SHA256) == BODY
    assert archive.seen == [(NAME, "", 200)] and waits == []


def test_a_connection_that_drops_goes_on_from_the_byte_where_it_was(archive, tmp_path, waits):
    archive.faults[NAME] = ["drop:300000", "drop:200000"]
    assert fetch(archive, tmp_path, waits, checksum=SHA256) == BODY
    assert [asked for _, asked, _ in archive.seen] == ["", "bytes=300000-", "bytes=500000-"]
    assert archive.sent[NAME] == len(BODY)


def test_more_breaks_than_tries_are_borne_as_long_as_each_brings_something(archive, tmp_path, waits):
    archive.faults[NAME] = ["drop:50000"] * 15
    assert fetch(archive, tmp_path, waits, tries=2, checksum=SHA256) == BODY
    assert len(archive.seen) == 16 and archive.sent[NAME] == len(BODY)


def test_a_server_that_ignores_ranges_sends_the_whole_file_once_more(archive, tmp_path, waits):
    archive.faults[NAME] = ["drop:300000", "whole"]
    assert fetch(archive, tmp_path, waits, checksum=SHA256) == BODY
    assert [status for *_, status in archive.seen] == [200, 200]


def test_another_version_of_the_file_is_not_mixed_with_the_first(archive, tmp_path, waits):
    archive.faults[NAME] = ["drop:300000"]
    other = BODY[::-1]
    waits.append = lambda seconds: archive.files.update({NAME: other})  # between the two attempts
    assert fetch(archive, tmp_path, waits) == other


def test_without_a_validator_nothing_is_resumed(archive, tmp_path, waits):
    archive.validators = False
    archive.faults[NAME] = ["drop:300000"]
    assert fetch(archive, tmp_path, waits) == BODY
    assert [asked for _, asked, _ in archive.seen] == ["", ""]


def test_a_busy_server_is_asked_again_later_and_later(archive, tmp_path, waits):
    archive.faults[NAME] = [503, 500, 502, 504]
    assert fetch(archive, tmp_path, waits, tries=5, pause=1.0, longest=3.0) == BODY
    assert len(waits) == 4
    assert all(0.5 * top <= wait <= top for wait, top in zip(waits, (1, 2, 3, 3), strict=True))


def test_waits_are_the_same_each_time_and_differ_between_files(archive, tmp_path, waits):
    archive.files["/other"] = BODY
    found = []
    for name in (NAME, NAME, "/other"):
        archive.faults[name] = [503, 503]
        waits = []
        remote_size(archive.url + name, Manners(tries=3), waits.append)
        found.append(waits)
    assert found[0] == found[1] != found[2]


def test_what_the_server_says_of_when_to_come_again_is_heeded(archive, tmp_path, waits):
    archive.faults[NAME] = [(429, {"Retry-After": "77"}), (503, {"Retry-After": "9999"})]
    assert fetch(archive, tmp_path, waits, pause=1.0, patience=500.0) == BODY
    assert waits == [77.0, 500.0]


def test_a_server_that_stays_busy_is_named_with_what_to_do(archive, tmp_path, waits):
    archive.faults[NAME] = ["drop:1000", 503, 503, 503]
    line = fault(archive, tmp_path, waits)
    assert archive.url + NAME in line and "503" in line and "run again later" in line
    assert fetch(archive, tmp_path, waits) == BODY and archive.seen[-1] == (NAME, "bytes=1000-", 206)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "login"), (403, "refuses"), (404, "no such file"), (418, "HTTP 418")]
)
def test_what_will_not_pass_is_said_at_once(archive, tmp_path, waits, status, words):
    archive.faults[NAME] = [status]
    line = fault(archive, tmp_path, waits)
    assert archive.url + NAME in line and str(status) in line and words in line
    assert waits == [] and len(archive.seen) == 1


def test_a_server_that_is_not_there_is_one_line(tmp_path, waits):
    with serving(Archive()) as gone:
        pass
    assert "no connection" in fault(gone, tmp_path, waits)


def test_a_stalled_connection_is_given_up_and_resumed(archive, tmp_path, waits):
    archive.faults[NAME] = ["stall:300000"]
    assert fetch(archive, tmp_path, waits, timeout=0.2) == BODY
    assert archive.seen[-1] == (NAME, "bytes=300000-", 206)


def test_wrong_bytes_are_fetched_once_more_and_then_refused(archive, tmp_path, waits):
    archive.faults[NAME] = ["wrong"]
    assert fetch(archive, tmp_path, waits, checksum=SHA256) == BODY
    (tmp_path / "file.fits").unlink()
    archive.faults[NAME] = ["wrong", "wrong"]
    line = fault(archive, tmp_path, waits, checksum=SHA256)
    assert SHA256.partition(":")[2] in line and "not the one expected" in line
    md5 = "md5:" + hashlib.md5(BODY).hexdigest()
    assert fetch(archive, tmp_path, waits, checksum=md5) == BODY


def test_a_wrong_size_is_refused(archive, tmp_path, waits):
    assert "1000000 bytes, expected 999999" in fault(archive, tmp_path, waits, size=999_999)


def test_what_does_not_fit_on_the_disk_is_refused_before_it_fills_it(archive, tmp_path, waits, monkeypatch):
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("skyloom.core.download.shutil.disk_usage", lambda folder: usage)
    assert "free on this disk" in fault(archive, tmp_path, waits)


def test_the_rate_is_kept_by_waiting(archive, tmp_path, waits, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("skyloom.core.download.time.monotonic", lambda: clock[0])
    waits.append = lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    fetch(archive, tmp_path, waits, rate=100_000.0)
    assert clock[0] == pytest.approx(10.0)


def test_requests_to_one_host_keep_their_distance_and_other_hosts_do_not_wait(archive, tmp_path, monkeypatch):
    now, waits = 1000.0, []
    monkeypatch.setattr("skyloom.core.download.time.time", lambda: now)
    manners = Manners(interval=2.0, slots=str(tmp_path))
    for _ in range(3):
        remote_size(archive.url + NAME, manners, waits.append)
    assert waits == [2.0, 4.0]  # of a clock that stands still
    with serving(Archive({NAME: BODY})) as other:
        remote_size(other.url + NAME, manners, waits.append)
    assert waits == [2.0, 4.0]


KILLED = """
import sys
from skyloom.core.download import Manners, Remote, download
download(Remote(sys.argv[1]), sys.argv[2], Manners(timeout=60))
"""


def test_a_killed_download_goes_on_where_it_was_and_two_do_not_write_one_file(archive, tmp_path):
    archive.faults[NAME] = ["stall:700000"]
    path = tmp_path / "file.fits"
    command = [sys.executable, "-c", KILLED, archive.url + NAME, str(path)]
    start = {"env": {**os.environ, "PYTHONPATH": str(LIBRARY)}}
    first = subprocess.Popen(command, **start)
    assert archive.stalled.wait(60)
    part = tmp_path / "file.fits.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 700_000) and time.monotonic() < deadline:
        pass  # until what was sent is written
    second = subprocess.Popen(command, **start)  # waits for the lock of the first
    first.send_signal(signal.SIGKILL)
    assert first.wait(60) == -signal.SIGKILL and second.wait(60) == 0
    assert path.read_bytes() == BODY
    assert [asked for _, asked, _ in archive.seen] == ["", "bytes=700000-"]
    assert archive.sent[NAME] == len(BODY)


def test_the_size_is_asked_for_without_the_file(archive):
    archive.faults[NAME] = [503]
    assert remote_size(archive.url + NAME, Manners(tries=3), lambda seconds: None) == len(BODY)
    assert archive.sent.get(NAME, 0) == 0
    with pytest.raises(NotAvailable, match="404"):
        remote_size(archive.url + "/nothing", Manners(), lambda seconds: None)


def test_how_far_a_download_is_is_told_with_its_rate_and_the_time_left(archive, tmp_path, waits, monkeypatch):
    clock, said = [0.0], []
    monkeypatch.setattr("skyloom.core.download.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("skyloom.core.download.progress", said.append)
    waits.append = lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    archive.faults[NAME] = ["drop:300000"]
    fetch(archive, tmp_path, waits, rate=10_000.0, pause=2.0)
    assert any("the connection ended at byte 300000 of 1000000; again in" in line for line in said)
    assert said[-1].startswith("file.fits: 1.0 of 1.0 MB, 0.01 MB/s, 0 min left")
    assert any(line.endswith("MB/s, 1 min left") for line in said)
