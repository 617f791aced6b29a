"""Cutouts at a user's own positions: which file has which, by the viewer and out of bricks."""

import io
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import legacy
from skyloom.formats.bricks import brickname, centre
from skyloom.formats.image_files.readers import read_catalog, read_rows
from skyloom.settings.section import parse
from skyloom.surveys import legacy as kind
from tests.archive import Archive, serving
from tests.brick_images import SIDE, brick_header, write_brick

RA, DEC = [150.371, 150.12, np.nan, 150.373, 150.13], [2.25, 2.25, 2.0, 2.26, 2.26]  # two bricks, one without


def settings(folder, **more) -> dict:
    table = {"ra": RA, "dec": DEC, "name": [f"g{n}" for n in range(5)], "z": [0.1, 0.2, 0.3, 0.4, np.nan]}
    Table(table).write(folder / "mine.csv", format="ascii.csv", overwrite=True)
    entry = {"kind": "legacy", "positions": {"file": str(folder / "mine.csv"), "identifier": "name", "redshift": "z"}}
    entry |= {"access": {"pause": 0.0, "cutout_interval": 0.0, "tries": 1, "checksums": False}, **more}
    return parse(kind.LegacySettings, entry, "surveys.mine").plain()


def made(given: dict, folder) -> tuple[list, np.ndarray, np.ndarray]:
    """Identifiers, redshifts and images of all files, in their order."""
    parsed = parse(kind.LegacySettings, given, "surveys.mine")
    names, redshifts, images = [], [], []
    for name in kind.KIND.raw_files(parsed)["images"]:
        path = folder / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind.fetch(given, 1, name, path)
        found = read_catalog(path, "image")
        names += found["identifier"].tolist()
        redshifts.append(found["redshift"])
        images.append(read_rows(path, "image", range(len(found["identifier"]))))
    return names, np.concatenate(redshifts), np.concatenate(images)


def viewer(path: str, query: str) -> bytes | None:
    """An image of the declination it is asked for."""
    body = io.BytesIO()
    fits.PrimaryHDU(np.full((3, 152, 152), float(re.search(r"dec=([-\d.]+)", query)[1]), "f4")).writeto(body)
    return body.getvalue() if path == "/fits-cutout" else None


def test_the_viewer_is_asked_for_every_position_in_the_order_of_the_table(tmp_path):
    with serving(Archive(answers=viewer)) as archive:
        given = settings(tmp_path, source="ls-dr10", shards=2, addresses={"legacy": archive.url})
        names, redshifts, images = made(given, tmp_path)
        assert len(archive.seen) == 4  # not for the row without a position
    assert names == [f"g{n}" for n in range(5)]
    np.testing.assert_allclose(redshifts, [0.1, 0.2, 0.3, 0.4, np.nan])
    np.testing.assert_allclose(images[:, 0, 0, 0], [2.25, 2.25, np.nan, 2.26, 2.26], rtol=1e-6)


@pytest.fixture
def bricks(tmp_path):
    """An archive with the two bricks; their images by name and band."""
    images, archive = {}, Archive()
    places = np.array(RA)[[0, 1]], np.array(DEC)[[0, 1]]
    for name, ra, dec in zip(brickname(*places), *centre(*places), strict=True):
        for number, band in enumerate("grz"):
            image = np.random.default_rng(number).normal(0, 1, (SIDE, SIDE)).astype("f4")
            write_brick(tmp_path / "brick.fits.fz", image, ra, dec)
            url = f"/dr10/south/coadd/{name[:3]}/{name}/legacysurvey-{name}-image-{band}.fits.fz"
            archive.files[url] = (tmp_path / "brick.fits.fz").read_bytes()
            images[str(name), band] = image, WCS(brick_header(ra, dec))
    with serving(archive):
        yield archive, images


def test_bricks_are_fetched_once_for_the_positions_in_them(tmp_path, bricks):
    archive, images = bricks
    given = settings(tmp_path, source="bricks-dr10", addresses={"bricks": archive.url})
    names, _, found = made(given, tmp_path)
    assert names == ["g2", "g1", "g4", "g0", "g3"]  # brick by brick
    assert len(archive.seen) == 6 and len({path for path, *_ in archive.seen}) == 6
    assert np.isnan(found[0]).all()
    for cutout, name in zip(found[1:], names[1:], strict=True):
        ra, dec = RA[int(name[1])], DEC[int(name[1])]
        for number, band in enumerate("grz"):
            image, wcs = images[str(brickname(np.array([ra]), np.array([dec]))[0]), band]
            x, y = (int(np.floor(v - 75.5 + 0.5)) for v in wcs.wcs_world2pix(ra, dec, 0))
            inside = cutout[number][np.isfinite(cutout[number])]
            piece = image[max(y, 0) : y + 152, max(x, 0) : x + 152]
            np.testing.assert_array_equal(inside.reshape(piece.shape), piece)


def test_the_plan_knows_the_bricks_of_every_file(tmp_path):
    given = settings(tmp_path, source="bricks-dr9", shards=2)
    listed = kind.planned(given)
    assert [file.galaxies for file in listed] == [3, 2]
    assert [len(file.parts) for file in listed] == [1, 1] and listed[0].parts[0].startswith("dr9/south/150/")


def test_more_files_than_positions_cannot_be(tmp_path):
    given = settings(tmp_path, source="ls-dr9", shards=6)
    with pytest.raises(BadInput, match="shards: 6 is not allowed; there are 5 positions"):
        made(given, tmp_path)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "source stein takes `files`, not `positions`|source stein needs files"),
        ({"source": "ls-dr9", "positions": None}, "positions: source ls-dr9 needs `positions`"),
        ({"source": "ls-dr9", "positions": {"file": "none.csv"}}, "positions.file: 'none.csv' is no file"),
    ],
)
def test_a_source_needs_what_it_cuts_out_of(tmp_path, given, line):
    with pytest.raises(BadConfig, match=line):
        settings(tmp_path, **given)


def test_files_of_stein_have_no_identifiers_of_their_own(tmp_path):
    columns = {name: np.zeros(2) for name in ("ra", "dec", "release", "brickid", "objid")} | {"flux": np.zeros((2, 3))}
    legacy.write_cutouts(tmp_path / "a.h5", np.zeros((2, 3, 152, 152)), columns)
    assert legacy.read_identifiers(tmp_path / "a.h5") is None
    legacy.write_cutouts(tmp_path / "b.h5", np.zeros((2, 3, 152, 152)), columns | {"identifier": ["é", "long name"]})
    assert legacy.read_identifiers(tmp_path / "b.h5").tolist() == ["é", "long name"]
    assert "identifier" not in legacy.read_cutout_catalog(tmp_path / "b.h5").colnames
