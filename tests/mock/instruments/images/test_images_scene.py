"""What lies in a scene: objects at the sky's counts, the same for every camera; and what is put in by hand."""

import dataclasses

import numpy as np
import pytest

from skyloom.core.errors import BadInput
from skyloom.mock.instruments.images import images, neighbours, stamps
from skyloom.mock.instruments.images.camera import HSC, HSC_LARGE, LEGACY, conditions, in_bands
from skyloom.mock.instruments.images.images import add_arc, add_object, draw_scene, render
from tests.mock.instruments.images.galaxy_sample import make_galaxies

CLEAN = {"artefact_rate": 0, "image_calibration": 0.0}


def fluxes(scene, camera):
    """Integrated fluxes of the targets in the camera's bands, near enough."""
    return in_bands(scene.galaxies["flux"], neighbours.NODES, camera)


def picture(scene, camera, seed=1, config=CLEAN):
    return render(scene, fluxes(scene, camera), camera, np.random.default_rng(seed), config)


def empty_scene(count=1, **fixed):
    galaxies = make_galaxies(count, **fixed)
    return draw_scene(galaxies, np.random.default_rng(0), {"neighbours": 0})


def offset_of(image, camera):
    """Centroid of an image, arcsec to the west and to the north of its middle."""
    y, x = (np.mgrid[: camera.size, : camera.size] - (camera.size - 1) / 2) * camera.pixel_scale
    return (image * x).sum() / image.sum(), (image * y).sum() / image.sum()


def test_objects_follow_the_counts():
    objects = neighbours.draw_objects(np.full(400, 18.0), np.random.default_rng(0), 1.0)
    magnitude = 22.5 - 2.5 * np.log10(objects.flux[:, 1])
    is_star = objects.kind == neighbours.STAR
    for limits, side in (((13.0, 24.2), neighbours.WIDE_FIELD), ((24.2, 27.2), neighbours.DEEP_FIELD)):
        grid = np.arange(limits[0] + 0.005, limits[1], 0.01)
        area = 400 * (side / 3600) ** 2 * 0.01
        within = (magnitude > limits[0]) & (magnitude < limits[1])
        stars, field = (area * counts(grid).sum() for counts in (neighbours.star_counts, neighbours.galaxy_counts))
        assert (within & is_star).sum() == pytest.approx(stars, abs=4 * np.sqrt(stars))
        assert (within & ~is_star).sum() == pytest.approx(field, abs=4 * np.sqrt(field))


def test_counts_are_the_published_ones():
    magnitude = np.arange(10.005, 27, 0.01)

    def brighter(counts, limit):  # per arcmin^2
        return 0.01 * counts(magnitude[magnitude < limit]).sum() / 3600

    # SDSS: Strauss et al. 2002 (AJ 124, 1810); DESI: Hahn et al. 2023 (AJ 165, 253)
    assert brighter(neighbours.galaxy_counts, 17.77) * 3600 == pytest.approx(90, rel=0.15)
    assert brighter(neighbours.galaxy_counts, 19.5) * 3600 == pytest.approx(864, rel=0.05)
    # LSST Science Book (2009), section 3.7: 46 * 10^(0.31 (i - 25)) per arcmin^2, r - i = 0.35
    for limit in (24.0, 25.0, 26.5):
        published = 46 * 10 ** (0.31 * (limit - 0.35 - 25))
        assert brighter(neighbours.galaxy_counts, limit) == pytest.approx(published, rel=0.15)
    assert brighter(neighbours.star_counts, 20) * 3600 == pytest.approx(2000, rel=0.15)


def test_colours_of_stars_and_galaxies_are_plausible_in_every_band():
    objects = neighbours.draw_objects(np.full(200, 18.0), np.random.default_rng(0), 1.0)
    colour = -2.5 * np.log10(objects.flux[:, :-1] / objects.flux[:, 1:])
    assert (colour.mean(axis=0) > 0).all() and (colour.mean(axis=0)[1:] < colour[:, 0].mean()).all()
    assert (np.abs(colour) < 2.5).all()


