"""Rendered cutouts against GalSim, closed forms, and the noise they claim to have."""

import dataclasses
import itertools

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skyloom.errors import BadInput
from skyloom.surveys.mock import artefacts, images, neighbours
from skyloom.surveys.mock.camera import LEGACY, Camera, conditions
from skyloom.surveys.mock.structure import draw_knots

HSC = Camera(
    bands=("g", "r", "i", "z", "y"),
    wavelength=(4810.0, 6230.0, 7710.0, 8910.0, 9760.0),
    pixel_scale=0.168,
    size=64,
    fwhm=(0.77, 0.76, 0.58, 0.68, 0.68),
    depth=(26.5, 26.1, 25.9, 25.1, 24.4),
    sky=(22.0, 21.2, 20.5, 19.6, 18.3),
)


def make_galaxies(count, bands=3, seed=0, **fixed):
    rng = np.random.default_rng(seed)
    galaxies = {
        "ra": rng.uniform(224, 226, count),
        "dec": rng.uniform(0, 2, count),
        "r_disk": rng.uniform(0.5, 3, count),
        "r_bulge": rng.uniform(0.3, 1, count),
        "q_disk": rng.uniform(0.2, 1, count),
        "q_bulge": rng.uniform(0.6, 1, count),
        "angle": rng.uniform(0, np.pi, count),
        "clumpiness": rng.uniform(0, 1, count),
        "bulge_fraction": rng.uniform(0, 1, (count, bands)),
    }
    galaxies |= {name: np.broadcast_to(value, galaxies[name].shape).astype(float) for name, value in fixed.items()}
    return galaxies, rng.uniform(5, 40, (count, bands))


def galsim_profile(galaxies, row, band):
    """The galaxy before the PSF, flux 1; GalSim's radii are circularised, its angles run from +x to +y."""
    galsim = pytest.importorskip("galsim")
    accurate = galsim.GSParams(folding_threshold=1e-3, maximum_fft_size=16384)
    bulge_fraction = galaxies["bulge_fraction"][row, band]
    turn = (galaxies["angle"][row] + np.pi / 2) * galsim.radians
    total = []
    for kind, part, share in (
        (galsim.Exponential, "disk", 1 - bulge_fraction),
        (galsim.DeVaucouleurs, "bulge", bulge_fraction),
    ):
        ratio, radius = galaxies[f"q_{part}"][row], galaxies[f"r_{part}"][row]
        profile = kind(half_light_radius=radius * np.sqrt(ratio), gsparams=accurate).shear(q=ratio, beta=turn)
        total.append(share * profile)
    return galsim.Add(total)


def galsim_image(galaxies, row, band, fwhm, offset, camera):
    galsim = pytest.importorskip("galsim")
    seen = galsim.Convolve(galsim_profile(galaxies, row, band), galsim.Moffat(beta=camera.moffat_beta, fwhm=fwhm))
    return seen.shift(*offset).drawImage(nx=camera.size, ny=camera.size, scale=camera.pixel_scale).array


@pytest.mark.parametrize("camera", [LEGACY, HSC], ids=["legacy", "hsc"])
def test_agrees_with_galsim_within_half_a_percent_of_peak(camera):
    grid = np.array(list(itertools.product([0.3, 2.0, 8.0], [0.2, 4.0], [0.2, 1.0], [0.1, 0.9])))
    galaxies, _ = make_galaxies(len(grid), len(camera.bands))
    galaxies |= {"r_disk": grid[:, 0], "r_bulge": grid[:, 1], "q_disk": grid[:, 2]}
    galaxies["bulge_fraction"] = np.repeat(grid[:, 3:], len(camera.bands), axis=1)
    flux = np.ones((len(grid), len(camera.bands)))
    fwhm = np.linspace(0.85, 1.15, len(camera.bands)) * camera.fwhm * flux
    offset = np.random.default_rng(1).uniform(-0.13, 0.13, (len(grid), 2))

    ours, _ = images.draw_profiles(galaxies, flux, fwhm, camera, offset=offset)

    for row in range(len(grid)):
        band = row % len(camera.bands)
        oracle = galsim_image(galaxies, row, band, fwhm[row, band], offset[row], camera)
        assert np.abs(ours[row, band] - oracle).max() < 0.005 * oracle.max(), grid[row]


