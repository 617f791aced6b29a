"""A tile whose images are HSC's, beside the same tile with those of the Legacy Surveys."""

import dataclasses

import numpy as np
import pytest
from astropy.table import Table

from skyloom.core.errors import BadConfig
from skyloom.core.files import sha256
from skyloom.formats.desi import ARMS, read_coadd, read_redrock
from skyloom.formats.legacy import PIXEL_SCALE, SIZE, read_cutout_catalog, read_cutouts
from skyloom.mock.instruments.images.camera import HSC, HSC_ON_LEGACY, LEGACY
from skyloom.mock.layout import MockSettings
from skyloom.mock.survey.blocks import FILTER_CURVES, Light
from skyloom.mock.survey.truth import read_truth
from skyloom.mock.universe.light.photometry import photometry, responses
from skyloom.mock.universe.light.wavelengths import OBSERVED
from skyloom.settings.section import parse

PLAIN = {"targets_per_tile": {"bgs": 130}, "neighbours": 0, "artefact_rate": 0, "image_calibration": 0}
CAMERAS = {"legacy": LEGACY, "hsc": HSC_ON_LEGACY}
PHOTOMETRY = [f"{name}_{band}" for name in ("FLUX", "FLUX_IVAR", "FIBERFLUX") for band in "GRZ"]


@pytest.fixture(scope="module")
def tiles(make):
    """Files by camera: alone on the sky, without artefacts."""
    return {camera: make("bright", PLAIN | {"image_camera": camera}) for camera in CAMERAS}


@pytest.fixture(scope="module")
def seen(tiles):
    """By camera: images, their catalogue, and the truth of the galaxy nearest to each."""
    found = {}
    for camera, files in tiles.items():
        catalogue, truth = read_cutout_catalog(files["images"]), read_truth(files["truth"])[0]
        place = np.hypot(*(np.subtract.outer(catalogue[name], truth[name]) for name in ("ra", "dec"))).argmin(axis=1)
        images = read_cutouts(files["images"], np.arange(len(catalogue)))
        found[camera] = images, catalogue, {name: values[place] for name, values in truth.items()}
    return found


def depth(psfdepth):
    return 22.5 - 2.5 * np.log10(5 / np.sqrt(psfdepth))


def test_catalogued_fluxes_share_the_errors_of_the_images_zero_points(tiles, seen, make):
    files = make("bright", PLAIN | {"image_calibration": 40})  # .2
    plain, catalogue, _ = seen["legacy"]
    images = read_cutouts(files["images"], np.arange(len(catalogue)))
    middle = np.s_[:, :, 66:86, 66:86]
    factor = np.log(images[middle].sum((2, 3)) / plain[middle].sum((2, 3)))
    bright = (catalogue["flux"] > (10, 30, 30)).all(axis=1)
    assert bright.sum() > 10 and 0.05 < factor[bright].std() < 0.4
    other = read_cutout_catalog(files["images"])
    np.testing.assert_allclose(np.log(other["flux"] / catalogue["flux"])[bright], factor[bright], atol=0.03)


def test_nobody_but_the_images_knows_who_took_them(tiles):
    one, other = (read_coadd(files["coadd"]) for files in tiles.values())
    for arm in ARMS:
        for name in ("flux", "ivar", "mask"):
            np.testing.assert_array_equal(getattr(one, name)[arm], getattr(other, name)[arm])
    fibermaps = Table(one.fibermap), Table(other.fibermap)
    differ = {name for name in fibermaps[0].colnames if np.any(fibermaps[0][name] != fibermaps[1][name])}
    assert {"FLUX_G", "FLUX_IVAR_R", "FIBERFLUX_Z"} < differ <= {*PHOTOMETRY, "SV3_BGS_TARGET"}
    redshifts = [read_redrock(files["redrock"]) for files in tiles.values()]
    assert all(np.array_equal(*(np.asarray(table[name]) for table in redshifts)) for name in redshifts[0].colnames)
    truths = [read_truth(files["truth"])[0] for files in tiles.values()]
    differ = {name for name in truths[0] if not np.array_equal(*(truth[name] for truth in truths))}
    assert differ == {"flux_g", "flux_r", "flux_z", "nucleus_share"}


def test_legacy_is_what_there_is_without_the_key(tiles, make):
    plain = make("bright", PLAIN)
    for role in ("coadd", "redrock", "images"):
        assert sha256(plain[role]) == sha256(tiles["legacy"][role])
        assert sha256(plain[role]) != sha256(tiles["hsc"][role])


def test_the_catalogue_is_as_sharp_and_deep_as_the_camera(seen):
    for camera, (_, catalogue, _) in seen.items():
        np.testing.assert_allclose(np.median(catalogue["psfsize"], axis=0), CAMERAS[camera].fwhm, rtol=0.3)
        np.testing.assert_allclose(np.median(depth(catalogue["psfdepth"]), axis=0), CAMERAS[camera].depth, atol=0.5)


