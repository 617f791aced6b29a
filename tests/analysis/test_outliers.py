"""Outliers: planted ones are counted exactly, chance against scipy and simulations, coverage of the intervals."""

import itertools

import numpy as np
import pandas
import pytest
import yaml
from scipy import stats

from skyloom.analysis.common import bygroup, statistics, tables
from skyloom.analysis.common.blocks import Shown, Text
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.outliers import Settings, chance, figures, flags
from skyloom.analysis.outliers.present import claims, multiplicity_table, present, published_counts
from skyloom.figures import style
from skyloom.settings import layout
from skyloom.settings.config import load
from skyloom.settings.section import parse
from tests.paths import ROOT

from . import synthetic

MODELS = ("astrodino-image", "astroclip-image")
PROPERTIES = ["log_mstar", "log_z_mw", "t_age", "log_ssfr"]
ONE = {"model": "astrodino", "modality": "image", "method": "knn", "property": "t_age"}


def settings(**given):
    return parse(Settings, given, "analyses.outliers")


def extended(**analyses):
    """The default configuration with these analyses besides, or in place of those of the same name."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    return config | {"analyses": config["analyses"] | analyses}


def test_poisson_binomial_is_binomial_for_equal_rates_and_a_product_by_hand():
    assert chance.poisson_binomial(np.full(4, 0.05)) == pytest.approx(stats.binom.pmf(np.arange(5), 4, 0.05))
    assert chance.poisson_binomial(np.array([0.1, 0.5])) == pytest.approx([0.45, 0.5, 0.05])
    assert chance.poisson_binomial(np.zeros(3)).tolist() == [1, 0, 0, 0]


def test_gaussian_errors_have_the_outliers_that_theory_says():
    errors = np.abs(np.random.default_rng(0).normal(0, 3.7, 200_000))
    found = (errors > flags.threshold_of(errors, 1.5, 2)).mean()
    assert found == pytest.approx(chance.gaussian_rate(1.5), rel=0.05)
    assert chance.gaussian_rate(1.5) == pytest.approx(0.0165, abs=1e-4)


@pytest.mark.parametrize(("one", "other", "n"), [(30, 50, 400), (5, 5, 8), (0, 3, 10), (10, 10, 10), (900, 700, 20000)])
def test_jaccard_by_chance_is_the_mean_of_the_hypergeometric_distribution(one, other, n):
    shared = np.arange(min(one, other) + 1)
    expected = (stats.hypergeom.pmf(shared, n, one, other) * shared / (one + other - shared)).sum()
    assert chance.jaccard_by_chance(one, other, n) == pytest.approx(expected, rel=1e-8)


def test_jaccard_by_hand():
    first, second = np.array([1, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 0], bool)
    value, ci, either = chance.jaccard(first, second)
    assert (value, either) == (0.5, 4)
    assert ci == pytest.approx(stats.binomtest(2, 4).proportion_ci(0.95, "exact"))
    assert np.isnan(chance.jaccard(first & False, second & False)[0]) and np.isnan(chance.jaccard_by_chance(0, 0, 9))


def draw(rng, n, dependent):
    """Flags (n, 4) at rates near 0.05: independent, or more likely in a tenth of the galaxies; and the true excess."""
    rates = np.array([0.04, 0.05, 0.06, 0.05])
    hard = np.where(rng.random(n) < 0.1, 4.0, 2 / 3) if dependent else np.ones(n)
    several = sum(
        share * chance.poisson_binomial(rates * factor)[2:].sum() for share, factor in ((0.1, 4.0), (0.9, 2 / 3))
    )
    truth = several / chance.poisson_binomial(rates)[2:].sum() if dependent else 1.0
    return rng.random((n, 4)) < rates * hard[:, None], truth


@pytest.mark.parametrize("dependent", [False, True])
def test_the_intervals_of_the_excess_cover_the_truth(dependent):
    rng = np.random.default_rng(3)
    exact, pooled = [], []
    for number in range(200):
        found, truth = draw(rng, 1200, dependent)
        low, high = chance.coincidence(found)[1]
        exact.append(low <= truth <= high)
        if number % 2:
            continue
        value, draws = chance.pooled_coincidence(found[None], np.ones((1, 1200), bool), 200)
        assert value == pytest.approx(chance.coincidence(found)[0])
        low, high = statistics.interval(draws)
        pooled.append(low <= truth <= high)
    assert np.mean(exact) > 0.93
    assert 0.89 < np.mean(pooled) < 1


def test_models_that_fail_alike_do_not_narrow_the_pooled_interval():
    rng = np.random.default_rng(0)
    found, _ = draw(rng, 2000, True)
    counted = np.ones((1, 2000), bool)
    one = statistics.interval(chance.pooled_coincidence(found[None], counted)[1])
    five = statistics.interval(chance.pooled_coincidence(np.stack([found] * 5), np.repeat(counted, 5, axis=0))[1])
    assert five == pytest.approx(one)
    some = rng.random(2000) < 0.7  # galaxies that lack a property do not count
    value = chance.pooled_coincidence(found[None], some[None], 100)[0]
    assert value == pytest.approx(chance.coincidence(found[some])[0])


def planted(folder, n=1000, missing=0):
    """Errors of +-0.5 to 1, and errors of 9 at known galaxies: model -> (n, 4) bool."""
    rng = np.random.default_rng(0)
    truth = {model: np.zeros((n, 4), bool) for model in ("astrodino", "astroclip")}
    for first, (count, many) in enumerate([(20, 1), (10, 2), (6, 3), (3, 4)]):
        rows = 100 * first + np.arange(count)
        truth["astrodino"][rows, :many] = True
    truth["astroclip"][:14, 0] = True
    frames = []
    for p, name in enumerate(PROPERTIES):
        values = rng.normal(size=n)
        values[n - missing :] = np.nan if p == 3 else values[n - missing :]
        for model, outlier in truth.items():
            error = np.where(outlier[:, p], 9.0, rng.uniform(0.5, 1, n)) * rng.choice([-1, 1], n)
            rows = {"targetid": 5000 + np.arange(n), "model": model, "modality": "image", "method": "knn"}
            frames.append(pandas.DataFrame({**rows, "property": name, "truth": values, "prediction": values + error}))
    tables.write_parquet(folder / "predictions.parquet", pandas.concat(frames))
    return truth


def run(folder, given=None):
    survey = synthetic.survey(folder, n=(4, 2, 2), models=MODELS)
    inputs = {"predictions": folder / "predictions.parquet", "embeddings": survey["embeddings"]}
    out = synthetic.run("outliers", inputs, folder / "out", given)
    return pandas.read_csv(out["table"], dtype={"group": str}), pandas.read_parquet(out["galaxies"]), out


def test_planted_outliers_are_counted_exactly(tmp_path):
    truth = planted(tmp_path)
    table, galaxies, out = run(tmp_path)
    assert list(table) == bygroup.COLUMNS and list(galaxies) == flags.GALAXIES
    whole = table[(table["property"] == "all") & (table["model"] == "astrodino")].set_index(["metric", "group"])
    value, n = whole["value"], whole["n"]
    assert [value["count", str(k)] for k in range(1, 5)] == [20, 10, 6, 3]
    assert [value["share", str(k)] for k in range(1, 5)] == pytest.approx([20 / 39, 10 / 39, 6 / 39, 3 / 39], rel=1e-5)
    assert n["count", "1"] == 1000 and n["share", "1"] == 39
    rates = truth["astrodino"].mean(axis=0)
    expected = 1000 * chance.poisson_binomial(rates)
    assert [value["expected", str(k)] for k in range(1, 5)] == pytest.approx(expected[1:], rel=1e-5)
    assert value["excess", "2+"] == pytest.approx(19 / expected[2:].sum(), rel=1e-5)
    counts = table.query("metric == 'count' and property != 'all' and model == 'astrodino'").set_index("property")
    assert [counts["value"][name] for name in PROPERTIES] == [39, 19, 9, 3]
    ends = stats.binomtest(39, 1000).proportion_ci(0.95, "exact")
    row = table.query("metric == 'outlier_rate' and property == 'log_mstar' and model == 'astrodino'").iloc[0]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(ends, rel=1e-5)

    own = galaxies[galaxies["model"] == "astrodino"].set_index("targetid")
    assert sorted(own.index) == list(5000 + np.flatnonzero(truth["astrodino"].any(axis=1)))
    assert own.loc[5200, "properties"] == 3 and own.loc[5200, "which"] == "log_mstar,log_z_mw,t_age"
    assert own["complete"].all()

    overlap = table.query("metric == 'jaccard'").set_index("property")
    assert overlap["value"]["log_mstar"] == pytest.approx(14 / 39, rel=1e-5) and overlap["n"]["any"] == 39
    by_chance = table.query("metric == 'jaccard_expected'").set_index("property")["value"]
    assert by_chance["log_mstar"] == pytest.approx(chance.jaccard_by_chance(39, 14, 1000), rel=1e-5)
    first = {name: path.read_bytes() for name, path in out.items()}
    run(tmp_path)
    assert {name: path.read_bytes() for name, path in out.items()} == first


def test_galaxies_without_all_properties_do_not_count_for_the_multiplicity(tmp_path):
    planted(tmp_path, n=306, missing=7)  # the three of four properties lose one, with six that are no outliers
    table, galaxies, _ = run(tmp_path)
    whole = table[(table["property"] == "all") & (table["model"] == "astrodino") & (table["metric"] == "count")]
    assert whole["value"].tolist() == [20, 10, 6, 0] and (whole["n"] == 299).all()
    rate = table.query("metric == 'count' and model == 'astrodino' and property == 'log_mstar'").iloc[0]
    assert rate["value"] == 39 and rate["n"] == 306
    assert (~galaxies[galaxies["model"] == "astrodino"]["complete"]).sum() == 3


def test_coinciding_outliers_are_claimed_and_independent_ones_are_not(tmp_path):
    planted(tmp_path)
    table, _, out = run(tmp_path)
    (found,) = claims(table, settings(methods=["knn"]))
    assert found.verdict == "holds" and "all models together" in found.numbers
    known = published_counts(read_published([ROOT / path for path in layout.PUBLISHED_ALL]))
    lines = multiplicity_table(table, known, Shown("mock", True)).lines
    assert [line[5] for line in lines[:4]] == ["2,308", "415", "65", "8"]  # as Table 18 has them
    assert [line[7] for line in lines[:4]] == ["82.55", "14.84", "2.32", "0.29"]
    assert [line[1] for line in lines[4:8]] == ["astroclip"] * 4 and lines[8][0] == "mock" and len(lines) == 16
    shown = present({role: str(path) for role, path in out.items()}, settings(), Shown("mock", True))
    assert [block.shape for block in shown] == ["claim", "text", "figure", "table", "table", "table"]
    even = table[table["metric"] == "excess"].assign(value=0.98, ci_low=0.9, ci_high=1.1)
    (found,) = claims(even, settings())
    assert found.verdict == "fails, within the uncertainty"


@pytest.mark.parametrize("n", [0, 1, 10])
def test_too_few_galaxies_give_empty_tables(tmp_path, n):
    columns = {"targetid": np.arange(n), **ONE}
    values = {"truth": np.zeros(n), "prediction": np.ones(n)}
    tables.write_parquet(tmp_path / "predictions.parquet", pandas.DataFrame({**columns, **values}))
    table, galaxies, out = run(tmp_path)
    assert list(table) == bygroup.COLUMNS and not len(table)
    assert list(galaxies) == flags.GALAXIES and not len(galaxies)
    assert out["figure"].read_bytes().startswith(b"\x89PNG")
    shown = present({role: str(path) for role, path in out.items()}, settings(), Shown("mock", True))
    assert len(shown) == 1 and isinstance(shown[0], Text)


def test_one_property_and_errors_without_scatter(tmp_path):
    n = 50
    columns = {"targetid": np.arange(n), **ONE}
    values = {"truth": np.arange(n) * 1.0, "prediction": np.arange(n) * 1.0}
    tables.write_parquet(tmp_path / "predictions.parquet", pandas.DataFrame({**columns, **values}))
    table, galaxies, _ = run(tmp_path)
    assert not len(galaxies) and "excess" not in set(table["metric"])
    assert table.query("metric == 'count'")["value"].eq(0).all()


@pytest.mark.parametrize("models", [1, 2, 15, 30])
def test_the_figure_of_many_models_fits_on_a_page(tmp_path, models):
    names = [f"model_{number}" for number in range(models)]
    key = {"survey": "s", "modality": "spectrum", "method": "knn", "split": "test", "n": 900}
    rows = [
        {**key, "model": name, "property": "all", "group": str(k), "metric": metric, "value": value, **ends}
        for name in names
        for k in range(1, 5)
        for metric, value, ends in (("count", 60 // k, {"ci_low": 40 / k, "ci_high": 90 / k}), ("expected", 50 / k, {}))
    ]
    for one, other in itertools.combinations(names, 2):
        model, modality = chance.pair_of((one, "spectrum"), (other, "spectrum"))
        about = {**key, "model": model, "modality": modality, "property": "any", "group": "all"}
        rows += [{**about, "metric": "jaccard", "value": 0.4}, {**about, "metric": "jaccard_expected", "value": 0.1}]
    if models > 1:  # one without any outlier: chance is 0
        rows[-2:] = [{**rows[-2], "value": 0.0}, {**rows[-1], "value": 0.0}]
    figures.draw(pandas.DataFrame(rows), ["knn"], style.Palette({name: {} for name in names}), tmp_path / "f.png")
    width, height = (int.from_bytes((tmp_path / "f.png").read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert width == style.WIDTH * style.DPI
    assert height <= 1.1 * width and height <= (0.26 * max(models, 4) + 1.5) * style.DPI


def test_inputs_are_the_predictions_of_a_regression():
    made = load(extended(outliers={})).made
    assert made["outliers", "mock"]["predictions"] == ["results/mock/analysis/regression-predictions.parquet"]
    assert {survey for analysis, survey in made if analysis == "outliers"} == {
        survey for analysis, survey in made if analysis == "regression"
    }
