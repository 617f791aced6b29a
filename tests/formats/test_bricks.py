"""Bricks of the Legacy Surveys: their names and numbers, and cutouts that agree with astropy's."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from skyloom.core.errors import BadInput
from skyloom.formats import bricks
from tests.brick_images import SIDE, brick_header, write_brick

RNG = np.random.default_rng(5)
RA, DEC = 150.31, 2.21
CENTRE = tuple(float(values[0]) for values in bricks.centre(np.array([RA]), np.array([DEC])))


def test_names_and_numbers_are_those_of_desiutil():
    brick = pytest.importorskip("desiutil.brick").Bricks()
    ra, dec = RNG.uniform(-10, 370, 20000), np.degrees(np.arcsin(RNG.uniform(-1, 1, 20000)))
    dec[:2] = 90.0, -90.0
    np.testing.assert_array_equal(bricks.brickid(ra, dec), brick.brickid(ra, dec))
    np.testing.assert_array_equal(bricks.brickname(ra, dec), brick.brickname(ra, dec))


@pytest.mark.parametrize("dec", [0.0, 32.3, -45.0, 73.0])
def test_a_cutout_anywhere_in_a_brick_is_whole(dec):
    """Corners of bricks, by astropy's tangent plane."""
    ra, dec = np.array([200.0]), np.array([dec])
    middle = bricks.centre(ra, dec)
    half = 360 / bricks._columns()[bricks._place(ra, dec)[0]] / 2
    wcs = WCS(brick_header(float(middle[0][0]), float(middle[1][0]), 3600))
    for east in (-1, 0, 1):
        for north in (-1, 0, 1):
            x, y = wcs.wcs_world2pix(middle[0] + east * half, middle[1] + north * 0.125, 0)
            assert 75.5 <= x[0] <= 3599 - 75.5 and 75.5 <= y[0] <= 3599 - 75.5, (east, north)


@pytest.fixture(scope="module")
def field():
    """A noisy field with three stars; a brick has it tile-compressed without loss."""
    image = RNG.normal(0, 0.01, (SIDE, SIDE)).astype("f4")
    for x, y in ((300, 411), (301, 20), (590, 100)):
        image[y, x] = 50.0
    return image


def places(n: int):
    """Positions in the middle of the field, where cutouts are whole, and on its edge."""
    wcs = WCS(brick_header(*CENTRE))
    x, y = RNG.uniform(100, SIDE - 100, (2, n))
    x[:3], y[:3] = (10.2, 300.0, SIDE - 5.6), (300.0, 5.7, SIDE - 1.4)
    return wcs.wcs_pix2world(x, y, 0)


def test_cutouts_are_those_of_astropy_and_what_lies_beyond_the_image_is_nan(tmp_path, field):
    path = tmp_path / "image.fits.fz"
    write_brick(path, field, *CENTRE)
    ra, dec = places(20)
    found = bricks.read_cutouts(path, ra, dec)
    wcs = WCS(brick_header(*CENTRE))
    for cutout, position in zip(found, SkyCoord(ra * u.deg, dec * u.deg), strict=True):
        expected = Cutout2D(field, position, 152, wcs=wcs, mode="partial", fill_value=np.nan).data
        np.testing.assert_array_equal(cutout, expected)
    assert np.isnan(found[:3]).any(axis=(1, 2)).all() and np.isfinite(found[3:]).all()


def test_a_source_is_within_half_a_pixel_of_the_middle(tmp_path, field):
    write_brick(tmp_path / "image.fits.fz", field, *CENTRE)
    wcs = WCS(brick_header(*CENTRE))
    x, y = 300.0, 411.0
    for dx, dy in ((0.0, 0.0), (0.45, -0.3), (-0.49, 0.49)):  # where the catalogue says the star is
        ra, dec = wcs.wcs_pix2world([x + dx], [y + dy], 0)
        cutout = bricks.read_cutouts(tmp_path / "image.fits.fz", ra, dec)[0]
        row, column = np.unravel_index(np.nanargmax(cutout), cutout.shape)
        assert abs(column + dx - 75.5) <= 0.5 + 1e-6 and abs(row + dy - 75.5) <= 0.5 + 1e-6


def test_the_compression_of_the_archive_is_read(tmp_path, field):
    """Rice with dithered quantization, as fpack writes it: the noise is kept to a fraction of itself."""
    write_brick(tmp_path / "image.fits.fz", field, *CENTRE, compression="RICE_1")
    ra, dec = places(8)
    write_brick(tmp_path / "exact.fits.fz", field, *CENTRE)
    exact = bricks.read_cutouts(tmp_path / "exact.fits.fz", ra, dec)
    found = bricks.read_cutouts(tmp_path / "image.fits.fz", ra, dec)
    assert (
        np.nanmax(np.abs(found - exact)) < 0.01 / 4 and (tmp_path / "image.fits.fz").stat().st_size < field.nbytes / 2
    )


def test_a_position_far_away_has_nothing_but_nan(tmp_path, field):
    write_brick(tmp_path / "image.fits.fz", field, *CENTRE)
    assert np.isnan(bricks.read_cutouts(tmp_path / "image.fits.fz", [CENTRE[0] + 180, 10.0], [-DEC, 5.0])).all()


def test_what_the_archive_lacks_is_nan(tmp_path):
    path = tmp_path / "image.fits.fz"
    bricks.write_absent(path, "http://archive/legacysurvey-1503p022-image-g.fits.fz")
    assert bricks.is_absent(path)
    assert np.isnan(bricks.read_cutouts(path, [RA], [DEC])).all()


def test_what_is_no_brick_is_one_line(tmp_path, field):
    path = tmp_path / "image.fits.fz"
    fits.PrimaryHDU(np.zeros((2, 5, 5))).writeto(path)
    with pytest.raises(BadInput, match="no image of two axes"):
        bricks.read_cutouts(path, [RA], [DEC])
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(field)]).writeto(path, overwrite=True)
    with pytest.raises(BadInput, match="no celestial coordinates"):
        bricks.read_cutouts(path, [RA], [DEC])
    coarse = brick_header(*CENTRE)
    coarse["CD1_1"], coarse["CD2_2"] = -1 / 3600, 1 / 3600
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(field, coarse)]).writeto(path, overwrite=True)
    with pytest.raises(BadInput, match=r"pixels of 1.000 x 1.000 arcsec, expected 0.262"):
        bricks.read_cutouts(path, [RA], [DEC])
    write_brick(path, field, *CENTRE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="not a readable FITS file"):
        bricks.read_cutouts(path, *places(20))
