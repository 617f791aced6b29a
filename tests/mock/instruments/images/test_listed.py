"""Galaxies of the catalogue on each other's cutouts: at their place, with their light, as on their own."""

import dataclasses

import numpy as np
import pytest

from skyloom.mock.instruments.images import drawing, neighbours
from skyloom.mock.instruments.images.camera import HSC, LEGACY, conditions
from skyloom.mock.instruments.images.images import draw_scene, render
from skyloom.mock.instruments.images.listed import Listed, paint_listed
from skyloom.mock.instruments.images.neighbours import Provided
from skyloom.mock.instruments.images.structure import draw_knots
from tests.mock.instruments.images.galaxy_sample import galsim_profile, make_galaxies

CAMERAS = pytest.mark.parametrize("camera", [LEGACY, HSC], ids=["legacy", "hsc"])


def calm(galaxies, camera):
    """Conditions that are the same at all galaxies, with a round PSF."""
    sky = conditions(galaxies["ra"], galaxies["dec"], camera, 0, 0.0)
    sky = sky[np.zeros(len(galaxies["ra"]), int)]
    return dataclasses.replace(sky, anisotropy=0 * sky.anisotropy)


def pair(galaxies, knots, camera, x, y, flux, share=0.0) -> Listed:
    """Two galaxies, each on the other's cutout; the second lies at `x`, `y` arcsec from the first."""
    swap = np.array([1, 0])
    shapes = {name: values[swap] for name, values in galaxies.items()}
    bands = flux * np.ones((2, len(camera.bands)))
    return Listed(np.arange(2), np.array([x, -x]), np.array([y, -y]), shapes, knots[swap], bands, share * bands)


@CAMERAS
def test_a_pair_ten_arcsec_apart_agrees_with_galsim(camera):
    """Each at its place on the other's cutout, disc, bulge, bar and nucleus, under the PSF there."""
    galsim = pytest.importorskip("galsim")
    galaxies = make_galaxies(2, r_disk=1.2, clumpiness=0.0, bulge_fraction=0.3, bar_fraction=0.1)
    knots = draw_knots(galaxies, np.random.default_rng(0))
    sky, offset = calm(galaxies, camera), np.array([[0.05, -0.03], [0.02, 0.06]])
    x, y = (6.0, -8.0) if camera is LEGACY else (4.0, -3.0)
    images = np.zeros((2, len(camera.bands), camera.size, camera.size), np.float32)
    seen = paint_listed(images, pair(galaxies, knots, camera, x, y, 100.0, 0.2), offset, sky, camera)
    assert seen.cutout.tolist() == [0, 1]
    for row, sign in ((0, 1), (1, -1)):
        other = 1 - row
        profile = 80 * galsim_profile(galaxies, other, 1, camera) + 20 * galsim.DeltaFunction()
        profile = galsim.Convolve(profile, galsim.Moffat(beta=camera.moffat_beta, fwhm=sky.fwhm[0, 1]))
        place = (sign * x + offset[row, 0], sign * y + offset[row, 1])
        oracle = profile.shift(*place).drawImage(nx=camera.size, ny=camera.size, scale=camera.pixel_scale).array
        assert np.abs(images[row, 1] - oracle).max() < 0.01 * oracle.max()
        assert images[row, 1].sum() == pytest.approx(oracle.sum(), rel=0.03)  # the rest is below the noise
        assert oracle.sum() > 80


@CAMERAS
def test_the_light_on_the_neighbours_cutout_is_that_of_its_own(camera):
    """Arms and clumps too: a whole number of pixels away the two pictures are equal."""
    galaxies = make_galaxies(2, r_disk=1.5, clumpiness=1.0, bulge_fraction=0.1)
    knots, sky = draw_knots(galaxies, np.random.default_rng(0)), calm(galaxies, camera)
    dx, dy = (30, -23) if camera is LEGACY else (12, 17)
    flux = np.full((2, len(camera.bands)), 200.0)
    own, _ = drawing.draw_galaxies(galaxies, flux, sky, camera, knots=knots)
    others = pair(galaxies, knots, camera, dx * camera.pixel_scale, dy * camera.pixel_scale, 200.0)
    images = np.zeros_like(own)
    paint_listed(images, others, np.zeros((2, 2)), sky, camera)
    reach = 8
    middle = camera.size // 2
    for row, sign in ((0, 1), (1, -1)):
        there = images[row, :, middle + sign * dy - reach :, middle + sign * dx - reach :][:, : 2 * reach, : 2 * reach]
        here = own[1 - row][:, middle - reach : middle + reach, middle - reach : middle + reach]
        np.testing.assert_allclose(there, here[:, : there.shape[1], : there.shape[2]], atol=2e-3 * here.max())
        assert here.max() > 0.5
    # without its knots it is another picture
    smooth = np.zeros_like(own)
    paint_listed(
        smooth,
        dataclasses.replace(others, knots=draw_knots(galaxies, np.random.default_rng(1))),
        0 * sky.anisotropy,
        sky,
        camera,
    )
    assert np.abs(smooth - images).max() > 0.05 * images.max()


