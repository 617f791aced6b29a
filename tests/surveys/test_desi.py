"""DESI's data releases: which files are wanted, where they are, and what fetching them would take."""

import io
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skyloom.catalog.wanted import list_files
from skyloom.core.errors import BadConfig, BadInput, SkyloomError
from skyloom.formats import desi as formats
from skyloom.formats import legacy
from skyloom.settings import listing
from skyloom.settings.section import parse
from skyloom.surveys import desi
from skyloom.surveys.common import cutouts
from tests.archive import Archive, serving

FLUXES = {f"FLUX_{band}": 3.0 for band in "GRZ"}
GOOD = {"ZWARN": 0, "COADD_FIBERSTATUS": 0, "OBJTYPE": "TGT", "SPECTYPE": "GALAXY", "ZCAT_PRIMARY": True, "Z": 0.1}
GOOD |= {"SURVEY": "sv3", "PROGRAM": "bright", "ZERR": 1e-5, "DELTACHI2": 99.0, "EBV": 0.01, **FLUXES}
GOOD |= {"RELEASE": 9010, "BRICKID": 5, "BRICK_OBJID": 6, "TARGET_RA": 10.0, "TARGET_DEC": 0.0}
# pixel 101 has three good galaxies, 100 and 7 one each
ROWS = (
    {"TARGETID": 1, "HEALPIX": 101},
    {"TARGETID": 2, "HEALPIX": 101, "TARGET_RA": 359.0},
    {"TARGETID": 3, "HEALPIX": 101, "TARGET_RA": 20.0},
    {"TARGETID": 4, "HEALPIX": 100, "TARGET_RA": 200.0},
    {"TARGETID": 5, "HEALPIX": 7, "TARGET_DEC": 40.0},
    {"TARGETID": 6, "HEALPIX": 101, "PROGRAM": "dark"},
    {"TARGETID": 7, "HEALPIX": 300, "ZWARN": 4},
    {"TARGETID": 8, "HEALPIX": 301, "ZCAT_PRIMARY": False},
    {"TARGETID": 9, "HEALPIX": 302, "Z": np.nan},
)


def settings(**more) -> dict:
    entry = {"kind": "desi", "release": "edr", "modalities": ["spectrum", "image"], **more}
    return parse(desi.DesiSettings, entry, "surveys.own").plain()


@pytest.fixture
def zcatalog(tmp_path):
    path = tmp_path / "zall.fits"
    formats.write_zcatalog(path, Table(rows=[{**GOOD, **row} for row in ROWS]))
    return str(path)


def wanted(folder, zcatalog, **more):
    """Names of the wanted coadds, and the table of galaxies."""
    path = folder / "files.json"
    list_files("own", settings(**more), zcatalog, desi.KIND, "key", path)
    files = listing.read(path, "key")
    assert listing.read(path, "another key") is None
    galaxies = Table.read(folder / "wanted.parquet")
    by_name = {file.file: file.galaxies for file in files}
    assert by_name == {
        name: int((galaxies[role] == name).sum()) for role in ("coadd", "images") for name in galaxies[role]
    }
    return sorted(file.file for file in files if file.role == "coadd"), galaxies


def coadd(hpix: int, program: str = "bright") -> str:
    return f"spectra/healpix/sv3/{program}/{hpix // 100}/{hpix}/coadd-sv3-{program}-{hpix}.fits"


def test_only_files_with_galaxies_that_pass_the_cuts_are_wanted(tmp_path, zcatalog):
    files, galaxies = wanted(tmp_path, zcatalog)
    assert files == sorted([coadd(101), coadd(100), coadd(7)])
    assert sorted(galaxies["targetid"]) == [1, 2, 3, 4, 5]
    assert set(galaxies["release"]) == {9010} and set(galaxies["brickid"]) == {5} and set(galaxies["objid"]) == {6}


def test_programs_footprint_and_the_number_of_files_are_heeded(tmp_path, zcatalog):
    assert wanted(tmp_path, zcatalog, programs=["sv3/dark"])[0] == [coadd(101, "dark")]
    assert wanted(tmp_path, zcatalog, most_files=1)[0] == [coadd(101)]
    assert wanted(tmp_path, zcatalog, most_files=2)[0] == [coadd(7), coadd(101)]  # of two alike the first by name
    assert wanted(tmp_path, zcatalog, footprint={"dec": [30.0, 50.0]})[0] == [coadd(7)]
    through_zero = wanted(tmp_path, zcatalog, footprint={"ra": [350.0, 15.0], "dec": [-1.0, 1.0]})[1]
    assert sorted(through_zero["targetid"]) == [1, 2]


