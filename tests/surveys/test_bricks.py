"""Images cut out of the bricks of the Legacy Surveys: which bricks, from where, and what if one is not there."""

import hashlib

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from skyloom.core.errors import NotAvailable
from skyloom.formats import legacy, wanted_galaxies
from skyloom.formats.bricks import brickname, centre
from skyloom.settings.section import parse
from skyloom.surveys import desi
from skyloom.surveys.common import bricks, checksums
from tests.archive import Archive, serving
from tests.brick_images import SIDE, brick_header, write_brick

NAME = "images/101/images_npix152_sv3_bright_10150.h5"
TWO = (150.13, 2.13), (150.38, 2.13)  # in two bricks that lie side by side


def test_a_source_is_in_the_region_of_its_release():
    ra, dec = np.array([150.0, 150.0, 150.0, 150.0, 150.0, 20.0, 150.0]), np.array([40.0, 40, 40, 40, 40, 40, 10])
    release = [9011, 9010, 9012, 10000, 0, 0, 0]
    regions = [name.split("/")[:2] for name in bricks.folders("bricks-dr9", release, ra, dec)]
    assert [region for _, region in regions] == ["north", "south", "south", "south", "north", "south", "south"]
    assert {layer for layer, _ in regions} == {"dr9"}
    galactic = SkyCoord(ra[4:6], dec[4:6], unit="deg").galactic.b.deg  # what the last but one decides on
    assert galactic[0] > 0 > galactic[1]
    ten = [name.split("/")[:2] for name in bricks.folders("bricks-dr10", release, ra, dec)]
    assert ten[0] == ["dr9", "north"] and ten[1] == ["dr10", "south"]


def test_bricks_are_where_the_releases_have_them():
    """Names as legacysurvey.org lists them (files/dr10.1-sub-blob-bricks.txt, dr9/files)."""
    given = parse(desi.DesiSettings, {"kind": "desi", "release": "edr", "modalities": ["image"]}, "s").plain()
    addresses = given["addresses"] | {"bricks": "http://portal/legacysurvey/"}
    files = bricks.files("dr10/south/001/0014m852")
    url = bricks.url(files[2], addresses)
    assert url == "http://portal/legacysurvey/dr10/south/coadd/001/0014m852/legacysurvey-0014m852-image-z.fits.fz"
    assert desi.url(files[2], {**given, "addresses": addresses}) == url
    sums = checksums.place(url, addresses)
    assert sums.rpartition("/")[2] == "legacysurvey_dr10_south_coadd_001_0014m852.sha256sum"


class Sky:
    """Two bricks at an archive, and three galaxies in them, as DESI's catalogue tells."""

    def __init__(self, folder, archive):
        self.folder, self.archive, self.images, self.served = folder, archive, {}, []
        ra, dec = (np.array(values) for values in zip(*TWO, strict=True))
        self.names = [str(name) for name in brickname(ra, dec)]
        middle = list(zip(*centre(ra, dec), strict=True))
        x, y = np.array([200.3, 420.8, 300.5]), np.array([333.3, 90.4, 500.5])
        of_brick = np.array([0, 0, 1])
        place = [WCS(brick_header(*middle[b])).wcs_pix2world(*p, 0) for *p, b in zip(x, y, of_brick, strict=True)]
        self.ra, self.dec = np.array(place, float).T
        assert list(brickname(self.ra, self.dec)) == [self.names[b] for b in of_brick]
        rng = np.random.default_rng(1)
        for brick, position in zip(self.names, middle, strict=True):
            for band in "grz":
                image = rng.normal(0, 0.01, (SIDE, SIDE)).astype("f4")
                self.images[brick, band] = image
                write_brick(folder / "brick.fits.fz", image, *position)
                self.archive.files[self.url(brick, band)] = (folder / "brick.fits.fz").read_bytes()
        self.corners = np.floor(np.stack([y, x], 1) - 75.5 + 0.5).astype(int)
        self.archive.files["/dr9/south/survey-bricks-dr9-south.fits.gz"] = b"table"

    def url(self, brick: str, band: str) -> str:
        return f"/dr9/south/coadd/{brick[:3]}/{brick}/legacysurvey-{brick}-image-{band}.fits.fz"

    def settings(self, **access) -> dict:
        access = {"pause": 0.0, "tries": 1, "checksums": False} | access
        entry = {"kind": "desi", "release": "edr", "modalities": ["spectrum", "image"], "images": "bricks-dr9"}
        entry |= {"addresses": {"bricks": self.archive.url}, "access": access}
        return parse(desi.DesiSettings, entry, "surveys.own").plain()

    def raw(self, name: str):
        """A new raw folder, with the table of wanted galaxies."""
        raw = self.folder / name
        raw.mkdir(exist_ok=True)
        names = [f"dr9/south/{brick[:3]}/{brick}" for brick in self.names]
        values = {"targetid": np.arange(3), "ra": self.ra, "dec": self.dec}
        values |= {name: np.full(3, 9010) for name in ("release", "brickid", "objid")}
        values |= {name: np.zeros(3) for name in ("z_spec", "ebv", *(f"flux_{band}" for band in "grz"))}
        one = np.zeros(3, int)
        texts = {"survey": (one, ["sv3"]), "program": (one, ["bright"]), "coadd": (one, ["c"]), "images": (one, [NAME])}
        texts["brick"] = (np.array([0, 0, 1]), names)
        wanted_galaxies.write(raw / "wanted.parquet", wanted_galaxies.table(values, texts))
        return raw

    def fetch(self, raw, **access) -> np.ndarray:
        """The images of the file that is made."""
        path = raw / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        desi.fetch(self.settings(**access), 1, NAME, path)
        table = legacy.read_cutout_catalog(path)
        assert list(table["ra"]) == list(self.ra)
        return legacy.read_cutouts(path, range(3))

    def expected(self) -> np.ndarray:
        images = [
            [self.images[self.names[b], band][i : i + 152, j : j + 152] for band in "grz"]
            for b, (i, j) in zip((0, 0, 1), self.corners, strict=True)
        ]
        return np.array(images)


