"""Checksums that archives publish: where they are, and what is made of them."""

import hashlib
import json

import pytest

from skyloom.core.errors import NotAvailable
from skyloom.settings.section import parse
from skyloom.surveys import desi
from skyloom.surveys.common import archives, checksums
from tests.archive import Archive, serving

BASE = {"desi": "http://d/public/", "bricks": "http://b/ls", "galaxiesml": "http://z/records/11117528/files"}
SHA = "ab" * 32


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("http://d/public/dr1/spectro/redux/iron/zcatalog/v1/zall-pix-iron.fits", "redux_iron_zcatalog_v1.sha256sum"),
        (
            "http://d/public/dr1/spectro/redux/iron/healpix/main/dark/100/10000/coadd-main-dark-10000.fits",
            "redux_iron_healpix_main_dark_100_10000.sha256sum",
        ),
        ("http://b/ls/dr9/north/coadd/112/1126p372/x.fits.fz", "legacysurvey_dr9_north_coadd_112_1126p372.sha256sum"),
    ],
)
def test_sums_lie_in_the_folder_of_the_file_under_its_name(address, where):
    assert checksums.place(address, BASE) == f"{address.rpartition('/')[0]}/{where}"


def test_zenodo_tells_them_of_a_record_and_other_places_have_none():
    assert checksums.place("http://z/records/11117528/files/a.hdf5", BASE) == "http://z/api/records/11117528"
    for address in ("http://d/public/edr/vac/edr/provabgs/v1.0/a.hdf5", "http://elsewhere/a", "http://z/other/a"):
        assert checksums.place(address, BASE) == ""


def test_a_sum_is_found_by_the_name_of_the_file():
    text = f"{'0' * 64}  other.fits\n{SHA} *./healpix/coadd.fits\nno line\n<html>coadd.fits</html>\n"
    assert checksums.read(text, "coadd.fits") == f"sha256:{SHA}"
    assert checksums.read(text, "add.fits") == "" and checksums.read("", "coadd.fits") == ""
    record = {"files": [{"key": "a.hdf5", "checksum": "md5:1"}, {"key": "b.hdf5", "checksum": "md5:2"}]}
    assert checksums.read(json.dumps(record), "b.hdf5") == "md5:2" and checksums.read("{}", "b.hdf5") == ""


def settings(archive, **access) -> dict:
    entry = {
        "kind": "desi",
        "release": "edr",
        "modalities": ["spectrum"],
        "access": {"pause": 0.0, "tries": 2} | access,
    }
    entry["addresses"] = {"desi": archive.url, "galaxiesml": f"{archive.url}/records/11117528/files"}
    return parse(desi.DesiSettings, entry, "surveys.own").plain()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving(Archive()) as made:
        yield made


NAME = "spectra/healpix/sv3/bright/1/101/coadd-sv3-bright-101.fits"
PLACE = "/edr/spectro/redux/fuji/healpix/sv3/bright/1/101/"


def test_a_coadd_that_is_not_what_its_checksum_says_is_refused(archive, tmp_path):
    body = b"coadd" * 1000
    archive.files[f"{PLACE}coadd-sv3-bright-101.fits"] = body
    sums = f"{PLACE}redux_fuji_healpix_sv3_bright_1_101.sha256sum"
    archive.files[sums] = f"{SHA}  coadd-sv3-bright-101.fits\n".encode()
    with pytest.raises(NotAvailable, match=f"expected {SHA}, twice"):
        desi.fetch(settings(archive), 1, NAME, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()
    desi.fetch(settings(archive, checksums=False), 1, NAME, tmp_path / NAME)
    (tmp_path / NAME).unlink()
    archive.files[sums] = f"{hashlib.sha256(body).hexdigest()}  coadd-sv3-bright-101.fits\n".encode()
    desi.fetch(settings(archive), 1, NAME, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == body


def test_where_none_are_published_that_is_said_once_and_the_file_comes(archive, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("skyloom.core.job.progress", lambda text, every=15.0: said.append(text))
    archive.files[f"{PLACE}coadd-sv3-bright-101.fits"] = b"coadd"
    for _ in range(2):
        desi.fetch(settings(archive), 1, NAME, tmp_path / NAME)
        (tmp_path / NAME).unlink()
    assert len(said) == 1 and "no checksum of coadd-sv3-bright-101.fits" in said[0]


def test_sums_that_the_archive_refuses_to_send_stop_nothing_else_than_this_file(archive, tmp_path):
    archive.files[f"{PLACE}coadd-sv3-bright-101.fits"] = b"coadd"
    archive.faults[f"{PLACE}redux_fuji_healpix_sv3_bright_1_101.sha256sum"] = [503, 503]
    with pytest.raises(NotAvailable, match="sha256sum: HTTP 503.*run again later"):
        desi.fetch(settings(archive), 1, NAME, tmp_path / NAME)


def test_a_file_of_zenodo_is_verified_by_its_md5(archive, tmp_path):
    name = archives.galaxiesml_files(64)[0]
    key, body = name.rpartition("/")[2], b"images"
    archive.files[f"/records/11117528/files/{key}"] = body
    record = {"files": [{"key": key, "checksum": f"md5:{hashlib.md5(body).hexdigest()}"}]}
    archive.files["/api/records/11117528"] = json.dumps(record).encode()
    archive.faults[f"/records/11117528/files/{key}"] = ["wrong"]
    desi.fetch(settings(archive), 1, name, tmp_path / name)
    assert (tmp_path / name).read_bytes() == body
