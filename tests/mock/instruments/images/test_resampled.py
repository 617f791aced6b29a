"""A camera on another's pixels: what is measured on its images is what its own pixels, put together, would show."""

import dataclasses

import numpy as np
import pytest

from skyloom.mock.instruments.images import drawing, exposure
from skyloom.mock.instruments.images.camera import HSC, HSC_ON_LEGACY, LEGACY, conditions
from tests.mock.instruments.images.galaxy_sample import make_galaxies

RATIO = LEGACY.pixel_scale / HSC.pixel_scale
BANDS = [HSC.bands.index(band) for band in LEGACY.bands]
CAMERAS = pytest.mark.parametrize("camera", [LEGACY, HSC, HSC_ON_LEGACY], ids=["legacy", "hsc", "hsc_on_legacy"])


def covered(pixels, start):
    """Parts (pixels, old pixels) of old pixels of width 1 that new ones of width RATIO cover, from `start` on."""
    left, old = start + RATIO * np.arange(pixels)[:, None], np.arange(int(RATIO * pixels) + 3)
    return np.clip(np.minimum(left + RATIO, old + 1) - np.maximum(left, old), 0, None)


def stars(camera, count):
    """Noiseless stars of flux 1 (count, bands, size, size), and the conditions; the PSF is round."""
    galaxies = make_galaxies(count)
    sky = conditions(galaxies["ra"], galaxies["dec"], camera, 0, 0.0)
    sky = dataclasses.replace(sky, anisotropy=0 * sky.anisotropy)
    flux = np.ones((count, len(camera.bands)))
    return drawing.draw_galaxies(galaxies, flux, sky, camera, point_flux=flux)[0], sky


def measured_error(camera, count=60):
    """Scatter of the fluxes of stars, fitted with the PSF on images of nothing, over psfdepth^-1/2, in all bands."""
    psf, sky = stars(camera, count)
    middle = slice(camera.size // 2 - 20, camera.size // 2 + 20)
    psf, found = psf[..., middle, middle], []
    for seed in range(25):
        blank = np.zeros(psf.shape, np.float32)
        exposure.expose(blank, sky, dataclasses.replace(camera, size=40), np.random.default_rng(seed))
        blank -= np.median(blank, axis=(2, 3), keepdims=True)  # the level of the sky
        found.append((psf * blank).sum(axis=(2, 3)) / (psf**2).sum(axis=(2, 3)) * np.sqrt(sky.psfdepth))
    return np.std(found)


@pytest.mark.parametrize("correlation", [0.0, HSC.correlation, 0.4])
def test_noise_is_that_of_the_old_pixels_put_together(correlation):
    camera = dataclasses.replace(HSC, correlation=correlation).resampled(LEGACY)
    rng, new = np.random.default_rng(0), []
    for old in exposure._correlated_noise((200, 100, 100), correlation, rng):
        rows, columns = (covered(60, start) for start in rng.random(2))
        new.append(rows @ old[: rows.shape[1], : columns.shape[1]] @ columns.T)
    new = np.stack(new)
    assert new.std() / RATIO == pytest.approx(camera.averaged, rel=0.01)
    for one, other in ((new[:, 1:], new[:, :-1]), (new[..., 1:], new[..., :-1])):
        assert (one * other).mean() / new.var() == pytest.approx(camera.correlation, abs=0.01)


def test_white_noise_on_other_pixels_has_its_closed_form():
    camera = dataclasses.replace(HSC, correlation=0.0).resampled(LEGACY)
    # along an axis: a step of width r folded with one of width 1, variance r - 1/3, covariance of neighbours 1/6
    assert camera.averaged == pytest.approx((RATIO - 1 / 3) / RATIO)
    assert camera.correlation == pytest.approx(1 / 6 / (RATIO - 1 / 3))
    same = LEGACY.resampled(LEGACY)  # half a pixel off, on average: the old ones are put together there too
    assert same.averaged < 1 and dataclasses.replace(same, averaged=1.0, correlation=0.1) == LEGACY
    with pytest.raises(ValueError, match="pixels"):
        LEGACY.resampled(dataclasses.replace(HSC, bands=("g",)))


def test_it_keeps_all_of_its_survey_but_pixels():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform([[200], [0]], [[260], [60]], (2, 50))
    own, new = (conditions(ra, dec, camera, 5) for camera in (HSC, HSC_ON_LEGACY))
    for name in ("fwhm", "psfdepth", "zero_point"):
        np.testing.assert_array_equal(getattr(new, name), getattr(own, name)[:, BANDS])
    shape = new.anisotropy / np.median(HSC_ON_LEGACY.fwhm) ** 2, own.anisotropy / np.median(HSC.fwhm) ** 2
    np.testing.assert_allclose(*shape)
    np.testing.assert_allclose(new.sky_sigma / own.sky_sigma[:, BANDS], RATIO * HSC_ON_LEGACY.averaged)
    assert (HSC_ON_LEGACY.saturation, HSC_ON_LEGACY.bleed, HSC_ON_LEGACY.interpolated) == (18.0, 0, True)
    assert (HSC_ON_LEGACY.size, HSC_ON_LEGACY.pixel_scale) == (LEGACY.size, LEGACY.pixel_scale)
    assert HSC_ON_LEGACY.on(-1.0, 1.5) == HSC.on(-1.0, 1.5).resampled(LEGACY)


@CAMERAS
def test_stars_are_as_wide_as_the_psf_of_the_camera(camera):
    seen, sky = stars(camera, 4)
    y, x = np.mgrid[: camera.size, : camera.size] - (camera.size - 1) / 2
    for radius in (0.9, 1.4):
        inside = np.hypot(x, y) * camera.pixel_scale < radius
        radius = np.sqrt(inside.sum() / np.pi) * camera.pixel_scale
        core = sky.fwhm / (2 * np.sqrt(2 ** (1 / camera.moffat_beta) - 1))
        share = 1 - (1 + (radius / core) ** 2) ** (1 - camera.moffat_beta)
        # the pixel spreads a little more out of the aperture
        np.testing.assert_allclose(seen[..., inside].sum(axis=-1), share, rtol=0.03)


def test_the_depth_measured_on_images_is_the_same_on_both_grids():
    """Noisier than stated, as the noise of neighbours goes together; a pixel that averages others hides nothing."""
    own, new, legacy = (measured_error(camera) for camera in (HSC, HSC_ON_LEGACY, LEGACY))
    assert new == pytest.approx(own, rel=0.03)
    assert 1.1 < legacy < 1.3 and 1.1 < own < 1.3