def test_two_cameras_see_the_same_neighbours():
    scene = empty_scene(6, flux=1e-6)
    places = [(-2.0, 1.5), (3.1, 2.2), (-3.3, -2.9), (0.4, 3.7), (2.6, -3.0), (-1.0, -1.0)]
    for row, place in enumerate(places):
        scene = add_object(scene, row, *place, np.full(5, 40.0), 0.5, 0.6, 0.3)
    offsets = []
    for camera in (LEGACY, HSC, HSC_LARGE):
        seen, info = picture(scene, camera)
        assert (info["neighbours"] == 1).all()
        # the target's offset within its pixel is the camera's own
        shift = scene.offset * camera.pixel_scale
        window = np.maximum(seen[:, 1] - 6 * info["sky_sigma"][:, 1, None, None], 0)
        offsets.append([offset_of(image, camera) for image in window] - shift)
    for found in offsets:
        np.testing.assert_allclose(found, places, atol=0.06)


def test_only_the_deep_camera_sees_faint_neighbours_within_its_field():
    scene = draw_scene(make_galaxies(40), np.random.default_rng(0), {})
    sky = {camera: conditions(scene.galaxies["ra"], scene.galaxies["dec"], camera, 0, 0.0) for camera in (LEGACY, HSC)}
    seen = {c: stamps.project(scene.objects, scene.offset * c.pixel_scale, sky[c], c) for c in sky}
    magnitude = {camera: 22.5 - 2.5 * np.log10(seen[camera].flux[:, 1]) for camera in sky}
    assert 23.8 < magnitude[LEGACY].max() < 25.5 and 26.3 < magnitude[HSC].max() < 28
    assert np.abs(seen[LEGACY].x).max() > 20 and np.abs(seen[HSC].x[magnitude[HSC] > 25]).max() < 8


def test_an_object_keeps_its_flux_and_place_even_over_the_border():
    sky = conditions(np.zeros(3), np.zeros(3), LEGACY, 0, 0.0)
    edge = LEGACY.size / 2 * LEGACY.pixel_scale
    for kind in (neighbours.STAR, neighbours.DISC, neighbours.BULGE, neighbours.KNOT):
        objects = neighbours.Objects(
            cutout=np.array([0, 1]),
            kind=np.full(2, kind),
            x=np.array([3.3, edge]),
            y=np.array([-5.1, 0.0]),
            flux=np.array([[20.0, 30.0, 40.0]] * 2),
            radius=np.full(2, 0.8),
            axis_ratio=np.full(2, 0.7),
            angle=np.full(2, 1.0),
        )
        painted = np.zeros((3, 3, 152, 152), np.float32)
        stamps.paint(painted, objects, sky, LEGACY)
        total = painted.sum(axis=(2, 3))
        lost = 0.05 if kind == neighbours.BULGE else 0.01  # in the wings, below a third of a pixel's noise
        np.testing.assert_allclose(total[0], objects.flux[0], rtol=lost)
        np.testing.assert_allclose(total[1], objects.flux[1] / 2, rtol=0.02 + lost)  # half of it falls outside
        assert not painted[2].any()
        assert offset_of(painted[0, 1], LEGACY) == pytest.approx((3.3, -5.1), abs=0.04)