def test_galaxies_larger_than_the_cutout_do_not_fold_back_into_it():
    galaxies, _ = make_galaxies(1, r_disk=24.0, q_disk=0.8, bulge_fraction=0.0)
    ours, _ = images.draw_profiles(galaxies, np.ones((1, 3)), np.full((1, 3), 1.2))
    oracle = galsim_image(galaxies, 0, 1, 1.2, (0, 0), LEGACY)
    assert np.abs(ours[0, 1] - oracle).max() < 0.005 * oracle.max()


def test_fibre_flux_agrees_with_galsim_aperture_under_one_arcsec_seeing():
    galsim = pytest.importorskip("galsim")
    galaxies, flux = make_galaxies(6, seed=3)
    _, fibre = images.draw_profiles(galaxies, flux, np.full((6, 3), 1.2))
    step, size = 0.02, 101
    y, x = np.mgrid[:size, :size] - size // 2
    aperture = np.hypot(x, y) * step < 0.75
    for row in range(6):
        seen = galsim.Convolve(galsim_profile(galaxies, row, 1), galsim.Gaussian(fwhm=1.0))
        fine = seen.drawImage(nx=size, ny=size, scale=step, method="no_pixel").array
        assert fibre[row, 1] == pytest.approx(flux[row, 1] * fine[aperture].sum(), rel=0.01)


def test_arms_and_clumps_leave_the_integrated_flux_alone():
    galaxies, flux = make_galaxies(8, clumpiness=1.0, bulge_fraction=0.0, r_disk=1.5)
    knots = draw_knots(galaxies, LEGACY.wavelength, np.random.default_rng(2))
    clumpy, _ = images.draw_profiles(galaxies, flux, np.full((8, 3), 1.2), LEGACY, knots)
    smooth, _ = images.draw_profiles(galaxies, flux, np.full((8, 3), 1.2), LEGACY)
    np.testing.assert_allclose(clumpy.sum(axis=(2, 3)), flux, rtol=0.003)
    # and they do something: more than a tenth of the light moves, most of it in g
    moved = np.abs(clumpy - smooth).sum(axis=(2, 3)) / flux
    assert (moved[:, 0] > 0.1).all() and (moved[:, 0] > moved[:, 2]).all()


def test_knots_lie_in_the_plane_of_their_disc():
    galaxies, _ = make_galaxies(400, angle=0.6, q_disk=0.3, clumpiness=1.0)
    knots = draw_knots(galaxies, LEGACY.wavelength, np.random.default_rng(2))
    scale = galaxies["r_disk"][:, None]
    along = (-knots.x * np.sin(0.6) + knots.y * np.cos(0.6)) / scale
    across = (knots.x * np.cos(0.6) + knots.y * np.sin(0.6)) / scale
    assert across.std() / along.std() == pytest.approx(0.3, rel=0.05)
    assert (np.abs(along * across).max() > 0) and abs(np.corrcoef(along.ravel(), across.ravel())[0, 1]) < 0.05
    np.testing.assert_allclose(knots.weight.sum(axis=1), 1)


def test_sky_noise_has_the_stated_width_and_correlation():
    galaxies, flux = make_galaxies(12)
    blank, info = images.render(
        galaxies, flux * 1e-9, np.random.default_rng(0), {"neighbours": 0, "artefact_rate": 0, "seed": 2}
    )
    noise = blank / info["sky_sigma"][..., None, None]
    noise -= noise.mean(axis=(2, 3), keepdims=True)
    assert noise.std() == pytest.approx(1, rel=0.005)
    assert (noise[..., 1:] * noise[..., :-1]).mean() == pytest.approx(LEGACY.correlation, abs=0.01)
    assert (noise[..., 1:, :] * noise[..., :-1, :]).mean() == pytest.approx(LEGACY.correlation, abs=0.01)
    assert abs((noise[..., 3:, :] * noise[..., :-3, :]).mean()) < 0.01


