"""Injected anomalies: none without being asked for, and each kind is what its label says."""

import numpy as np
import pytest
from scipy.stats import ncx2

from skyloom.core.files import sha256
from skyloom.formats import galaxiesml, legacy
from skyloom.formats.desi import ARMS, read_coadd, read_redrock
from skyloom.mock.instruments.spectrograph import instrument
from skyloom.mock.survey import anomalies
from skyloom.mock.survey.truth import noiseless, read_truth
from skyloom.mock.universe.light.active import broad_line_fluxes
from skyloom.mock.universe.population.draw import draw

PLAIN = {"targets_per_tile": {"bgs": 160}, "neighbours": 0, "artefact_rate": 0, "one_sided": 0, "duplicates": 0}


class Data:
    """A tile's files, spectra and images in the order of its galaxies; row of those with a good fibre."""

    def __init__(self, files):
        self.files = files
        self.truth, _ = read_truth(files["truth"])
        coadd = read_coadd(files["coadd"])
        row = {targetid: i for i, targetid in enumerate(coadd.fibermap["TARGETID"])}
        order = [row[targetid] for targetid in self.truth["targetid"]]
        self.flux = {arm: coadd.flux[arm][order] for arm in ARMS}
        self.ivar = {arm: coadd.ivar[arm][order] for arm in ARMS}
        self.fit = read_redrock(files["redrock"])[order]
        self.images = legacy.read_cutouts(files["images"], np.arange(len(order)))
        seen = galaxiesml.read_catalog(files["hsc"])["object_id"]
        self.hsc = galaxiesml.read_images(files["hsc"], np.arange(len(seen)))
        self.good = np.asarray(coadd.fibermap["COADD_FIBERSTATUS"])[order] == 0

    def rows(self, kind):
        found = np.flatnonzero(self.truth["anomaly"] == kind)
        assert len(found) > 3
        return found


@pytest.fixture(scope="module")
def clean(make):
    return Data(make("bright", PLAIN, hsc_size=64))


@pytest.fixture(scope="module")
def odd(make):
    return Data(make("bright", {**PLAIN, "anomaly_rate": 0.5}, hsc_size=64))


def test_none_without_being_asked_for(make, clean, monkeypatch):
    assert set(clean.truth["anomaly"]) == {""}
    for name in ("draw", "with_quasars", "with_arc", "blended", "blend_scale", "step_calibration"):
        monkeypatch.delattr(anomalies, name)
    again = make("bright", {**PLAIN, "anomaly_rate": 0}, hsc_size=64)
    for role in set(again) - {"truth"}:  # which remembers that the configuration said 0
        assert sha256(again[role]) == sha256(clean.files[role])


def test_rate_and_kinds(grid):
    population = draw(2000, np.random.default_rng(1), {}, grid)
    everybody = np.ones(2000, bool)
    found = anomalies.draw(population, everybody, everybody, 0.3, np.random.default_rng(2))
    kinds, count = np.unique(found.kind[found.kind != ""], return_counts=True)
    assert set(kinds) == set(anomalies.KINDS) and 530 < count.sum() < 670 and count.min() > 50
    assert (population.log_mstar[found.kind == "lensed_arc"] > anomalies.LENS_MASS).all()
    paired = np.isin(found.kind, ("blend", "wrong_image"))
    np.testing.assert_array_equal(found.other >= 0, paired)
    blend = found.kind == "blend"
    apart = np.abs(np.log((1 + population.redshift[blend]) / (1 + population.redshift[found.other[blend]])))
    assert apart.min() > anomalies.BLEND_REDSHIFT
    unseen = anomalies.draw(population, ~everybody, everybody, 1.0, np.random.default_rng(2))
    assert set(unseen.kind) == {"calibration_step"}


def test_a_tile_without_a_quasar_in_a_host_stays_as_it_is(grid):
    population = draw(200, np.random.default_rng(1), {}, grid)
    kept = anomalies.with_quasars(population, anomalies.none(200), grid, np.random.default_rng(0))
    assert kept is population


def test_everybody_else_is_untouched(clean, odd):
    same = odd.truth["anomaly"] == ""
    np.testing.assert_array_equal(odd.truth["redshift"], clean.truth["redshift"])
    # anomalies may shift the random numbers of what comes after them in the block, but not the light
    for name in ("flux_r", "flux_y", "fibre_fraction", "log_mstar", "l_agn", "ra"):
        np.testing.assert_allclose(odd.truth[name][same], clean.truth[name][same], rtol=1e-6)


def test_blend_has_the_lines_and_the_picture_of_a_second_galaxy(clean, odd):
    rows = odd.rows("blend")
    rows = rows[odd.good[rows]]
    excess = np.median((odd.flux["r"] - clean.flux["r"])[rows], axis=1) / np.median(clean.flux["r"][rows], axis=1)
    assert (excess > 0.05).all() and np.median(excess) > 0.15
    # light where there was none, off the centre but near it
    y, x = (np.mgrid[:152, :152] - 75.5) * legacy.PIXEL_SCALE
    for row in rows:
        more = (odd.images - clean.images)[row, 1]
        inside = np.hypot(x, y) < 2.5
        flux = more[inside].sum()
        assert flux > 0.15 * clean.truth["flux_r"][row]
        place = np.array([(more * x)[inside].sum(), (more * y)[inside].sum()]) / flux
        assert 0.15 < np.hypot(*place) < 1.3


