"""Noise, depth, conditions over the sky and artefacts of the cameras, and what real images say about them."""

import itertools

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage, optimize
from threadpoolctl import threadpool_limits

from skyloom.mock.instruments.images import artefacts, exposure, neighbours
from skyloom.mock.instruments.images.camera import HSC, HSC_LARGE, HSC_ON_LEGACY, LEGACY, conditions, in_bands
from skyloom.mock.instruments.images.images import draw_scene, render
from tests.mock.instruments.images.galaxy_sample import make_galaxies
from tests.paths import SHARED

CAMERAS = {"legacy": LEGACY, "hsc": HSC, "hsc_large": HSC_LARGE, "hsc_on_legacy": HSC_ON_LEGACY}
SURVEYS = pytest.mark.parametrize("camera", [LEGACY, HSC, HSC_ON_LEGACY], ids=["legacy", "hsc", "hsc_on_legacy"])


def pictures(count, camera, config, seed=0, faint=False):
    scene = draw_scene(make_galaxies(count), np.random.default_rng(0), config)
    flux = in_bands(scene.galaxies["flux"], neighbours.NODES, camera) * (1e-9 if faint else 1)
    return render(scene, flux, camera, np.random.default_rng(seed), config)


def moffat_slope(psf, radius):
    """Exponent beta of the Moffat profile that fits an image of a PSF; `radius` from its centre."""

    def misfit(parameters):
        scale, beta, peak = parameters
        return (peak * (1 + (radius / scale) ** 2) ** -beta - psf / psf.max()).ravel()

    return optimize.least_squares(misfit, [0.5, 3.0, 1.0]).x[1]


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_images_have_the_cameras_bands_and_size(camera):
    seen, info = pictures(3, camera, {})
    assert seen.shape == (3, len(camera.bands), camera.size, camera.size) and seen.dtype == np.float32
    assert np.isfinite(seen).all() and info["fibreflux"].shape == (3, len(camera.bands))


@SURVEYS
def test_sky_noise_has_the_stated_width_and_correlation(camera):
    blank, info = pictures(12, camera, {"neighbours": 0, "artefact_rate": 0, "seed": 2}, faint=True)
    noise = blank / info["sky_sigma"][..., None, None]
    noise -= noise.mean(axis=(2, 3), keepdims=True)
    assert noise.std() == pytest.approx(1, rel=0.01)
    assert (noise[..., 1:] * noise[..., :-1]).mean() == pytest.approx(camera.correlation, abs=0.01)
    assert (noise[..., 1:, :] * noise[..., :-1, :]).mean() == pytest.approx(camera.correlation, abs=0.01)
    assert abs((noise[..., 3:, :] * noise[..., :-3, :]).mean()) < 0.01


@pytest.mark.parametrize("camera", [LEGACY, HSC], ids=["legacy", "hsc"])
def test_depth_is_that_of_psf_photometry_on_the_stated_noise(camera):
    galsim = pytest.importorskip("galsim")
    _, info = pictures(3, camera, {})
    for row, band in itertools.product(range(3), range(3)):
        psf = galsim.Moffat(beta=camera.moffat_beta, fwhm=info["psfsize"][row, band])
        weights = psf.drawImage(nx=61, ny=61, scale=camera.pixel_scale).array
        error = info["sky_sigma"][row, band] / np.sqrt((weights**2).sum())
        assert info["psfdepth"][row, band] ** -0.5 == pytest.approx(error, rel=0.05)


def test_photon_noise_of_bright_sources_adds_to_that_of_the_sky():
    sky = conditions(np.zeros(64), np.zeros(64), LEGACY, 0, 0.0)
    sky_flux = 10 ** (0.4 * (22.5 - np.array(LEGACY.sky))) * LEGACY.pixel_scale**2
    flat = np.tile(np.float32(3 * sky_flux)[:, None, None], (64, 1, 32, 32))
    seen = flat.copy()
    exposure.expose(seen, sky, LEGACY, np.random.default_rng(1))
    # four times the photons, twice the noise
    np.testing.assert_allclose((seen - flat).std(axis=(0, 2, 3)), 2 * sky.sky_sigma[0], rtol=0.02)


