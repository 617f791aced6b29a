"""Drawn galaxies against GalSim and closed forms."""

import dataclasses
import itertools

import numpy as np
import pytest

from skyloom.mock.instruments.images import drawing
from skyloom.mock.instruments.images.camera import HSC, HSC_LARGE, HSC_ON_LEGACY, LEGACY, conditions
from skyloom.mock.instruments.images.structure import draw_knots
from tests.mock.instruments.images.galaxy_sample import galsim_profile, make_galaxies

CAMERAS = {"legacy": LEGACY, "hsc": HSC, "hsc_large": HSC_LARGE, "hsc_on_legacy": HSC_ON_LEGACY}


def round_sky(galaxies, camera, fwhm=None):
    """Conditions at the galaxies with a round PSF of `fwhm` (n, bands)."""
    sky = conditions(galaxies["ra"], galaxies["dec"], camera, 0, 0.0)
    sky = dataclasses.replace(sky, anisotropy=0 * sky.anisotropy)
    return sky if fwhm is None else dataclasses.replace(sky, fwhm=np.broadcast_to(fwhm, sky.fwhm.shape))


def ones(galaxies, camera):
    return np.ones((len(galaxies["ra"]), len(camera.bands)))


def galsim_image(profile, fwhm, offset, camera):
    galsim = pytest.importorskip("galsim")
    seen = galsim.Convolve(profile, galsim.Moffat(beta=camera.moffat_beta, fwhm=fwhm))
    return seen.shift(*offset).drawImage(nx=camera.size, ny=camera.size, scale=camera.pixel_scale).array


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_agrees_with_galsim_within_half_a_percent_of_peak(camera):
    galsim = pytest.importorskip("galsim")
    shapes = list(itertools.product([0.3, 2.0, 8.0], [0.2, 4.0], [0.2, 1.0], [0.1, 0.9], [0.0, 0.1]))
    grid = np.array(shapes[:: 1 if camera is LEGACY else 3])
    galaxies = make_galaxies(len(grid))
    galaxies |= {"r_disk": grid[:, 0], "r_bulge": grid[:, 1], "q_disk": grid[:, 2]}
    galaxies["bulge_fraction"] = np.repeat(grid[:, 3:4], 3, axis=1) * [0.8, 1.0, 1.1]
    point = grid[:, 4:] * ones(galaxies, camera)
    fwhm = np.linspace(0.85, 1.15, len(camera.bands)) * camera.fwhm * ones(galaxies, camera)
    sky = round_sky(galaxies, camera, fwhm)
    offset = np.random.default_rng(1).uniform(-0.13, 0.13, (len(grid), 2))

    ours, _ = drawing.draw_galaxies(galaxies, ones(galaxies, camera), sky, camera, point_flux=point, offset=offset)

    assert (galaxies["bar_fraction"] > 0).any()
    for row in range(len(grid)):
        band = row % len(camera.bands)
        host = galsim_profile(galaxies, row, band, camera) * (1 - point[row, band])
        profile = galsim.Add(host, galsim.DeltaFunction(point[row, band]) if point[row, band] else 0 * host)
        oracle = galsim_image(profile, fwhm[row, band], offset[row], camera)
        assert np.abs(ours[row, band] - oracle).max() < 0.005 * oracle.max(), grid[row]


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_nucleus_looks_like_the_psf(camera):
    galsim = pytest.importorskip("galsim")
    galaxies = make_galaxies(1)
    sky = round_sky(galaxies, camera)
    flux = ones(galaxies, camera)
    ours, _ = drawing.draw_galaxies(galaxies, flux, sky, camera, point_flux=flux)
    for band in range(len(camera.bands)):
        oracle = galsim_image(galsim.DeltaFunction(), sky.fwhm[0, band], (0, 0), camera)
        assert np.abs(ours[0, band] - oracle).max() < 0.005 * oracle.max()


def test_galaxies_larger_than_the_cutout_do_not_fold_back_into_it():
    galaxies = make_galaxies(1, r_disk=24.0, q_disk=0.8, bulge_fraction=0.0)
    ours, _ = drawing.draw_galaxies(galaxies, np.ones((1, 3)), round_sky(galaxies, LEGACY, 1.2), LEGACY)
    oracle = galsim_image(galsim_profile(galaxies, 0, 1, LEGACY), 1.2, (0, 0), LEGACY)
    assert np.abs(ours[0, 1] - oracle).max() < 0.005 * oracle.max()


def test_stars_are_elliptical_as_galsim_shears_them():
    galsim = pytest.importorskip("galsim")
    galaxies = make_galaxies(1)
    for camera, (plus, cross) in itertools.product((LEGACY, HSC), ((0.006, 0.0), (-0.003, 0.005))):
        moments = np.array([[plus, cross]]) * np.median(camera.fwhm) ** 2
        sky = dataclasses.replace(round_sky(galaxies, camera, camera.fwhm), anisotropy=moments)
        flux = ones(galaxies, camera)
        ours, _ = drawing.draw_galaxies(galaxies, flux, sky, camera, point_flux=flux)
        seen = galsim.hsm.FindAdaptiveMom(galsim.Image(ours[0, 1], scale=camera.pixel_scale))
        # a Gaussian's would be this; a Moffat's core responds up to a quarter more
        ellipticity = moments[0] / (seen.moments_sigma * camera.pixel_scale) ** 2
        assert (seen.observed_shape.e1, seen.observed_shape.e2) == pytest.approx(1.15 * ellipticity, rel=0.1, abs=1e-5)
        sheared = galsim.Moffat(beta=camera.moffat_beta, fwhm=camera.fwhm[1]).shear(seen.observed_shape)
        oracle = sheared.drawImage(nx=camera.size, ny=camera.size, scale=camera.pixel_scale).array
        assert np.abs(ours[0, 1] - oracle).max() < 0.01 * oracle.max()