def test_images_have_the_noise_of_the_stated_depth(seen):
    edge = slice(0, 24)
    for camera, (images, catalogue, _) in seen.items():
        camera, corner = CAMERAS[camera], images[:, :, edge, edge]
        noise = np.subtract(*np.percentile(corner, [84.13, 15.87], axis=(2, 3))) / 2
        core = catalogue["psfsize"] / (2 * np.sqrt(2 ** (1 / camera.moffat_beta) - 1))
        beta = camera.moffat_beta
        area = np.pi * core**2 * (2 * beta - 1) / (beta - 1) ** 2 / PIXEL_SCALE**2
        stated = camera.averaged / np.sqrt(catalogue["psfdepth"] * area)
        np.testing.assert_allclose(np.median(noise / stated, axis=0), 1, rtol=0.05)


def test_images_hold_the_light_in_the_cameras_filters(seen):
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    inside = np.hypot(x, y) * PIXEL_SCALE < 5
    for images, catalogue, truth in seen.values():
        true = np.stack([truth[f"flux_{band}"] for band in "grz"], axis=1)
        small = np.maximum(truth["r_disk"], truth["r_bulge"]) < 1.2
        found = images[small][..., inside].sum(axis=-1) / true[small]
        assert small.sum() > 10
        np.testing.assert_allclose(np.median(found, axis=0), 0.985, atol=0.02)
        assert np.median(np.abs(catalogue["flux"] / true - 1)) < 0.03
    # DECam's r is redder than HSC's: most galaxies are brighter in it, the red ones more
    legacy, hsc = (seen[camera][2] for camera in CAMERAS)
    redder = 2.5 * np.log10(legacy["flux_r"] / hsc["flux_r"])
    colour = 2.5 * np.log10(legacy["flux_r"] / legacy["flux_g"])
    assert np.median(redder) > 0 and np.corrcoef(redder, colour)[0, 1] > 0.5


def test_flat_spectra_have_the_colours_of_the_filters():
    """The same in all bands if flat in frequency; flat in wavelength, as the pivot wavelengths squared."""
    flat = np.stack([1e7 / OBSERVED**2, np.ones(len(OBSERVED))])
    flux = {name: photometry(flat, curves) for name, curves in FILTER_CURVES.items()}
    light = Light(flat, 0 * flat, flux, flux)
    for camera, places in ((LEGACY, (0, 1, 2)), (HSC, range(5)), (HSC_ON_LEGACY, (0, 1, 3))):
        found, _ = light.through(camera)
        np.testing.assert_array_equal(found, flux[camera.name][:, list(places)])
        np.testing.assert_allclose(found[0], found[0, 0], rtol=2e-3)
        pivot = np.array([_pivot(FILTER_CURVES[camera.name][place]) for place in places])
        np.testing.assert_allclose(found[1] / found[1, 0], (pivot / pivot[0]) ** 2, rtol=2e-3)


def _pivot(name):
    (curve,) = responses((name,))
    wavelength, response = curve.wavelength, curve.response
    return np.sqrt(np.trapezoid(response * wavelength, wavelength) / np.trapezoid(response / wavelength, wavelength))


def test_anomalies_and_neighbours_are_the_same_under_either_camera(make):
    config = {"targets_per_tile": {"bgs": 60}, "anomaly_rate": 0.6, "image_depth": -0.5, "image_seeing": 1.2}
    one, other = (make("bright", config | {"image_camera": camera}, hsc_size=64) for camera in CAMERAS)
    truths = [read_truth(files["truth"])[0] for files in (one, other)]
    assert {"wrong_image", "blend"} <= set(truths[0]["anomaly"])
    np.testing.assert_array_equal(*(truth["anomaly"] for truth in truths))
    assert sha256(one["hsc"]) == sha256(other["hsc"])  # nor does the modality of HSC's own pixels know
    spectra = [read_coadd(files["coadd"]).flux["r"] for files in (one, other)]
    np.testing.assert_array_equal(*spectra)


def test_only_cameras_that_exist_are_taken():
    given = {"kind": "mock", "modalities": ["image"]}
    assert parse(MockSettings, given | {"image_camera": "hsc"}, "surveys.a").image_camera == "hsc"
    with pytest.raises(BadConfig, match="image_camera"):
        parse(MockSettings, given | {"image_camera": "lsst"}, "surveys.a")


def test_resampling_makes_nothing_but_pixels_different():
    pixels = ("pixel_scale", "size", "averaged", "correlation", "bands", "wavelength", "fwhm", "depth", "sky")
    names = [field.name for field in dataclasses.fields(HSC) if field.name not in pixels]
    assert all(getattr(HSC, name) == getattr(HSC_ON_LEGACY, name) for name in names)
