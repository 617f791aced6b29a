"""The selections of DESI's programs, the nuclei of galaxies, and quasars, against published cuts and counts."""

import numpy as np
import pytest

from skyloom.mock.instruments.images.images import LEGACY, draw_scene, render
from skyloom.mock.universe.population import halos, nuclei, parametric, programs, relations
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.furnish import furnish


@pytest.mark.parametrize("target", sorted(programs.Z_RANGES))
def test_a_draw_has_only_what_its_selection_accepts(grid, target):
    p = draw(40, np.random.default_rng(6), {"magnitude_limit": 19.5} if target == "bgs" else {}, grid, target)
    low, high = programs.Z_RANGES[target]
    assert (p.target == target).all() and programs.accepted(p, {}).all()
    assert low <= p.redshift.min() and p.redshift.max() <= high


def test_bright_and_faint_galaxies_have_their_own_cuts(grid):
    """Hahn et al. 2023: r < 19.5; to 20.175 where the fibre gets enough light."""
    p = draw(1500, np.random.default_rng(2), {}, grid)
    fibre = p.mag_r - 2.5 * np.log10(programs.fibre_share(p))
    faint = p.mag_r >= 19.5
    assert p.mag_r.max() < 20.175 and 0.25 < faint.mean() < 0.6
    assert fibre[faint].max() < 21.5 and fibre.max() < 22.9
    assert 0.15 < np.median(p.redshift) < 0.27  # Hahn et al. 2023, figure 7: about .2


def test_luminous_red_galaxies_are_massive_and_red(grid):
    """Zhou et al. 2023: .4 < z < 1 mostly, 10^11.2 Msun and more, red between z and W1."""
    p = draw(150, np.random.default_rng(2), {}, grid, "lrg")
    assert 0.55 < np.median(p.redshift) < 0.8 and 11.0 < np.median(p.log_mstar) < 11.5
    assert p.quenched.mean() > 0.6 and np.median(p.mag_r - p.mag_w1) > 2


def test_emission_line_galaxies_form_stars(grid):
    """Raichoor et al. 2023: .6 < z < 1.6, blue, some 10^10 Msun."""
    p = draw(80, np.random.default_rng(2), {}, grid, "elg")
    assert 0.9 < np.median(p.redshift) < 1.4 and 9.3 < np.median(p.log_mstar) < 10.5
    assert p.quenched.mean() < 0.25


@pytest.mark.parametrize(("target", "published"), [("bgs", 864), ("lrg", 605), ("elg", 2400), ("qso", 310)])
def test_targets_are_as_dense_as_desis(grid, target, published):
    """Per square degree: DESI's targets (papers named in programs.py) within a factor of 1.5."""
    config = {"magnitude_limit": 19.5} if target == "bgs" else {}
    density = parametric.surface_density(6000, np.random.default_rng(1), config, grid, target)
    assert abs(np.log(density / published)) < np.log(1.5)


@pytest.mark.parametrize(
    ("target", "z"), [("bgs", 0.1), ("bgs", 0.3), ("lrg", 0.6), ("elg", 1.2), ("all", 0.6), ("all", 1.6)]
)
def test_galaxies_too_light_for_a_candidate_are_hardly_ever_accepted(grid, target, z):
    rng = np.random.default_rng(9)
    config = {"magnitude_limit": 19.5} if target == "bgs" else {}
    redshift = np.full(1500, z)
    edge = programs.lightest(target, redshift, programs.magnitude_limit(target, config))
    log_mstar = edge - rng.uniform(0, 0.4, 1500)
    quenched = rng.random(1500) < relations.quenched_fraction(log_mstar, redshift)
    shape = parametric._histories(log_mstar, redshift, quenched, rng, grid)
    below = furnish(redshift, halos.halo_mass(log_mstar, redshift, rng), log_mstar, quenched, shape, rng, grid, target)
    assert programs.accepted(below, config).mean() < 0.02


def test_all_is_limited_in_i_and_redshift(grid):
    p = draw(300, np.random.default_rng(2), {"magnitude_limit": 22.5, "redshift_max": 0.8}, grid, "all")
    assert p.mag_i.max() < 22.5 and p.redshift.max() < 0.8


def test_the_fibre_share_used_for_selection_is_that_of_the_image(grid):
    some = draw(120, np.random.default_rng(2), {}, grid)
    galaxies = vars(some) | {"ra": np.full(120, 225.0), "dec": np.full(120, 2.0)}
    rng = np.random.default_rng(0)
    scene = draw_scene(galaxies | {"flux": np.full((120, 5), 10.0)}, rng, {"neighbours": 0.0})
    _, info = render(scene, np.full((120, 3), 10.0), LEGACY, rng, {"neighbours": 0.0})
    ratio = programs.fibre_share(some) / info["fibre_fraction"]
    assert abs(np.mean(np.log(ratio))) < 0.06 and np.std(np.log(ratio)) < 0.17


def test_active_nuclei_are_in_massive_galaxies(grid):
    """Narrow-line AGN in a fifth to a half of galaxies above 10^10.8 Msun, few below 10^10 (Kauffmann et al. 2003)."""
    p = draw(3000, np.random.default_rng(2), {"magnitude_limit": 19.5}, grid)
    active = p.agn_type > 0
    assert 0.2 < active[p.log_mstar > 10.8].mean() < 0.5 and active[p.log_mstar < 10].mean() < 0.1
    assert (p.agn_type == 2).mean() < 0.03
    host = active & ~p.quenched
    assert np.median(p.agn_hardness[host]) > np.median(p.agn_hardness[active & p.quenched]) + 0.3


def test_quasars_have_the_published_counts_and_redshifts(grid):
    """Palanque-Delabrouille et al. 2013: to g = 22.5, 30 a square degree at z < 1, 99 at 1 to 2.15, 47 beyond."""
    p = draw(3000, np.random.default_rng(3), {}, grid, "qso")
    assert (p.agn_type == 2).all() and p.mag_r.max() < 23 and p.mag_r.min() > 16.5
    bright = p.mag_g < 22.5
    share = np.histogram(p.redshift[bright & (p.redshift > 0.7)], [0.7, 1.0, 2.15, 4.1])[0]
    assert share[1] / share[2] == pytest.approx(99 / 47, rel=0.3)
    assert 1.4 < np.median(p.redshift) < 1.9
    # mean counts rise by .3 to .5 dex a magnitude where they are not yet flat
    counts = [np.sum(p.mag_r < limit) for limit in (20.5, 21.5)]
    assert 0.3 < np.log10(counts[1] / counts[0]) < 0.6


def test_a_quasars_luminosity_is_that_of_its_continuum():
    """M_g(z=2) = -26.36 at z = 2.2, their break: some 10^13 Lsun; 2.5 magnitudes are a factor of ten."""
    assert np.log10(nuclei.luminosity(-26.36)) == pytest.approx(12.9, abs=0.15)
    assert nuclei.luminosity(-27.5) == pytest.approx(10 * nuclei.luminosity(-25.0))
    # a double power law: slopes 0.4 (alpha + 1) far above the break, in dex a magnitude
    bright = np.log10(nuclei.luminosity_function(np.array([-30.0, -29.0]), 1.5))
    assert np.diff(bright)[0] == pytest.approx(0.4 * (3.50 - 1), rel=0.02)