def test_what_cannot_be_is_one_line(tmp_path, zcatalog):
    with pytest.raises(BadInput, match="none of 6 good galaxies is of main/dark"):
        wanted(tmp_path, zcatalog, programs=["main/dark"])
    with pytest.raises(BadInput, match="surveys.own.shards: 4 is not allowed; must be at most 3"):
        wanted(tmp_path, zcatalog, shards=4)
    with pytest.raises(BadConfig, match="programs.*'bright' is not allowed; expected a survey and a program"):
        settings(programs=["bright"])


@pytest.mark.parametrize(
    ("release", "catalogue", "redux"),
    [
        ("edr", "zall-pix-fuji.fits", "edr/spectro/redux/fuji"),
        ("dr1", "v1/zall-pix-iron.fits", "dr1/spectro/redux/iron"),
    ],
)
def test_files_are_where_the_releases_have_them(release, catalogue, redux):
    given = settings(release=release, addresses={"desi": "http://mirror/"})
    known = desi.raw_files(parse(desi.DesiSettings, {**given, "modalities": ["hsc_image"]}, "surveys.own"))
    assert desi.url(known["zcatalog"][0], given) == f"http://mirror/{redux}/zcatalog/{catalogue}"
    assert desi.url(coadd(10016), given) == (
        f"http://mirror/{redux}/healpix/sv3/bright/100/10016/coadd-sv3-bright-10016.fits"
    )
    assert desi.url("images/0/images_npix152_sv3_bright_7.h5", given) == ""
    assert desi.url("properties/BGS_ANY_full.provabgs.sv3.v0.hdf5", given).startswith(
        "http://mirror/edr/vac/edr/provabgs/"
    )
    assert [desi.url(name, given).rpartition("/")[2] for name in known["hsc"]] == [
        f"5x64x64_{split}_with_morphology.hdf5" for split in ("training", "validation", "testing")
    ]


def images(targetid: int) -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.full((3, 152, 152), targetid, "f4")).writeto(file)
    return file.getvalue()


def viewer(path: str, query: str) -> bytes | None:
    return images(round(float(re.search(r"ra=([\d.]+)", query)[1]))) if path == "/fits-cutout" else None


def test_cutouts_become_a_file_of_steins_layout_and_those_that_came_are_kept(tmp_path, zcatalog):
    _, galaxies = wanted(tmp_path, zcatalog)
    name = "images/1/images_npix152_sv3_bright_101.h5"
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    with serving(Archive(answers=viewer)) as archive:
        given = settings(addresses={"legacy": archive.url}, access={"cutout_interval": 0.0, "pause": 0.0, "tries": 1})
        archive.faults["/fits-cutout"] = [200, None, 503]  # an empty answer, one that is right, a busy server
        for expected in ("sent", "503"):
            with pytest.raises(SkyloomError, match=expected):
                desi.fetch(given, 1, name, path)
            assert not path.exists()
        archive.seen.clear()
        desi.fetch(given, 1, name, path)
        came = len(archive.seen)
    assert came == 2  # of three, one had come before
    table = legacy.read_cutout_catalog(path)
    rows = galaxies[galaxies["images"] == name]
    assert list(table["ra"]) == list(rows["ra"]) and set(table["brickid"]) == {5}
    assert [image[0, 0, 0] for image in legacy.read_cutouts(path, range(3))] == [round(ra) for ra in rows["ra"]]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_cutout_of_another_size_is_refused_and_fetched_again(tmp_path):
    fits.PrimaryHDU(np.zeros((3, 10, 10), "f4")).writeto(tmp_path / "small.fits")
    with pytest.raises(BadInput, match=r"sent \(3, 10, 10\), expected an image of \(3, 152, 152\)"):
        cutouts.read(tmp_path / "small.fits")
    assert not (tmp_path / "small.fits").exists()


def test_files_of_stein_and_copies_in_a_folder_are_linked(tmp_path):
    given = settings(
        images="stein", stein_files=["north/a.h5", "south/a.h5"], addresses={"stein": str(tmp_path / "copy")}
    )
    parsed = parse(desi.DesiSettings, given, "surveys.own")
    names = desi.raw_files(parsed)["images"]
    assert names == ["images/stein/north/a.h5", "images/stein/south/a.h5"] and desi.later(parsed) == ("coadd",)
    (tmp_path / "copy/north").mkdir(parents=True)
    (tmp_path / "copy/north/a.h5").write_bytes(b"images")
    desi.fetch(given, 1, names[0], tmp_path / names[0])
    assert (tmp_path / names[0]).is_symlink() and (tmp_path / names[0]).read_bytes() == b"images"
    with pytest.raises(SkyloomError, match="south/a.h5: no such file in this folder"):
        desi.fetch(given, 1, names[1], tmp_path / names[1])
    with pytest.raises(BadConfig, match="'stein' needs `stein_files`"):
        settings(images="stein")
