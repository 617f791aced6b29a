"""Half-light radii of a disc and a bulge together."""

import numpy as np
import pytest

from skyloom.mock.universe.population import morphology
from skyloom.mock.universe.population.morphology import half_light_radius


def shape(bulge: list[float], r_disk: list[float], r_bulge: list[float]) -> dict[str, np.ndarray]:
    share = np.repeat(np.array(bulge)[:, None], 3, axis=1)
    return {"bulge_fraction": share, "dust_layer": 0 * share, "r_disk": np.array(r_disk), "r_bulge": np.array(r_bulge)}


def test_one_component_has_its_own_radius():
    found = half_light_radius(shape([0, 1, 0.5], [2.0, 2.0, 1.0], [0.5, 0.5, 1.0]))
    assert found == pytest.approx([2.0, 0.5, 1.0], rel=1e-5)


def test_half_of_the_light_of_galsims_profiles_is_inside():
    galsim = pytest.importorskip("galsim")
    shares, discs, bulges = [0.5, 0.2, 0.8, 0.3], [2.0, 1.0, 3.0, 0.7], [0.5, 0.3, 1.5, 2.0]
    found = half_light_radius(shape(shares, discs, bulges))
    for radius, share, disc, bulge in zip(found, shares, discs, bulges, strict=True):
        components = galsim.Sersic(1, half_light_radius=disc), galsim.Sersic(4, half_light_radius=bulge)
        inside = [component.calculateIntegratedFlux(radius) for component in components]
        assert (1 - share) * inside[0] + share * inside[1] == pytest.approx(0.5, abs=1e-5)


def test_bulges_are_the_old_stars_and_discs_what_is_left():
    """Old stars alone are left of a quick history, and there cannot be more of a bulge than of its stars."""
    ages, n = np.array([1e8, 1e9, 1.1e10]), 400
    stars = morphology.stars_of_bulge(
        np.ones((n, 3)), ages, np.full(n, 1.2e10), np.full(n, 10.5), np.zeros(n, bool), np.random.default_rng(0)
    )
    assert stars[:, 2].min() > 0.9 and stars[:, :2].max() < 0.4
    total, bulge = np.array([[3.0, 4.0, 5.0]]), np.array([[1.0, 2.0, 3.0]])
    share = morphology.colour_of_bulge(np.array([0.25]), bulge, total)
    assert share[0] == pytest.approx([0.25 * 2 / 3, 0.25, 0.25 * 1.2])
    capped = morphology.colour_of_bulge(np.array([0.9]), bulge, total)
    assert (capped * total < bulge).all() and (capped * total > 0.96 * bulge).all()
