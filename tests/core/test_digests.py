"""A digest is taken from the cache only for the very content that it was taken of."""

import hashlib
import os

import pytest

from skyloom.core import digests
from skyloom.core.digests import cached, digest, remember


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, at=None):
    with open("coadd.fits", "w") as file:
        file.write(text)
    if at is not None:
        os.utime("coadd.fits", ns=(at, at))
    return hashlib.sha256(text.encode()).hexdigest()


def test_other_content_of_the_same_size_and_an_older_time_is_seen():
    first = write("old", at=10**18)
    remember("coadd.fits", first)
    assert cached("coadd.fits") == digest("coadd.fits") == first
    second = write("new", at=10**18 - 1)  # as `rsync -a` brings it
    assert digest("coadd.fits") == second


def test_a_replaced_file_of_the_same_size_and_time_is_seen():
    remember("coadd.fits", write("old", at=10**18))
    os.rename("coadd.fits", "kept.fits")  # so that its inode is not given again
    second = write("new", at=10**18)
    assert digest("coadd.fits") == second


def test_content_is_read_once(monkeypatch):
    value = write("text")
    monkeypatch.setattr(digests, "TICK", -(10**18))  # the file counts as settled
    assert digest("coadd.fits") == value
    monkeypatch.setattr(digests, "sha256", lambda path: pytest.fail("read again"))
    assert digest("coadd.fits") == value


def test_a_file_changed_this_moment_is_not_remembered(monkeypatch):
    value = write("text")
    monkeypatch.setattr(digests, "TICK", 10**18)
    assert digest("coadd.fits") == value and cached("coadd.fits") is None


@pytest.mark.parametrize("left", ["", "[1, 2", "[]", "{}"])
def test_a_damaged_entry_is_none(left):
    value = write("text")
    remember("coadd.fits", "0" * 64)
    digests._entry("coadd.fits").write_text(left)
    assert digest("coadd.fits") == value