@pytest.fixture
def sky(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving(Archive()) as archive:
        yield Sky(tmp_path, archive)


def test_images_are_cut_out_of_bricks_that_go_at_once(sky):
    raw = sky.raw("raw")
    np.testing.assert_array_equal(sky.fetch(raw), sky.expected())
    assert [path for path, *_ in sky.archive.seen] == [sky.url(brick, band) for brick in sky.names for band in "grz"]
    assert {path.name for path in raw.rglob("*") if path.is_file()} == {"wanted.parquet", NAME.rpartition("/")[2]}


def test_bricks_that_are_kept_are_read_where_they_are(sky):
    raw = sky.raw("raw")
    for brick in sky.names:
        for name in bricks.files(f"dr9/south/{brick[:3]}/{brick}"):
            desi.fetch(sky.settings(), 1, name, raw / name)
    sky.archive.seen.clear()
    np.testing.assert_array_equal(sky.fetch(raw), sky.expected())
    assert sky.archive.seen == [] and len(list(raw.rglob("*.fits.fz"))) == 6


def test_what_was_cut_out_before_a_failure_is_not_fetched_again(sky):
    raw = sky.raw("raw")
    sky.archive.faults[sky.url(sky.names[1], "r")] = [503]
    with pytest.raises(NotAvailable, match="503"):
        sky.fetch(raw)
    assert not (raw / NAME).exists()
    sky.archive.seen.clear()
    np.testing.assert_array_equal(sky.fetch(raw), sky.expected())
    assert [path for path, *_ in sky.archive.seen] == [sky.url(sky.names[1], band) for band in "rz"]  # g had come


def test_a_band_that_the_archive_lacks_is_nan_and_the_others_are_there(sky):
    del sky.archive.files[sky.url(sky.names[0], "z")]
    found, expected = sky.fetch(sky.raw("raw")), sky.expected()
    assert np.isnan(found[:2, 2]).all()
    expected[:2, 2] = np.nan
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("status", "words"), [(403, "refuses"), (500, "run again later")])
def test_another_answer_stops(sky, status, words):
    sky.archive.faults[sky.url(sky.names[0], "g")] = [status] * 2
    with pytest.raises(NotAvailable, match=words):
        sky.fetch(sky.raw("raw"))


def test_where_not_even_the_table_of_bricks_is_it_is_the_address_that_is_wrong(sky):
    sky.archive.files.clear()
    with pytest.raises(NotAvailable, match="look whether `addresses.bricks` is right"):
        sky.fetch(sky.raw("raw"))


def test_a_brick_is_verified_by_the_checksums_of_its_folder(sky, monkeypatch):
    said = []
    monkeypatch.setattr("skyloom.core.job.progress", lambda text, every=15.0: said.append(text))
    brick = sky.names[0]
    sums = f"/dr9/south/coadd/{brick[:3]}/{brick}/legacysurvey_dr9_south_coadd_{brick[:3]}_{brick}.sha256sum"
    lines = [(sky.archive.files[sky.url(brick, band)], f"legacysurvey-{brick}-image-{band}.fits.fz") for band in "grz"]
    sky.archive.files[sums] = "".join(f"{hashlib.sha256(b).hexdigest()}  {name}\n" for b, name in lines).encode()
    sky.archive.faults[sky.url(brick, "g")] = ["wrong"]
    np.testing.assert_array_equal(sky.fetch(sky.raw("raw"), checksums=True), sky.expected())
    assert [path for path, *_ in sky.archive.seen].count(sky.url(brick, "g")) == 2
    # the other brick's folder has none: that is said once, for three files
    assert len([text for text in said if "no checksum" in text]) == 1