def test_an_arc_lies_around_its_lens_and_keeps_its_flux():
    plain = empty_scene(3, flux=1e-6)
    flux = np.array([12.0, 9.0, 8.0, 8.0, 8.0])
    lensed = add_arc(plain, 1, flux, 1.5, np.random.default_rng(2))
    assert (lensed.objects.cutout == 1).all()
    np.testing.assert_allclose(lensed.objects.flux.sum(axis=0), flux)
    for camera in (LEGACY, HSC):
        difference = picture(lensed, camera)[0] - picture(plain, camera)[0]
        assert not difference[[0, 2]].any()
        expected = 10 ** in_bands(np.log10(flux)[None], neighbours.NODES, camera)[0]
        np.testing.assert_allclose(difference[1].sum(axis=(1, 2)), expected, rtol=0.05)
        y, x = (np.mgrid[: camera.size, : camera.size] - (camera.size - 1) / 2) * camera.pixel_scale
        shift = lensed.offset[1] * camera.pixel_scale
        radius = np.hypot(x - shift[0], y - shift[1])
        assert (difference[1, 0] * radius).sum() / difference[1, 0].sum() == pytest.approx(1.5, abs=0.35)


def test_rows_of_a_scene_are_scenes():
    scene = draw_scene(make_galaxies(9), np.random.default_rng(0), {})
    flux = fluxes(scene, HSC)
    for rows in (slice(2, 5), np.array([7, 0]), np.arange(9) % 3 == 0):
        some = scene[rows]
        chosen = np.arange(9)[rows]
        assert len(some) == len(chosen)
        for new, old in enumerate(chosen):
            x_new, x_old = (s.objects.x[s.objects.cutout == row] for s, row in ((some, new), (scene, old)))
            np.testing.assert_array_equal(x_new, x_old)
        # without noise the pictures are the same but for the last bits
        every, _ = render(scene, flux, HSC, np.random.default_rng(0), CLEAN)
        part, info = render(some, flux[rows], HSC, np.random.default_rng(0), CLEAN)
        noise = info["sky_sigma"][..., None, None]
        assert (np.abs(part - every[rows]) < 12 * noise + 0.3 * np.abs(every[rows])).all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("r_disk", None, "no field r_disk"),
        ("q_disk", np.ones(3), r"q_disk must be finite with shape \(2,\)"),
        ("angle_bar", np.array([0.0, np.nan]), "angle_bar must be finite"),
        ("bulge_fraction", np.ones(2), r"bulge_fraction must be finite with shape \(2, 3\)"),
    ],
)
def test_bad_galaxies_are_refused(field, value, message):
    galaxies = make_galaxies(2)
    galaxies[field] = value
    if value is None:
        del galaxies[field]
    with pytest.raises(BadInput, match=message):
        draw_scene(galaxies, np.random.default_rng(0), {})


def test_flux_must_fit_the_bands():
    scene = empty_scene(2)
    with pytest.raises(BadInput, match=r"flux: expected shape \(2, 3\) for bands g, r, z"):
        render(scene, np.ones((2, 5)), LEGACY, np.random.default_rng(0), {})
    with pytest.raises(BadInput, match="point_flux"):
        render(scene, np.ones((2, 5)), HSC, np.random.default_rng(0), {}, np.ones((2, 3)))


def test_the_nucleus_enters_the_fibre_like_a_star():
    scene = empty_scene(4)
    flux = np.full((4, 3), 10.0)
    host, hosts = render(scene, flux, LEGACY, np.random.default_rng(0), CLEAN)
    both, active = render(scene, flux, LEGACY, np.random.default_rng(0), CLEAN, 0.5 * flux)
    np.testing.assert_array_equal(active["fibre_fraction"], hosts["fibre_fraction"])
    np.testing.assert_allclose(active["fibreflux"], 0.5 * hosts["fibreflux"] + 5 * images.FIBRE_POINT)
    middle = LEGACY.size // 2
    assert (both[:, 1, middle, middle] > host[:, 1, middle, middle]).all()


def test_same_state_gives_the_same_scene():
    galaxies = make_galaxies(5)
    one, two, other = (draw_scene(galaxies, np.random.default_rng(seed), {}) for seed in (3, 3, 4))
    for field in dataclasses.fields(one.objects):
        np.testing.assert_array_equal(getattr(one.objects, field.name), getattr(two.objects, field.name))
    np.testing.assert_array_equal(one.knots.x, two.knots.x)
    assert not np.array_equal(one.offset, other.offset)
