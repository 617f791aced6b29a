"""The population against the relations it is drawn from, and its histories against numerical integrals."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from skyloom.errors import BadConfig
from skyloom.surveys.mock import cosmology, histories, relations
from skyloom.surveys.mock.images import render
from skyloom.surveys.mock.photometry import FastPhotometry
from skyloom.surveys.mock.population import FIBRE_LIMIT, R_LIMIT, Z_RANGE, draw, fibre_share

EDGES = np.concatenate([[0.0], 10 ** np.arange(6.0, 10.16, 0.1)])


@pytest.fixture(scope="module")
def many(grid):
    return draw(6000, np.random.default_rng(2), {"population": "parametric"}, grid)


def magnitudes(p, grid):
    return FastPhotometry.of(grid).magnitudes(
        p.sfh, p.log_z, p.log_z_gas, p.log_u, p.redshift, p.av, p.dust_slope, p.av_birth
    )


def test_the_selection_is_the_surveys(many):
    assert len(many) == 6000
    assert many.mag_r.max() < R_LIMIT and (many.mag_r > 19.5).mean() > 0.3
    assert Z_RANGE[0] <= many.redshift.min() and many.redshift.max() <= Z_RANGE[1]
    assert (many.mag_r - 2.5 * np.log10(fibre_share(many))).max() < FIBRE_LIMIT
    # BGS: median redshift about .2 (Hahn et al. 2023, figure 7)
    assert 0.17 < np.median(many.redshift) < 0.27


def test_every_field_has_a_finite_row_a_galaxy(many, grid):
    for name, values in vars(many).items():
        assert len(values) == len(many) and np.isfinite(values.astype(float)).all(), name
    assert many.sfh.shape == (len(many), len(grid.ages)) and (many.sfh >= 0).all()
    for name in ("bulge_fraction", "q_disk", "q_bulge", "clumpiness"):
        assert 0 <= getattr(many, name).min() and getattr(many, name).max() <= 1, name
    assert many.avg_sfr.min() > 0 and many.r_disk.min() > 0 and many.r_bulge.min() > 0


def test_the_same_state_gives_the_same_galaxies_and_fewer_are_the_first(grid):
    first, again = (draw(30, np.random.default_rng(8), {}, grid) for _ in range(2))
    fewer = draw(10, np.random.default_rng(8), {}, grid)
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(first, name)[:10], getattr(fewer, name))


def test_an_unknown_population_gets_one_line(grid):
    with pytest.raises(BadConfig, match="population: 'simulated' is not known; allowed are parametric"):
        draw(1, np.random.default_rng(0), {"population": "simulated"}, grid)


def test_the_history_adds_up_to_the_stellar_mass(many, grid):
    surviving = np.array([np.interp(many.log_z, grid.log_z, column) for column in grid.surviving.T]).T
    np.testing.assert_allclose(np.log10((many.sfh * surviving).sum(axis=1)), many.log_mstar, atol=1e-6)
    assert (many.t_age_mw < cosmology.age(many.redshift)).all()
    np.testing.assert_allclose(many.z_mw, 0.02 * 10**many.log_z)


def test_no_star_is_older_than_the_universe(many, grid):
    too_old = grid.age_edges[:-1] > cosmology.age(many.redshift)[:, None] * 1e9
    assert too_old.any() and (many.sfh[too_old] == 0).all()


def test_star_forming_galaxies_are_on_the_main_sequence(many):
    forming = ~many.quenched & (np.abs(many.log_mstar - 10.2) < 0.3)
    expected = relations.main_sequence(many.log_mstar, cosmology.age(many.redshift))
    offset = (np.log10(many.avg_sfr) - expected)[forming]
    assert abs(np.median(offset)) < 0.2 and 0.1 < offset.std() < 0.35
    quiet = np.log10(many.avg_sfr)[many.quenched] - expected[many.quenched]
    assert np.median(quiet) < -1


def test_metallicity_scatters_by_a_quarter_dex_whatever_the_history(many):
    offset = many.log_z - relations.metallicity(many.log_mstar)
    assert 0.22 < offset.std() < 0.33
    for other in (many.t_age_mw, np.log10(many.avg_sfr) - many.log_mstar, many.quenched):
        assert abs(np.corrcoef(offset, other)[0, 1]) < 0.12


def test_quenching_and_bulges_go_with_mass():
    mass = np.linspace(8.5, 11.5, 7)
    assert (np.diff(relations.quenched_fraction(mass, 0.1)) > 0).all()
    assert relations.quenched_fraction(8.5, 0.1) < 0.2 and relations.quenched_fraction(11.3, 0.1) > 0.9


def test_halo_masses_invert_the_published_relation():
    log_mh = np.array([11.0, 12.0, 13.0, 14.0])
    stellar = log_mh + np.log10(2 * 0.0351 / (10 ** (-1.376 * (log_mh - 11.59)) + 10 ** (0.608 * (log_mh - 11.59))))
    np.testing.assert_allclose(relations.halo_mass(stellar, np.zeros(4)), log_mh, atol=0.01)


def test_the_mass_function_has_the_published_density():
    """Baldry et al. 2012: 10^-2.3 galaxies / Mpc^3 / dex at 10^10.5 Msun to .1 dex (their figure 13)."""
    assert np.log10(relations.mass_function(10.5, 0.0)) == pytest.approx(-2.3, abs=0.1)


def test_redshift_is_as_hard_as_in_real_photometry_and_metallicity_harder(many, grid):
    """R2 from g, r, z with 2 % errors: redshift .65 to .75 was aimed at, metallicity at most about .5."""
    rng = np.random.default_rng(3)
    flux = 10 ** (-0.4 * magnitudes(many, grid)) * (1 + 0.02 * rng.standard_normal((len(many), 3)))
    seen = -2.5 * np.log10(flux)
    inputs = np.column_stack([seen, seen[:, 0] - seen[:, 1], seen[:, 1] - seen[:, 2]])
    score = {}
    for name in ("redshift", "log_z", "log_mstar"):
        target = getattr(many, name)
        model = HistGradientBoostingRegressor(learning_rate=0.06, random_state=0).fit(inputs[:4500], target[:4500])
        error = model.predict(inputs[4500:]) - target[4500:]
        score[name] = 1 - np.mean(error**2) / target[4500:].var()
    assert 0.58 < score["redshift"] < 0.78
    assert score["log_z"] < 0.56 and score["log_mstar"] > score["log_z"] + 0.2


def test_the_fibre_share_used_for_selection_is_that_of_the_image(many):
    some = many[:48]
    shape = ("r_disk", "r_bulge", "q_disk", "q_bulge", "angle", "clumpiness", "bulge_fraction")
    galaxies = {name: getattr(some, name) for name in shape}
    galaxies |= {"ra": np.full(48, 225.0), "dec": np.full(48, 2.0)}
    _, info = render(galaxies, np.full((48, 3), 10.0), np.random.default_rng(0), {"neighbours": 0.0})
    ratio = fibre_share(some) / info["fibre_fraction"]
    assert abs(np.mean(np.log(ratio))) < 0.05 and np.std(np.log(ratio)) < 0.1


@pytest.mark.parametrize("x", [-4.0, 0.0, 0.5, 8.0])
def test_the_delayed_exponential_in_closed_form(x):
    time = np.linspace(0, 1, 20001)
    rate = time * np.exp(-x * time)
    total = np.trapezoid(rate, time)
    numeric = np.array([np.trapezoid(rate[: i + 1], time[: i + 1]) for i in (2000, 9000, 16000)]) / total
    np.testing.assert_allclose(histories.formed_by(time[[2000, 9000, 16000]], x), numeric, rtol=2e-3)
    assert histories.rate_for(np.array(rate[-1] / total)) == pytest.approx(x, abs=0.02)


def test_a_quenched_history_against_its_integral():
    age, x, quench, decay = 9e9, 3.0, 4e9, 5e8
    mass = histories.smooth(EDGES, *(np.array([v]) for v in (age, x, quench, decay)))[0]
    lookback = np.linspace(0, age, 400001)
    time = 1 - lookback / age
    rate = time * np.exp(-x * time)
    at_quench = (1 - quench / age) * np.exp(-x * (1 - quench / age))
    rate = np.where(lookback < quench, at_quench * np.exp((lookback - quench) / decay), rate)
    cumulative = np.append(0, np.cumsum(0.5 * (rate[1:] + rate[:-1])))
    numeric = np.diff(np.interp(EDGES, lookback, cumulative)) / cumulative[-1]
    np.testing.assert_allclose(mass, numeric, atol=2e-5)


def test_bursts_and_flicker_keep_the_mass():
    smooth = histories.smooth(EDGES, *(np.array([v]) for v in (9e9, 3.0, 0.0, 1e8)))
    burst = histories.add_burst(smooth, EDGES, np.array([0.2]), np.array([1e8]), np.array([5e7]))
    recent = (EDGES[:-1] >= 4.9e7) & (EDGES[1:] <= 1.01e8)
    assert burst.sum() == pytest.approx(1) and (burst - 0.8 * smooth)[0, recent].sum() == pytest.approx(0.2, rel=0.03)
    flickered = histories.flicker(smooth, EDGES[1:], np.array([0.5]), 1e8)
    assert flickered.sum() == pytest.approx(1) and flickered[0, 0] > 3 * smooth[0, 0]


def test_recent_rate_of_a_constant_history_is_that_constant():
    mass = 7.0 * np.diff(EDGES)[None]
    for window in (1e7, 1e9, 1.23e9):
        np.testing.assert_allclose(histories.recent_rate(mass, EDGES, window), 7.0)
    np.testing.assert_allclose(histories.mean_age(mass, 0.5 * (EDGES[1:] + EDGES[:-1])), EDGES[-1] / 2)
