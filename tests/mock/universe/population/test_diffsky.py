"""The population of halos: its histories against Diffstar's and against published relations."""

import subprocess
import sys

import numpy as np
import pytest

from skyloom.core.errors import NotAvailable
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.population import diffsky, histories, relations
from skyloom.mock.universe.population.diffsky import HALOS, formed, halo_counts, star_formation
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.halos import mass_function, stellar_mass

CONFIG = {"population": "diffsky", "magnitude_limit": 19.5}


@pytest.fixture(scope="module")
def halos():
    """Redshifts, log10 masses and star formation of halos at z .05 to .15, and how many stand for one."""
    pytest.importorskip("diffsky", reason="the extra 'diffsky' is not installed")
    counts = halo_counts("all", (0.05, 0.15), 99.0)
    log_mhalo, z = counts.draw(HALOS, np.random.default_rng(1))
    return z, log_mhalo, *star_formation(log_mhalo, z, 1), counts.total / HALOS


def test_mass_formed_is_the_integral_of_the_rate():
    """Linear growth from the Big Bang: the mass formed by t is t^2 / 2."""
    time = np.linspace(0.0, 13.8, 139)
    z = np.array([0.0, 0.5, 2.0])
    edges = np.array([0, 1e6, 1e7, 1e8, 1e9, 3e9, 1.42e10])
    mass = formed(time, np.tile(time, (3, 1)), z, edges)
    age = cosmology.age(z)[:, None]
    by = 0.5 * np.clip(age - edges / 1e9, 0, None) ** 2 * 1e9
    assert np.allclose(mass, by[:, :-1] - by[:, 1:], rtol=1e-6)


def test_without_the_extra_the_error_names_it(monkeypatch, grid):
    monkeypatch.setitem(sys.modules, "jax", None)
    diffsky._library.cache_clear()
    with pytest.raises(NotAvailable, match=r"pip install -e '\.\[diffsky\]'"):
        draw(1, np.random.default_rng(0), {"population": "diffsky", "magnitude_limit": 17.0}, grid)


def test_jax_is_imported_for_nobody_else():
    names = ("population.population", "population.parametric", "spectra", "population.diffsky")
    modules = ", ".join(f"skyloom.mock.universe.{name}" for name in names)
    code = f"import sys, {modules}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_histories_are_diffstars(halos, grid):
    """All bins together hold what Diffstar's own integral gives."""
    from diffstar.utils import cumulative_mstar_formed_galpop

    z, _, time, rate, _ = halos
    plain = np.asarray(cumulative_mstar_formed_galpop(time, rate))
    at_z = [np.interp(age, time, row) for age, row in zip(cosmology.age(z), plain, strict=True)]
    assert np.allclose(formed(time, rate, z, grid.age_edges).sum(axis=1), at_z, rtol=3e-3)


def test_halos_are_as_many_as_in_the_published_mass_function(halos):
    """Tinker et al. 2008 (ApJ 688, 709), for M200m; diffsky's are virial peak masses of a simulation."""
    _, log_mhalo, _, _, weight = halos
    volume = cosmology.comoving_volume(0.15) - cosmology.comoving_volume(0.05)
    for low, high in ((10.5, 11.0), (11.0, 12.0), (12.0, 13.0), (13.0, 14.0)):
        m = np.arange(low, high, 0.01)
        published = mass_function(m, 0.1).sum() * 0.01
        inside = ((log_mhalo > low) & (log_mhalo < high)).sum()
        assert np.log10(inside * weight / volume / published) == pytest.approx(0, abs=0.12 + 0.5 / np.sqrt(inside))


def test_stars_in_halos_are_as_many_as_abundance_matching_finds(halos, grid):
    """Two percent of the mass at 10^12 Msun, less on both sides (Moster, Naab & White 2013, MNRAS 428, 3121)."""
    z, log_mhalo, time, rate, weight = halos
    stars = np.log10(formed(time, rate, z, grid.age_edges) @ grid.surviving[np.abs(grid.log_z).argmin()])
    share = {m: np.median((stars - log_mhalo)[np.abs(log_mhalo - m) < 0.2]) for m in (11.0, 12.1, 13.2)}
    for mass, dex in ((11.0, 0.5), (12.1, 0.3)):
        assert share[mass] == pytest.approx(stellar_mass(mass, 0.1) - mass, abs=dex)
    assert share[11.0] < share[12.1] - 0.5 and share[13.2] < share[12.1] - 0.4
    # the mass function of galaxies where centrals are nearly all of it
    volume = cosmology.comoving_volume(0.15) - cosmology.comoving_volume(0.05)
    for mass in (9.25, 9.75, 10.25):
        number = np.log10((np.abs(stars - mass) < 0.25).sum() * weight / volume / 0.5)
        assert number == pytest.approx(np.log10(relations.mass_function(mass, 0.1)), abs=0.3)


def test_galaxies_are_a_function_of_the_seed_and_complete(halos, grid):
    first = draw(60, np.random.default_rng(4), CONFIG, grid)
    again = draw(60, np.random.default_rng(4), CONFIG, grid)
    other = draw(60, np.random.default_rng(5), CONFIG, grid)
    assert np.array_equal(first.sfh, again.sfh) and np.array_equal(first.mag_r, again.mag_r)
    assert not np.array_equal(first.redshift, other.redshift)
    assert len(first) == 60 and (first.mag_r < 19.5).all()
    assert first.sfh.shape == (60, len(grid.ages))
    # stars alive are stars formed times what survives
    formed_mass = first.sfh.sum(axis=1)
    assert (10**first.log_mstar < formed_mass).all() and (10**first.log_mstar > 0.4 * formed_mass).all()
    assert (first.log_mhalo > first.log_mstar + 0.8).all()
    # nothing formed before the universe did
    early = grid.age_edges[:-1] > cosmology.age(first.redshift)[:, None] * 1e9
    assert (first.sfh[early] == 0).all()
    recent = histories.recent_rate(first.sfh, grid.age_edges, 1e8) / 10**first.log_mstar
    assert np.median(recent[first.quenched]) < 0.1 * np.median(recent[~first.quenched])