def test_a_galaxy_over_the_border_gives_the_part_that_is_inside_and_far_ones_nothing():
    galaxies = make_galaxies(2, r_disk=1.0, bulge_fraction=0.0, bar_fraction=0.0, clumpiness=0.0)
    knots, sky = draw_knots(galaxies, np.random.default_rng(0)), calm(galaxies, LEGACY)
    half = LEGACY.size / 2 * LEGACY.pixel_scale
    images = np.zeros((2, 3, 152, 152), np.float32)
    paint_listed(images, pair(galaxies, knots, LEGACY, half, 0.0, 50.0), np.zeros((2, 2)), sky, LEGACY)
    np.testing.assert_allclose(images.sum(axis=(2, 3)), 25.0, rtol=0.03)
    assert images[0, 1, :, 76:].sum() > 20 and images[1, 1, :, :76].sum() > 20  # to the west, to the east
    images[:] = 0
    seen = paint_listed(images, pair(galaxies, knots, LEGACY, 0.0, half + 25, 50.0), np.zeros((2, 2)), sky, LEGACY)
    assert len(seen) == 0 and not images.any()


def test_render_draws_and_counts_them():
    galaxies = make_galaxies(2, clumpiness=0.0, r_disk=1.0)
    scene = draw_scene(galaxies, np.random.default_rng(0), {"neighbours": 0})
    others = pair(galaxies, scene.knots, HSC, 1.2, 0.4, 300.0)
    arguments = (scene, np.full((2, 5), 30.0), HSC)
    alone, before = render(*arguments, np.random.default_rng(1), {"artefact_rate": 0, "image_calibration": 0})
    both, after = render(
        *arguments, np.random.default_rng(1), {"artefact_rate": 0, "image_calibration": 0}, listed=others
    )
    assert before["neighbours"].tolist() == [0, 0] and after["neighbours"].tolist() == [1, 1]
    assert before["close"].tolist() == [[1, 1, 1]] * 2
    assert after["close"].tolist() == [[1, 2, 2]] * 2  # at 7.5 pixels
    np.testing.assert_allclose((both - alone).sum(axis=(2, 3)), 300.0, rtol=0.1)


def test_random_galaxies_and_the_catalogues_together_have_the_real_skys_counts():
    rng, area = np.random.default_rng(4), 2000 * (neighbours.WIDE_FIELD / 3600) ** 2
    bright = 13.0 + np.arange(0.005, 6.5, 0.01)
    wanted = 0.01 * neighbours.galaxy_counts(bright).sum() * area  # to r = 19.5
    catalogue = rng.choice(bright, 6000, p=neighbours.galaxy_counts(bright) / neighbours.galaxy_counts(bright).sum())
    target, others = np.full(2000, 19.0), []
    for share in (0.0, 0.4, 1.0):
        patch = 6000 / (wanted / area) / max(share, 1e-9)  # deg^2 on which 6000 galaxies are this share of the sky's
        provided = Provided.of(catalogue if share else catalogue[:0], patch if share else 1.0)
        assert provided(np.array([18.0]))[0] == pytest.approx(share, abs=0.06)
        assert not provided(np.array([5.0, 21.0, 25.0])).any()
        objects = neighbours.draw_objects(target, np.random.default_rng(0), 1.0, provided)
        magnitude = 22.5 - 2.5 * np.log10(objects.flux[:, 1])
        galaxies = objects.kind != neighbours.STAR
        drawn = np.count_nonzero(galaxies & (magnitude < 19.5))
        # what is bright and on top of a target of magnitude 19 is left out in any case: a percent of the field
        assert drawn == pytest.approx((1 - share) * wanted, abs=4 * np.sqrt(wanted) + 0.05 * wanted)
        faint = np.count_nonzero(galaxies & (magnitude > 20.1))
        stars = np.count_nonzero(~galaxies)
        others.append((faint, stars))
    np.testing.assert_allclose(others, [others[0]] * 3, rtol=0.1)  # what a catalogue does not have stays
