"""The layer of dust in the middle of discs, against closed forms and a disc of stars of which every one is placed."""

import numpy as np
import pytest

from skyloom.mock.universe.population import dust_layer
from skyloom.mock.universe.population.morphology import half_light_radius


def test_thin_and_opaque_layers_have_closed_forms():
    """A thin one hides the product of two exponentials, an opaque one half of all light."""
    thin, opaque = dust_layer._table()[0][[0, -1]]
    length = dust_layer.LENGTH / (1 + dust_layer.LENGTH)
    assert thin == pytest.approx(0.5 * 1e-4 * length**2, rel=1e-3)
    assert dust_layer.scale(0.0) == pytest.approx(length, rel=1e-3)
    assert opaque == pytest.approx(0.5, abs=0.02) and dust_layer.scale(0.499) == pytest.approx(1, abs=0.06)


def test_more_is_hidden_in_blue_and_never_more_than_the_galaxy_loses():
    rng = np.random.default_rng(0)
    av, z = rng.uniform(0, 3.5, 500), rng.uniform(0, 1.5, 500)
    found = dust_layer.hidden(av, rng.uniform(-1.4, 0.5, 500), z)
    assert (np.diff(found, axis=1) <= 0).all() and (found >= 0).all() and (found <= 0.5).all()
    assert dust_layer.hidden(np.zeros(1), np.zeros(1), np.zeros(1)).max() == 0
    # 5500 (1 + z) is r's wavelength: A_V itself
    r_is_v = np.array([dust_layer.BANDS[1] / 5500.0 - 1])
    lost = 1 - 10 ** (-0.4 * 0.7)
    assert dust_layer.hidden(np.array([0.7]), np.zeros(1), r_is_v)[0, 1] == pytest.approx(0.5 * lost, rel=1e-3)


@pytest.mark.parametrize("cos_i", [1.0, 0.8, 0.5, 0.3, 0.0])
def test_what_is_hidden_lies_where_stars_behind_the_layer_are_seen(cos_i):
    """Two million stars of a disc, seen from an angle; those below the middle are behind the layer."""
    rng, n, thick = np.random.default_rng(0), 2_000_000, dust_layer.THICKNESS
    radius, phi = rng.gamma(2, 1, n), rng.uniform(0, 2 * np.pi, n)
    far, up = radius * np.sin(phi), thick * rng.laplace(size=n)
    sin_i = np.sqrt(1 - cos_i**2)
    behind = up < 0
    seen = (far * cos_i + up * sin_i)[behind].mean()  # along the minor axis, the far side upwards
    q = np.sqrt(cos_i**2 * (1 - thick**2) + thick**2)
    ratio, aside = dust_layer.tilt(np.array([q]))
    assert ratio[0] == pytest.approx(np.hypot(cos_i, dust_layer.HEIGHT * thick), rel=0.01) or cos_i == 1
    fading = cos_i / np.hypot(cos_i, thick)  # no near side of a disc that is seen from its edge
    assert aside[0] == pytest.approx(-seen * fading, abs=0.01)


def test_a_galaxy_is_larger_where_more_is_hidden_of_its_middle():
    shape = {"bulge_fraction": np.zeros((2, 3)), "r_disk": np.ones(2), "r_bulge": np.ones(2)}
    shape["dust_layer"] = np.array([[0.0, 0.0, 0.0], [0.3, 0.2, 0.1]])
    radii = [half_light_radius(shape, band) for band in range(3)]
    np.testing.assert_allclose([r[0] for r in radii], 1, rtol=1e-4)
    assert radii[0][1] > radii[1][1] > radii[2][1] > 1


def test_half_of_the_light_of_galsims_profiles_is_inside():
    galsim = pytest.importorskip("galsim")
    shape = {"bulge_fraction": np.array([[0.3] * 3]), "r_disk": np.array([2.0]), "r_bulge": np.array([0.6])}
    shape["dust_layer"] = np.array([[0.3, 0.2, 0.1]])
    radius, layer = half_light_radius(shape)[0], 2.0 * dust_layer.scale(0.2)
    profiles = (galsim.Sersic(n, half_light_radius=r) for n, r in ((1, 2.0), (1, layer), (4, 0.6)))
    disc, hidden, bulge = (profile.calculateIntegratedFlux(radius) for profile in profiles)
    assert 0.7 * (disc - 0.2 * hidden) / 0.8 + 0.3 * bulge == pytest.approx(0.5, abs=1e-4)
