"""Checks of structure and neighbours find what is planted."""

from types import SimpleNamespace

import numpy as np
import pytest

from skyloom.analysis.mock_validation import structure


class Found(dict):
    """A ledger that keeps what it is told."""

    def add(self, check, value, n):
        self[check] = value


class Planted(SimpleNamespace):
    """Galaxies of given fields, of which some can be taken."""

    def __getitem__(self, rows):
        return Planted(**{name: values[rows] for name, values in vars(self).items()})

    def __len__(self):
        return len(self.q_disk)


def galaxies(n=400, **changes):
    q, share = np.linspace(0.2, 1, n), np.repeat(np.array([[0.2, 0.25, 0.3]]), n, axis=0)
    fields = {"q_disk": q, "bulge_fraction": share, "quenched": np.zeros(n, bool), "log_mstar": np.full(n, 10.2)}
    fields |= {"av": 0.3 + 1.5 * np.log10(q) ** 2, "dust_slope": np.zeros(n), "r_disk": np.full(n, 2.0)}
    fields |= {"dust_layer": np.zeros((n, 3)), "r_bulge": np.full(n, 0.5)}
    fields |= {"mag_g": np.full(n, 18.0), "mag_r": np.full(n, 17.4), "mag_i": np.full(n, 17.1)}
    return Planted(**fields | changes)


def test_dimming_with_inclination_is_found():
    found = Found()
    structure._check_inclination(found, galaxies())
    # Calzetti's curve in r, at 6060 Angstrom, is about .9 of that in V
    assert found["inclination_dimming"] == pytest.approx(1.5 * 0.9, rel=0.05)


def test_colours_of_components_add_up_to_the_galaxys():
    bulge, disc = structure.colours(galaxies())
    light = 10 ** (-0.4 * np.array([18.0, 17.4]))
    parts = np.array([0.2, 0.25]) * light, np.array([0.8, 0.75]) * light
    assert bulge[0] == pytest.approx(-2.5 * np.log10(parts[0][0] / parts[0][1]))
    assert disc[0] == pytest.approx(-2.5 * np.log10(parts[1][0] / parts[1][1]))
    # in i, .46 of the way from r to z in the logarithm of the wavelength, the bulge has .273 of the light
    bulge, disc = structure.colours(galaxies(), "i")
    share = 0.25 + 0.05 * np.log(7540 / 6420) / np.log(9140 / 6420)
    light = 10 ** (-0.4 * np.array([18.0, 17.1]))
    assert bulge[0] == pytest.approx(-2.5 * np.log10(0.2 * light[0] / (share * light[1])))
    assert disc[0] == pytest.approx(-2.5 * np.log10(0.8 * light[0] / ((1 - share) * light[1])))
    few = np.repeat(np.array([[0.02, 0.03, 0.04]]), 400, axis=0)
    assert np.isnan(structure.colours(galaxies(bulge_fraction=few))[0]).all()


def test_a_red_bulge_makes_a_galaxy_smaller_in_z():
    found, grey = Found(), np.full((400, 3), 0.25)
    structure._check_gradients(found, galaxies())
    assert 0.85 < found["size_z_over_g_late"] < 0.97 and np.isnan(found["size_z_over_g_early"])
    structure._check_gradients(found, galaxies(bulge_fraction=grey))
    assert found["size_z_over_g_late"] == pytest.approx(1)


def test_twice_the_satellites_are_found_where_twice_survive(monkeypatch):
    found, more = Found(), Found()
    structure._check_satellites(found, np.random.default_rng(0))
    monkeypatch.setattr(structure.satellites, "SURVIVING", 2 * structure.satellites.SURVIVING)
    structure._check_satellites(more, np.random.default_rng(0))
    assert more["satellites"] == pytest.approx(2 * found["satellites"], rel=0.08)
    assert more["satellites_slope"] == pytest.approx(found["satellites_slope"], abs=0.15)
