"""The population against the relations it is drawn from, published values, and what is known of learning from it."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from skyloom.core.errors import BadConfig
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.population import halos, histories, parametric, relations
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.furnish import furnish

LIMIT = {"magnitude_limit": 19.5}


@pytest.fixture(scope="module")
def many(grid):
    """BGS Bright, 4000 galaxies."""
    return draw(4000, np.random.default_rng(2), LIMIT, grid)


@pytest.fixture(scope="module")
def volume(grid):
    """2000 galaxies at z = .1 whatever their brightness, masses even in the logarithm."""
    rng = np.random.default_rng(3)
    z, log_mstar = np.full(2000, 0.1), rng.uniform(9.0, 11.5, 2000)
    quenched = rng.random(2000) < relations.quenched_fraction(log_mstar, z)
    shape = parametric._histories(log_mstar, z, quenched, rng, grid)
    return furnish(z, halos.halo_mass(log_mstar, z, rng), log_mstar, quenched, shape, rng, grid, "bgs")


def test_every_field_has_a_finite_row_a_galaxy(many, grid):
    assert (many.target == "bgs").all()
    for name, values in vars(many).items():
        assert len(values) == len(many), name
        assert name == "target" or np.isfinite(values.astype(float)).all(), name
    assert many.sfh.shape == (len(many), len(grid.ages)) and (many.sfh >= 0).all()
    for name in ("bulge_fraction", "q_disk", "q_bulge", "q_bar", "bar_fraction", "clumpiness", "arms", "agn_hardness"):
        assert 0 <= getattr(many, name).min() and getattr(many, name).max() <= 1, name
    for name in ("avg_sfr", "r_disk", "r_bulge", "r_bar", "agn_width"):
        assert getattr(many, name).min() > 0, name
    assert set(np.unique(many.agn_type)) <= {0, 1, 2} and ((many.l_agn > 0) == (many.agn_type > 0)).all()


def test_the_same_state_gives_the_same_galaxies_and_fewer_are_the_first(grid):
    first, again = (draw(30, np.random.default_rng(8), {}, grid) for _ in range(2))
    fewer = draw(10, np.random.default_rng(8), {}, grid)
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(first, name)[:10], getattr(fewer, name))


def test_an_unknown_population_or_target_gets_one_line(grid):
    with pytest.raises(BadConfig, match="population: 'simulated' is not known; allowed are parametric, diffsky"):
        draw(1, np.random.default_rng(0), {"population": "simulated"}, grid)
    with pytest.raises(BadConfig, match="target: 'mws' is not known; allowed are bgs, lrg"):
        draw(1, np.random.default_rng(0), {}, grid, "mws")


def test_the_history_adds_up_to_the_stellar_mass(many, grid):
    surviving = np.array([np.interp(many.log_z, grid.log_z, column) for column in grid.surviving.T]).T
    np.testing.assert_allclose(np.log10((many.sfh * surviving).sum(axis=1)), many.log_mstar, atol=1e-6)
    np.testing.assert_allclose(many.z_mw, 0.02 * 10**many.log_z)


@pytest.mark.parametrize("target", ["bgs", "qso"])
def test_no_star_is_older_than_the_universe(many, grid, target):
    p = many if target == "bgs" else draw(300, np.random.default_rng(1), {}, grid, target)
    too_old = grid.age_edges[:-1] > cosmology.age(p.redshift)[:, None] * 1e9
    assert too_old.any() and (p.sfh[too_old] == 0).all()
    assert (p.t_age_mw < cosmology.age(p.redshift)).all()


def test_the_main_sequence_is_the_published_one_with_its_scatter(volume, grid):
    """Popesso et al. 2023, .3 dex over 100 Myr; quenched galaxies (whatever is 1 dex below) form a small part of it."""
    rate = np.log10(histories.recent_rate(volume.sfh, grid.age_edges, 1e8).clip(1e-9))
    offset = rate - relations.main_sequence(volume.log_mstar, cosmology.age(volume.redshift))
    forming = offset[~volume.quenched]
    assert abs(np.median(forming)) < 0.1
    assert 0.22 < 0.5 * np.diff(np.percentile(forming, [16, 84]))[0] < 0.36
    assert np.median(offset[volume.quenched]) < -1
    # the published relation itself: 1 Msun/yr near 10^10.5 Msun today, ten times as much at z = 2 (their figure 3)
    assert relations.main_sequence(10.5, 13.5) == pytest.approx(0.05, abs=0.15)
    assert relations.main_sequence(10.5, 3.3) == pytest.approx(1.6, abs=0.15)


def test_metallicity_scatters_by_a_quarter_dex_whatever_the_history(many):
    offset = many.log_z - relations.metallicity(many.log_mstar, many.redshift)
    assert 0.2 < offset.std() < 0.3
    for other in (many.t_age_mw, np.log10(many.avg_sfr) - many.log_mstar, many.quenched):
        assert abs(np.corrcoef(offset, other)[0, 1]) < 0.12


def test_dust_has_the_published_amount_and_scatter(volume):
    """A(H-alpha) near 1 mag at 10^10 Msun (Garn & Best 2010), slopes about -.4 +- .3 (Salim et al. 2018)."""
    forming = ~volume.quenched & (np.abs(volume.log_mstar - 10) < 0.3)
    h_alpha = 0.82 * (volume.av + volume.av_birth)[forming]
    assert np.median(h_alpha) == pytest.approx(0.95, abs=0.25) and 0.1 < np.log10(h_alpha).std() < 0.3
    assert np.median(volume.dust_slope) == pytest.approx(-0.4, abs=0.12) and 0.2 < volume.dust_slope.std() < 0.35
    assert np.median(volume.av[volume.quenched]) < 0.2


def test_h_alpha_is_as_strong_as_in_the_sky(volume, grid):
    """Median equivalent width of star-forming galaxies at 10^10 Msun: 20 to 40 A (SDSS; Belfiore et al. 2018)."""
    from skyloom.mock.universe.light.synthesis import Templates, line_luminosities

    p = volume[~volume.quenched & (np.abs(volume.log_mstar - 10) < 0.3)]
    dust = (p.av, p.dust_slope, p.av_birth)
    templates = Templates.wide(grid)
    near = np.argmin(np.abs(templates.wavelength - 6700.0))
    continuum = templates.continuum(p.sfh, p.log_z, p.log_z_gas, *dust)[:, near]
    line = np.argmin(np.abs(grid.line_wavelength - 6564.6))
    width = line_luminosities(grid, p.sfh, p.log_z_gas, p.log_u, *dust)[:, line] / continuum
    assert 18 < np.median(width) < 42


def test_quenching_goes_with_mass_and_age(many):
    mass = np.linspace(8.5, 11.5, 7)
    assert (np.diff(relations.quenched_fraction(mass, 0.1)) > 0).all()
    assert relations.quenched_fraction(8.5, 0.1) < 0.2 and relations.quenched_fraction(11.3, 0.1) > 0.9
    alike = np.abs(many.log_mstar - 10.7) < 0.3
    old, young = many.t_age_mw[alike & many.quenched], many.t_age_mw[alike & ~many.quenched]
    assert np.median(old) > np.median(young) + 2
    # the red sequence and the blue cloud at z = .1 (Blanton et al. 2003; g-r of .95 and .5)
    near = np.abs(many.redshift - 0.1) < 0.03
    colour = many.mag_g - many.mag_r
    assert np.median(colour[near & many.quenched]) == pytest.approx(0.95, abs=0.08)
    assert np.median(colour[near & ~many.quenched]) == pytest.approx(0.52, abs=0.12)


def test_the_mass_function_has_the_published_density():
    """Driver et al. 2022 at z < .1, Davidzon et al. 2017 at z = 1 and 2 (other data, other code): within .25 dex."""
    assert np.log10(relations.mass_function(10.5, 0.05)) == pytest.approx(-2.25, abs=0.1)
    for z, log_m, log_phi in ((0.95, 10.5, -2.50), (0.95, 9.5, -2.18), (2.25, 10.5, -3.15)):
        assert np.log10(relations.mass_function(log_m, z)) == pytest.approx(log_phi, abs=0.25)


def test_a_volume_limited_draw_recovers_the_mass_function(grid):
    """All of 10^10.6 Msun and more at z < .12 are brighter than r = 19.5: their mass histogram is the mass function."""
    p = draw(6000, np.random.default_rng(4), LIMIT, grid)
    near = p.redshift < 0.12
    edges = np.array([10.0, 10.4, 10.8, 11.2])
    found = np.histogram(p.log_mstar[near & (p.redshift > 0.05)], edges)[0]
    m, z = np.linspace(10, 11.2, 121), np.linspace(0.05, 0.12, 30)
    number = relations.mass_function(0.5 * (m[1:] + m[:-1]), 0.5 * (z[1:] + z[:-1])[:, None])
    number = (number * np.diff(cosmology.comoving_volume(z))[:, None]).sum(axis=0).reshape(3, 40).sum(axis=1)
    np.testing.assert_allclose(found / found.sum(), number / number.sum(), atol=4 * 0.5 / np.sqrt(found.sum()))


def test_halo_masses_invert_the_published_relation_where_its_scatter_matters_little():
    log_mh = np.array([11.0, 12.0])
    for value in log_mh:
        stellar = np.full(3000, halos.stellar_mass(value, 0.0))
        drawn = halos.halo_mass(stellar, np.zeros(3000), np.random.default_rng(0))
        assert np.median(drawn) == pytest.approx(value, abs=0.12) and 0.05 < drawn.std() < 0.35
    # Moster et al. 2013, table 1 at z = 0 for 10^13 Msun, written out
    x = 10 ** (13 - 11.59)
    assert halos.stellar_mass(13.0, 0.0) == pytest.approx(13 + np.log10(2 * 0.0351 / (x**-1.376 + x**0.608)))
    # massive galaxies scatter up from smaller haloes
    stellar = np.full(3000, halos.stellar_mass(14.5, 0.0))
    assert np.median(halos.halo_mass(stellar, np.zeros(3000), np.random.default_rng(0))) < 14.3


def test_haloes_are_as_many_as_published():
    """Tinker et al. 2008 at z = 0: some 4e-3, 5e-4, 5e-5 / Mpc^3 / dex at 10^12, 13, 14 Msun; rms 0.81 in 8 Mpc/h."""
    number = halos.mass_function(np.array([12.0, 13.0, 14.0]), 0.0)
    np.testing.assert_allclose(np.log10(number), [-2.38, -3.27, -4.27], atol=0.1)
    assert halos.mass_function(np.array([14.0]), 1.0) < 0.3 * number[2]


def test_bars_are_in_three_discs_of_ten_and_lie_in_their_disc(volume):
    discs = (volume.bulge_fraction[:, 1] < 0.5) & (np.abs(volume.log_mstar - 10.3) < 0.5)
    assert 0.2 < (volume.bar_fraction[discs] > 0).mean() < 0.36
    # seen edge-on, a bar points along its disc
    edge_on = volume.q_disk < 0.3
    turn = (volume.angle_bar - volume.angle + np.pi / 2) % np.pi - np.pi / 2
    assert np.abs(turn[edge_on]).mean() < 0.5 * np.abs(turn[volume.q_disk > 0.8]).mean()


def test_shapes_go_with_type(volume):
    early, late = volume.quenched, ~volume.quenched
    assert volume.bulge_fraction[early].mean() > volume.bulge_fraction[late].mean() + 0.3
    assert volume.arms[late].mean() > volume.arms[early].mean() and volume.clumpiness[early].max() < 0.1
    twist = (volume.angle_bulge - volume.angle + np.pi / 2) % np.pi - np.pi / 2
    assert 0.1 < twist[early].std() < twist[late].std() < 0.5


def test_learning_from_photometry_is_as_hard_as_in_real_surveys(many):
    """R2 from g, r, z with 2 % errors: redshift .65 to .75, metallicity and sSFR .5 are aimed at, mass known best."""
    rng = np.random.default_rng(3)
    seen = np.column_stack([many.mag_g, many.mag_r, many.mag_z]) + 0.02 * 1.086 * rng.standard_normal((len(many), 3))
    inputs = np.column_stack([seen, seen[:, 0] - seen[:, 1], seen[:, 1] - seen[:, 2]])
    targets = {
        "redshift": many.redshift,
        "log_z": many.log_z,
        "log_mstar": many.log_mstar,
        "age": many.t_age_mw,
        "ssfr": np.log10(many.avg_sfr) - many.log_mstar,
    }
    score = {}
    for name, target in targets.items():
        model = HistGradientBoostingRegressor(learning_rate=0.06, max_iter=80, random_state=0)
        model.fit(inputs[:2500], target[:2500])
        error = model.predict(inputs[2500:]) - target[2500:]
        score[name] = 1 - np.mean(error**2) / target[2500:].var()
    assert 0.58 < score["redshift"] < 0.78 and score["log_z"] < 0.55 and score["ssfr"] < 0.62
    assert score["log_mstar"] > score["age"] + 0.05 and score["log_mstar"] > score["log_z"] + 0.2