def test_share_of_a_blend_in_the_fibre_is_that_of_a_gaussian(odd):
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 0.6, (2, 200_000)) + np.array([[0.5], [0.0]])
    expected = np.mean(np.hypot(x, y) < 0.75)
    assert ncx2.cdf(0.75**2 / 0.36, 2, 0.5**2 / 0.36) == pytest.approx(expected, abs=0.005)


def test_wrong_image_shows_another_galaxy_in_every_camera(clean, odd):
    """Its light is the other's, and so nearly nothing of the own image is left."""
    rows = odd.rows("wrong_image")
    for images, before in ((odd.images, clean.images), (odd.hsc, clean.hsc)):
        middle = images.shape[-1] // 2
        core = np.s_[:, 1, middle - 4 : middle + 4, middle - 4 : middle + 4]
        now, own = images[core].sum(axis=(1, 2)), before[core].sum(axis=(1, 2))
        # a tenth of all pairs of galaxies are as bright as each other to 5 %, but they look different
        left = np.square(images[core] - before[core]).mean(axis=(1, 2)) / np.square(before[core]).mean(axis=(1, 2))
        assert np.sqrt(left[rows]).min() > 0.1
        # what is shown is one of the others of the tile
        nearest = np.abs(now[rows][:, None] / own - 1).min(axis=1)
        assert np.median(nearest) < 0.05
    usual = odd.good[rows] & (odd.fit["ZWARN"][rows] == 0)
    error = np.abs(odd.fit["Z"] - odd.truth["redshift"])[rows][usual] / (1 + odd.truth["redshift"][rows][usual])
    assert (error < 0.01).mean() > 0.9  # the spectrum is the right one


def test_calibration_step_is_between_the_arms(clean, odd):
    rows = odd.rows("calibration_step")
    assert odd.good[rows].all()
    for row in rows:
        ratio = {}
        for arm in ARMS:
            use = (odd.ivar[arm][row] > 0) & (clean.ivar[arm][row] > 0)
            ratio[arm] = np.sqrt(np.median(clean.ivar[arm][row][use] / odd.ivar[arm][row][use]))
        off = [arm for arm in ARMS if abs(np.log(ratio[arm])) > 0.3]
        assert len(off) == 1 and 0.3 < abs(np.log(ratio[off[0]])) < 0.75
        np.testing.assert_allclose([ratio[arm] for arm in ARMS if arm not in off], 1, atol=0.1)
        inside = np.median(odd.flux[off[0]][row]) / np.median(clean.flux[off[0]][row])
        assert np.log(inside) * np.log(ratio[off[0]]) > 0
    np.testing.assert_allclose(odd.truth["flux_r"][rows], clean.truth["flux_r"][rows])


def test_lensed_arc_is_blue_light_on_a_ring(clean, odd):
    rows = odd.rows("lensed_arc")
    y, x = (np.mgrid[:152, :152] - 75.5) * legacy.PIXEL_SCALE
    radius = np.hypot(x, y)
    for row in rows:
        more = (odd.images - clean.images)[row]
        g, r = (more[band][radius < 4].sum() for band in (0, 1))
        assert 19.5 < 22.5 - 2.5 * np.log10(r) < 21.3 and -0.3 < -2.5 * np.log10(g / r) < 0.6
        mean = (more[1] * radius)[radius < 4].sum() / r
        assert 1.2 < mean < 3.0
    # the spectrum knows nothing of it
    np.testing.assert_allclose(odd.truth["fibre_fraction"][rows], clean.truth["fibre_fraction"][rows])


def test_quasar_in_a_host_has_broad_lines_and_a_point_of_light(clean, odd, grid_path):
    rows = odd.rows("qso_in_host")
    truth = odd.truth
    assert (truth["agn_type"][rows] == 2).all() and (clean.truth["agn_type"][rows] < 2).all()
    ratio = truth["flux_r"][rows] / clean.truth["flux_r"][rows] - 1
    assert (ratio > 0.35).all() and (ratio < 2.8).all()  # .4 to 2.5, and its lines
    # dust of the nucleus glows: an infrared excess; and the catalogue's own magnitudes know it
    for band in ("mag_r", "mag_w1"):
        assert (truth[band][rows] < clean.truth[band][rows] - 0.2).all()
    seen = 22.5 - 2.5 * np.log10(truth["flux_r"][rows])
    assert np.median(np.abs(seen - truth["mag_r"][rows])) < 0.15  # but for Milky Way dust
    np.testing.assert_allclose(truth["nucleus_share"][rows], ratio / (1 + ratio), rtol=0.2, atol=0.02)
    host, nucleus = noiseless(odd.files["truth"], grid_path, rows)
    lines = broad_line_fluxes({name: truth[name][rows] for name in truth if name.startswith(("agn_", "l_agn"))})
    assert min(np.min(flux) for flux in lines.values()) > 0
    assert (nucleus.max(axis=1) > 0.3 * np.median(host, axis=1)).all()
    # more of it is in the fibre than of the host
    caught = np.median(odd.flux["r"][rows] - clean.flux["r"][rows], axis=1)[odd.good[rows]]
    expected = np.median(instrument.line_spread(nucleus, "r"), axis=1)[odd.good[rows]]
    assert np.median(caught / expected) == pytest.approx(1.0, abs=0.15)
    # the point has the size of the PSF
    y, x = (np.mgrid[:152, :152] - 75.5) * legacy.PIXEL_SCALE
    core = np.hypot(x, y) < 1.5
    more = (odd.images - clean.images)[rows, 1]
    share = more[:, core].sum(axis=1) / (truth["flux_r"] - clean.truth["flux_r"])[rows]
    assert np.median(share) == pytest.approx(0.87, abs=0.1)