@pytest.mark.parametrize("camera", [LEGACY, HSC], ids=["legacy", "hsc"])
def test_conditions_are_smooth_over_the_sky_and_the_same_for_whoever_asks(camera):
    ra, dec = np.random.default_rng(0).uniform([[200], [0]], [[260], [60]], (2, 500))
    every = conditions(ra, dec, camera, 5)
    some = conditions(ra[::7], dec[::7], camera, 5)
    near = conditions(ra, dec + 0.002, camera, 5)
    np.testing.assert_array_equal(some.fwhm, every.fwhm[::7])
    np.testing.assert_allclose(near.fwhm, every.fwhm, rtol=0.01)
    assert 0.05 < np.log(every.fwhm[:, 1]).std() < 0.2
    assert np.log(every.zero_point).std() == pytest.approx(camera.calibration, rel=0.3)
    assert (conditions(ra, dec, camera, 5, 0.0).zero_point == 1).all()
    ellipticity = every.anisotropy / (np.median(camera.fwhm) / 2.3548) ** 2
    assert ellipticity.std() == pytest.approx(camera.ellipticity, rel=0.2)
    np.testing.assert_allclose(np.median(every.fwhm, axis=0), camera.fwhm, rtol=0.03)
    depth = 22.5 - 2.5 * np.log10(5 * every.psfdepth**-0.5)
    np.testing.assert_allclose(np.median(depth, axis=0), camera.depth, atol=0.06)


@pytest.mark.parametrize("camera", [LEGACY, HSC], ids=["legacy", "hsc"])
def test_same_generator_gives_the_same_bytes_whatever_the_threads(camera):
    config = {"seed": 1, "artefact_rate": 10}
    with threadpool_limits(2):
        two, info_two = pictures(10, camera, config, seed=4)
    with threadpool_limits(1):
        one, info_one = pictures(10, camera, config, seed=4)
    other, _ = pictures(10, camera, config, seed=5)
    assert one.tobytes() == two.tobytes()
    assert all(info_one[name].tobytes() == info_two[name].tobytes() for name in info_one)
    assert not np.array_equal(one, other)