def test_depth_is_that_of_psf_photometry_on_the_stated_noise():
    galsim = pytest.importorskip("galsim")
    galaxies, flux = make_galaxies(4)
    _, info = images.render(galaxies, flux, np.random.default_rng(0), {})
    for row, band in itertools.product(range(4), range(3)):
        psf = galsim.Moffat(beta=LEGACY.moffat_beta, fwhm=info["psfsize"][row, band])
        weights = psf.drawImage(nx=61, ny=61, scale=LEGACY.pixel_scale).array
        error = info["sky_sigma"][row, band] / np.sqrt((weights**2).sum())
        assert info["psfdepth"][row, band] ** -0.5 == pytest.approx(error, rel=0.03)


def test_photon_noise_of_bright_sources_adds_to_that_of_the_sky():
    sky = conditions(np.zeros(64), np.zeros(64), LEGACY, 0, 0.0)
    sky_flux = 10 ** (0.4 * (22.5 - np.array(LEGACY.sky))) * LEGACY.pixel_scale**2
    flat = np.tile(np.float32(3 * sky_flux)[:, None, None], (64, 1, 32, 32))
    seen = flat.copy()
    images._expose(seen, sky, LEGACY, np.random.default_rng(1))
    # four times the photons, twice the noise
    np.testing.assert_allclose((seen - flat).std(axis=(0, 2, 3)), 2 * sky.sky_sigma[0], rtol=0.02)


def test_conditions_are_smooth_over_the_sky_and_the_same_for_whoever_asks():
    ra, dec = np.random.default_rng(0).uniform([[200], [0]], [[260], [60]], (2, 500))
    every = conditions(ra, dec, LEGACY, 5, 0.02)
    some = conditions(ra[::7], dec[::7], LEGACY, 5, 0.02)
    near = conditions(ra, dec + 0.002, LEGACY, 5, 0.02)
    np.testing.assert_array_equal(some.fwhm, every.fwhm[::7])
    np.testing.assert_allclose(near.fwhm, every.fwhm, rtol=0.01)
    assert 0.05 < np.log(every.fwhm[:, 1]).std() < 0.2
    assert 0.01 < np.log(every.zero_point).std() < 0.03
    np.testing.assert_allclose(np.median(every.fwhm, axis=0), LEGACY.fwhm, rtol=0.03)
    depth = 22.5 - 2.5 * np.log10(5 * every.psfdepth**-0.5)
    np.testing.assert_allclose(np.median(depth, axis=0), LEGACY.depth, atol=0.05)


def test_same_generator_gives_the_same_bytes_whatever_the_threads():
    galaxies, flux = make_galaxies(10)
    with threadpool_limits(2):
        two, info_two = images.render(galaxies, flux, np.random.default_rng(4), {"seed": 1, "artefact_rate": 10})
    with threadpool_limits(1):
        one, info_one = images.render(galaxies, flux, np.random.default_rng(4), {"seed": 1, "artefact_rate": 10})
    other, _ = images.render(galaxies, flux, np.random.default_rng(5), {"seed": 1})
    assert one.dtype == np.float32 and one.tobytes() == two.tobytes()
    assert all(info_one[name].tobytes() == info_two[name].tobytes() for name in info_one)
    assert not np.array_equal(one, other)