def test_fibre_fraction_agrees_with_galsim_aperture_under_one_arcsec_seeing():
    galsim = pytest.importorskip("galsim")
    galaxies = make_galaxies(4, seed=3)
    _, fibre = drawing.draw_galaxies(galaxies, ones(galaxies, LEGACY), round_sky(galaxies, LEGACY), LEGACY)
    step, size = 0.02, 101
    y, x = np.mgrid[:size, :size] - size // 2
    aperture = np.hypot(x, y) * step < 0.75

    def caught(profile):
        seen = galsim.Convolve(profile, galsim.Gaussian(fwhm=1.0))
        return seen.drawImage(nx=size, ny=size, scale=step, method="no_pixel").array[aperture].sum()

    for row in range(4):
        assert fibre[row, 1] == pytest.approx(caught(galsim_profile(galaxies, row, 1, LEGACY)), rel=0.01)
    assert caught(galsim.DeltaFunction()) == pytest.approx(drawing.FIBRE_POINT, rel=0.005)


def test_fibre_fractions_need_no_images_and_no_seeing():
    galaxies = make_galaxies(9, seed=3)
    knots = draw_knots(galaxies, np.random.default_rng(2))
    for fwhm in (0.8, 2.0):
        sky = round_sky(galaxies, LEGACY, fwhm)
        _, fibre = drawing.draw_galaxies(galaxies, ones(galaxies, LEGACY), sky, LEGACY, knots=knots)
        np.testing.assert_array_equal(drawing.fibre_fractions(galaxies, LEGACY, knots), fibre)


@pytest.mark.parametrize("camera", [LEGACY, HSC_LARGE], ids=["legacy", "hsc"])
def test_fluxes_add_up_whatever_a_galaxy_is_made_of(camera):
    galaxies = make_galaxies(8, clumpiness=1.0, bulge_fraction=0.2, r_disk=1.0, r_bulge=0.5, bar_fraction=0.2)
    flux = np.random.default_rng(0).uniform(5, 40, (8, len(camera.bands)))
    knots = draw_knots(galaxies, np.random.default_rng(2))
    sky = round_sky(galaxies, camera)
    drawn, _ = drawing.draw_galaxies(galaxies, flux, sky, camera, point_flux=0.3 * flux, knots=knots)
    # a few per mille of the wings of bulge and PSF are outside
    np.testing.assert_allclose(drawn.sum(axis=(2, 3)), flux, rtol=0.02)


def test_arms_and_clumps_only_move_light():
    galaxies = make_galaxies(8, clumpiness=1.0, bulge_fraction=0.0, r_disk=1.5, bar_fraction=0.0)
    knots = draw_knots(galaxies, np.random.default_rng(2))
    sky, flux = round_sky(galaxies, LEGACY), ones(galaxies, LEGACY)
    clumpy, _ = drawing.draw_galaxies(galaxies, flux, sky, LEGACY, knots=knots)
    smooth, _ = drawing.draw_galaxies(galaxies, flux, sky, LEGACY)
    np.testing.assert_allclose(clumpy.sum(axis=(2, 3)), 1, rtol=0.003)
    # more than a tenth of the light moves, most of it in g
    moved = np.abs(clumpy - smooth).sum(axis=(2, 3))
    assert (moved[:, 0] > 0.1).all() and (moved[:, 0] > moved[:, 2]).all()


def test_bars_are_redder_than_their_discs():
    galaxies = make_galaxies(1, bulge_fraction=0.0, bar_fraction=0.3, r_disk=3.0, r_bar=0.6, q_disk=0.9)
    drawn, _ = drawing.draw_galaxies(galaxies, np.ones((1, 3)), round_sky(galaxies, LEGACY, 1.2), LEGACY)
    centre, outside = drawn[0, :, 76, 76], drawn[0, :, 76, 90]
    assert centre[2] / centre[0] > 1.2 * outside[2] / outside[0]


def test_knots_lie_in_the_plane_of_their_disc():
    galaxies = make_galaxies(400, angle=0.6, q_disk=0.3, bar_fraction=0.0)
    knots = draw_knots(galaxies, np.random.default_rng(2))
    scale = galaxies["r_disk"][:, None]
    along = (-knots.x * np.sin(0.6) + knots.y * np.cos(0.6)) / scale
    across = (knots.x * np.cos(0.6) + knots.y * np.sin(0.6)) / scale
    assert across.std() / along.std() == pytest.approx(0.3, rel=0.05)
    assert abs(np.corrcoef(along.ravel(), across.ravel())[0, 1]) < 0.05
    np.testing.assert_allclose(knots.weight.sum(axis=1), 1)


def test_arms_of_barred_galaxies_start_at_the_ends_of_the_bar():
    galaxies = make_galaxies(200, angle=0.0, q_disk=1.0, angle_bar=0.5, bar_fraction=0.2, r_disk=2.0, r_bar=0.6)
    knots = draw_knots(galaxies, np.random.default_rng(2))
    x, y = knots.x[:, 0], knots.y[:, 0]  # the first knot of the first arm
    assert np.hypot(x, y).mean() == pytest.approx(2.0 * 0.6, rel=0.1)
    # angles run from north towards east, x to the west
    assert np.median(np.arctan2(-x, y)) == pytest.approx(0.5, abs=0.15)