def test_labels_tell_which_legacy_cutouts_lack_data():
    spoilt, info = pictures(120, LEGACY, {"artefact_rate": 8.0})
    clean, clean_info = pictures(120, LEGACY, {"artefact_rate": 0.0})
    assert not clean_info["artefacts"].any() and not (clean == 0).any()
    holes = (spoilt == 0).any(axis=(1, 2, 3))
    with_holes = sum(artefacts.FLAGS[name] for name in ("bleed", "edge", "masked_pixels"))
    np.testing.assert_array_equal(holes, (info["artefacts"] & with_holes) != 0)
    # an edge never hides the target
    middle = slice(LEGACY.size // 2 - 4, LEGACY.size // 2 + 4)
    only_edge = (info["artefacts"] & with_holes) == artefacts.FLAGS["edge"]
    assert only_edge.any() and (spoilt[only_edge][:, :, middle, middle] != 0).all()


def test_hsc_fills_what_it_lost_and_only_edges_are_empty():
    spoilt, info = pictures(120, HSC, {"artefact_rate": 8.0})
    seen = {name: (info["artefacts"] & bit) != 0 for name, bit in artefacts.FLAGS.items()}
    assert all(seen[name].any() for name in artefacts.RATES)
    np.testing.assert_array_equal((spoilt == 0).any(axis=(1, 2, 3)), seen["edge"])
    clean, _ = pictures(120, HSC, {"artefact_rate": 0.0})
    only = info["artefacts"] == artefacts.FLAGS["masked_pixels"]
    assert (spoilt[only] != clean[only]).any(axis=(1, 2, 3)).all()


def test_a_saturated_star_of_hsc_has_a_flat_core():
    star = neighbours.Objects(*(np.array([v]) for v in (0, neighbours.STAR, 0.0, 0.0, [2000.0] * 5, 0.0, 1.0, 0.0)))
    sky = conditions(np.zeros(1), np.zeros(1), HSC, 0, 0.0)
    y, x = np.mgrid[:64, :64] - 31.5
    image = np.tile((1 / (1 + np.hypot(x, y) ** 2 / 9)).astype(np.float32), (5, 1, 1))
    assert artefacts._bleed(image, star, sky, HSC)
    assert image.max() < 0.95 and (image > 0).all()
    np.testing.assert_allclose(image[:, 31, 29:35], image[:, 31, 32:33].repeat(6, axis=1), rtol=0.05)


def test_a_satellite_trail_brightens_one_band_and_a_halo_all():
    sky = conditions(np.zeros(1), np.zeros(1), LEGACY, 0, 0.0)
    for spoil, bands in ((artefacts._trail, 1), (artefacts._halo, 3)):
        image = np.zeros((3, 152, 152), np.float32)
        spoil(image, sky[0], np.random.default_rng(3), LEGACY)
        assert ((image > 0.5 * sky.sky_sigma[0, :, None, None]).any(axis=(1, 2))).sum() == bands


def test_real_hsc_images_have_this_noise_and_psf():
    path = SHARED / "images_hsc" / "hsc_cosmos_35.npz"
    if not path.exists():
        pytest.skip(f"no {path}")
    real = np.load(path)
    detected = 32
    correlation, slope = [], []
    y, x = np.mgrid[:43, :43] - 21
    radius = np.hypot(x, y) * HSC.pixel_scale
    for image, variance, mask, psf in zip(*(real[n] for n in ("images", "variance", "mask", "psfs")), strict=True):
        free = (mask & detected) == 0
        ground = ndimage.uniform_filter(image * free, 9) / np.maximum(ndimage.uniform_filter(1.0 * free, 9), 1e-3)
        noise = np.where(free, (image - ground) / np.sqrt(variance), np.nan)
        # the variance plane is a pixel's variance: nothing was lost to resampling
        assert np.nanstd(noise) == pytest.approx(1, abs=0.1)
        correlation.append(np.nanmean(noise[:, 1:] * noise[:, :-1]) / np.nanvar(noise))
        correlation.append(np.nanmean(noise[1:] * noise[:-1]) / np.nanvar(noise))
        slope.append(moffat_slope(psf, radius))
    assert np.mean(correlation) == pytest.approx(HSC.correlation, abs=0.04)
    assert np.median(slope) == pytest.approx(HSC.moffat_beta, abs=0.3)


def test_real_decam_images_have_this_sky_and_psf():
    folder = SHARED / "images_legacysurvey" / "obiwan_decals_grz"
    if not folder.exists():
        pytest.skip(f"no {folder}")
    y, x = np.mgrid[:63, :63] - 31
    radius = np.hypot(x, y) * LEGACY.pixel_scale
    slope = []
    for path in folder.glob("calib/decam/psfex/*/*/*.fits"):
        psf = fits.getdata(path)[0][0].reshape(6, 63, 63)[0]
        slope.append(moffat_slope(psf, radius))
        core = psf * np.exp(-0.5 * (radius / 0.7) ** 2)
        ellipticity = (core * (x**2 - y**2)).sum() / (core * (x**2 + y**2)).sum()
        assert abs(ellipticity) < 3 * LEGACY.ellipticity
    assert np.mean(slope) == pytest.approx(LEGACY.moffat_beta, abs=0.3)
    for band, sky in zip(LEGACY.bands, LEGACY.sky, strict=True):
        (path,) = folder.glob(f"images/decam/*/*/*ooi_{band}*.fits")
        with fits.open(path) as hdus:
            image = next(hdu.data for hdu in hdus if hdu.data is not None)
            seen = hdus[0].header["MAGZERO"] - 2.5 * np.log10(np.median(image) / LEGACY.pixel_scale**2)
        assert seen == pytest.approx(sky, abs=1.1)  # these nights were not as dark


def test_lost_pixels_are_interpolated_along_their_row():
    rng = np.random.default_rng(0)
    image, lost = rng.normal(size=(64, 64)).astype(np.float32), rng.random((64, 64)) < 0.6
    lost[3] = True
    lost[4, :5] = lost[5, 60:] = True
    filled = image.copy()
    artefacts._lose(filled, lost, HSC)
    columns = np.arange(64)
    for row in np.delete(columns, 3):
        kept = ~lost[row]
        expected = np.interp(columns, columns[kept], image[row, kept])
        np.testing.assert_allclose(filled[row], expected, atol=1e-6)


@pytest.mark.parametrize("camera", [LEGACY, HSC])
def test_other_nights_are_deeper_or_worse_by_what_they_say(camera):
    ra, dec = np.linspace(150, 152, 40), np.linspace(1, 3, 40)
    usual, deep, blurred = (conditions(ra, dec, c, 5) for c in (camera, camera.on(1.0, 1.0), camera.on(0.0, 1.5)))
    np.testing.assert_allclose(deep.sky_sigma, usual.sky_sigma * 10**-0.4, rtol=1e-10)
    np.testing.assert_allclose(deep.psfdepth, usual.psfdepth * 10**0.8, rtol=1e-10)
    np.testing.assert_allclose(blurred.fwhm, usual.fwhm * 1.5, rtol=1e-10)
    # as many photons of the sky in a pixel; a point source lies in 1.5 times as many pixels a side
    np.testing.assert_allclose(blurred.sky_sigma, usual.sky_sigma, rtol=1e-10)
    np.testing.assert_allclose(blurred.psfdepth, usual.psfdepth / 1.5**2, rtol=1e-10)
    assert camera.on(0.0, 1.0) == camera