def test_labels_tell_which_cutouts_lack_data():
    galaxies, flux = make_galaxies(60)
    spoilt, info = images.render(galaxies, flux, np.random.default_rng(0), {"artefact_rate": 8.0})
    clean, clean_info = images.render(galaxies, flux, np.random.default_rng(0), {"artefact_rate": 0.0})
    assert not clean_info["artefacts"].any() and not (clean == 0).any()
    holes = (spoilt == 0).any(axis=(1, 2, 3))
    with_holes = sum(artefacts.FLAGS[name] for name in ("bleed", "edge", "masked_pixels"))
    np.testing.assert_array_equal(holes, (info["artefacts"] & with_holes) != 0)
    # an edge never hides the target
    middle = slice(LEGACY.size // 2 - 4, LEGACY.size // 2 + 4)
    only_edge = info["artefacts"] == artefacts.FLAGS["edge"]
    assert only_edge.any() and (spoilt[only_edge][:, :, middle, middle] != 0).all()


def test_a_satellite_trail_brightens_one_band():
    galaxies, flux = make_galaxies(1)
    sky = conditions(galaxies["ra"], galaxies["dec"], LEGACY, 0, 0.0)
    image = np.zeros((3, 152, 152), np.float32)
    artefacts._trail(image, sky[0], np.random.default_rng(3), LEGACY)
    assert sorted(image.max(axis=(1, 2)) > 0) == [False, False, True]


def test_neighbours_follow_the_counts():
    target = np.full(400, 18.0)
    objects = neighbours.draw_objects(target, np.random.default_rng(0), 1.0, LEGACY)
    magnitude = np.arange(13.005, neighbours.FAINTEST, 0.01)
    area = ((LEGACY.size * LEGACY.pixel_scale + 2 * neighbours.MARGIN) / 3600) ** 2
    stars = 400 * area * 0.01 * neighbours.star_counts(magnitude).sum()
    field = 400 * area * 0.01 * neighbours.galaxy_counts(magnitude).sum()
    is_star = objects.kind == neighbours.STAR
    assert is_star.sum() == pytest.approx(stars, abs=4 * np.sqrt(stars))
    expected = field + 400 * neighbours.COMPANIONS
    assert (~is_star).sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert 864 * 0.85 < 0.01 * neighbours.galaxy_counts(magnitude[magnitude < 19.5]).sum() < 864 * 1.25


def test_a_star_keeps_its_flux_and_place_even_over_the_border():
    sky = conditions(np.zeros(3), np.zeros(3), LEGACY, 0, 0.0)
    edge = LEGACY.size / 2 * LEGACY.pixel_scale
    stars = neighbours.Objects(
        cutout=np.array([0, 1]),
        kind=np.zeros(2, int),
        x=np.array([3.3, edge]),
        y=np.array([-5.1, 0.0]),
        flux=np.array([[20.0, 30.0, 40.0]] * 2),
        radius=np.zeros(2),
        axis_ratio=np.ones(2),
        angle=np.zeros(2),
    )
    painted = np.zeros((3, 3, 152, 152), np.float32)
    neighbours.paint(painted, stars, sky, LEGACY)
    total = painted.sum(axis=(2, 3))
    np.testing.assert_allclose(total[0], stars.flux[0], rtol=0.005)
    np.testing.assert_allclose(total[1], stars.flux[1] / 2, rtol=0.02)  # half of it falls outside
    assert not painted[2].any()
    y, x = (np.mgrid[:152, :152] - 75.5) * LEGACY.pixel_scale
    assert (painted[0, 1] * x).sum() / total[0, 1] == pytest.approx(3.3, abs=0.02)
    assert (painted[0, 1] * y).sum() / total[0, 1] == pytest.approx(-5.1, abs=0.02)


def test_other_cameras_render_with_their_own_bands_and_size():
    galaxies, flux = make_galaxies(3, bands=5)
    cutouts, info = images.render(galaxies, flux, np.random.default_rng(0), {}, HSC)
    assert cutouts.shape == (3, 5, 64, 64) and np.isfinite(cutouts).all()
    assert info["fibreflux"].shape == (3, 5)
    assert (info["fibre_fraction"] == info["fibreflux"][:, 1] / flux[:, 1]).all()
    larger = dataclasses.replace(HSC, size=127)
    assert images.render(galaxies, flux, np.random.default_rng(0), {}, larger)[0].shape == (3, 5, 127, 127)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("r_disk", None, "no field r_disk"),
        ("q_disk", np.ones(3), r"q_disk must be finite with shape \(2,\)"),
        ("angle", np.array([0.0, np.nan]), "angle must be finite"),
        ("bulge_fraction", np.ones(2), r"bulge_fraction must be finite with shape \(2, 3\)"),
    ],
)
def test_bad_galaxies_are_refused(field, value, message):
    galaxies, flux = make_galaxies(2)
    galaxies[field] = value
    if value is None:
        del galaxies[field]
    with pytest.raises(BadInput, match=message):
        images.render(galaxies, flux, np.random.default_rng(0), {})


def test_flux_must_fit_the_bands():
    galaxies, flux = make_galaxies(2)
    with pytest.raises(BadInput, match="bands g, r, z"):
        images.render(galaxies, flux[:, :2], np.random.default_rng(0), {})
