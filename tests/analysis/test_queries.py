"""Queries of a model that answers any: scores by hand, physics by closed forms, claims that can fail."""

import json

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.cosmology import Planck18
from scipy import stats

from skyloom.analysis.queries import Settings, baselines, checks, physics, present
from skyloom.analysis.queries.answers import read_answers
from skyloom.analysis.queries.certainty import crowding, drawn_from, pit_of
from skyloom.core.errors import BadInput
from skyloom.settings.analysis import Job
from skyloom.settings.section import parse

LEVELS = [0.025, 0.05, 0.16, 0.25, 0.5, 0.75, 0.84, 0.95, 0.975]


def settings(**given) -> Settings:
    return parse(Settings, given, "analyses.queries")


def test_pit_of_right_quantiles_is_uniform_and_of_too_narrow_ones_is_not():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=3000)
    truth = centre + rng.normal(size=3000)
    knots = stats.norm.ppf(LEVELS)
    right = pit_of(truth, centre[:, None] + knots, LEVELS)
    narrow = pit_of(truth, centre[:, None] + 0.6 * knots, LEVELS)
    inside = (right > 0.025) & (right < 0.975)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
    assert stats.ks_1samp(right, stats.uniform.cdf).statistic < 0.035
    assert stats.ks_1samp(narrow, stats.uniform.cdf).statistic > 0.08


def test_pit_on_quantiles_that_coincide_is_between_their_levels():
    knots = np.array([[0.0, 0, 0, 0, 0, 1, 2, 3, 4]])
    assert 0.025 < pit_of(np.array([0.0]), knots, LEVELS)[0] < 0.5


def test_point_answers_crowd_and_draws_do_not():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=2000)
    knots = np.tile(stats.norm.ppf(LEVELS), (2000, 1))  # nothing is known: the distribution of all
    assert crowding(np.zeros(2000), truth) > 0.45
    assert crowding(drawn_from(knots, LEVELS, rng), truth) < 0.06


def test_the_median_has_the_least_mean_absolute_error_of_constants():
    train = np.random.default_rng(0).exponential(size=(999, 2))
    middle = baselines.middle(train, 3)
    assert middle.shape == (3, 2)
    for shift in (-0.05, 0.05):
        assert np.abs(train - middle[0]).mean() < np.abs(train - middle[0] - shift).mean()


def test_boosting_learns_one_number_and_several():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(2400, 3))
    one = np.sin(seen[:, :1]) + 0.05 * rng.normal(size=(2400, 1))
    curve = one * np.linspace(0, 1, 20)
    s = settings(trees=60, components=3)
    for truth in (one, curve):
        found = baselines.boosted(seen[:2000], truth[:2000], seen[2000:], s, 0)
        error = np.abs(found - truth[2000:]).mean() / np.abs(truth[2000:] - np.median(truth[:2000], axis=0)).mean()
        assert found.shape == truth[2000:].shape and error < 0.25


def test_boosting_sees_many_numbers_as_components_and_holes_as_missing():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(1500, 1))
    seen = hidden * rng.normal(size=(1, 400)) + 0.1 * rng.normal(size=(1500, 400))
    seen[::7, 3] = np.nan
    found = baselines.boosted(seen[:1200], hidden[:1200], seen[1200:], settings(trees=60), 0)
    assert np.corrcoef(found[:, 0], hidden[1200:, 0])[0, 1] > 0.98


def test_a_constant_history_forms_its_rate_times_its_time():
    edges = np.linspace(0, 10, 51)
    assert physics.log_formed(np.zeros((1, 50)), edges)[0] == pytest.approx(10.0)
    assert physics.log_formed(np.full((1, 50), 2.0), edges)[0] == pytest.approx(12.0)


@pytest.mark.parametrize("redshift", [0.05, 0.8, 2.0])
def test_a_flat_spectrum_has_the_magnitude_of_its_distance(redshift):
    edges = np.geomspace(912, 50000, 922)
    found = physics.magnitudes(np.full((1, 921), 6.0), edges, np.array([redshift]))
    expected = 8.9 - 2.5 * 6 + Planck18.distmod(redshift).to_value(u.mag) - 2.5 * np.log10(1 + redshift)
    there = np.isfinite(found[0])
    assert there[1:].all()  # the bluest filter may look beyond the spectrum
    np.testing.assert_allclose(found[0][there], expected, atol=2e-3)


def answers(path, query="lsst", columns=None):
    columns = columns or {"redshift": {"modality": "scalars", "places": [0], "unit": ""}}
    about = {"query": query, "model": "any", "given": {"lsst": [0, 1]}, "columns": columns, "level": 0.9}
    about |= {"levels": LEVELS, "calibrated_on": 100}
    table = pa.table({"targetid": [1, 2, 3], "split": ["test", "train", "test"], "redshift": [0.1, 0.2, 0.3]})
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(27.0)), 9)
    table = table.append_column("redshift_quantiles", lists).append_column("redshift_samples", lists)
    pq.write_table(table.replace_schema_metadata({b"skyloom": json.dumps(about)}), path)


def test_answers_of_a_split_are_read_without_draws(tmp_path):
    answers(tmp_path / "any-lsst.parquet")
    found = read_answers(tmp_path / "any-lsst.parquet", "test")
    assert found.targetid.tolist() == [1, 3] and found.values["redshift_quantiles"].shape == (2, 9)
    assert "redshift_samples" not in found.values
    pq.write_table(pa.table({"targetid": [1]}), tmp_path / "other.parquet")
    with pytest.raises(BadInput, match="other.parquet: not a table of answers"):
        read_answers(tmp_path / "other.parquet", None)


def test_single_numbers_come_in_their_order_whatever_the_order_of_the_names(tmp_path):
    columns = {f"lsst_{b}": {"modality": "lsst", "places": [i], "unit": ""} for i, b in enumerate("ugr")}
    about = {"query": "q", "given": {}, "columns": dict(sorted(columns.items())), "level": 0.9}
    values = {name: [float(c["places"][0])] for name, c in columns.items()}
    table = pa.table({"targetid": [1], "split": ["test"], **values})
    pq.write_table(table.replace_schema_metadata({b"skyloom": json.dumps(about)}), tmp_path / "any-q.parquet")
    said, places = read_answers(tmp_path / "any-q.parquet", None).all_of("lsst")
    assert places == [0, 1, 2] and said.tolist() == [[0.0, 1.0, 2.0]]


def scores(gain=(0.6, 0.55, 0.65), mae=(0.1, 0.1), coverage=0.9, level=0.9) -> pandas.DataFrame:
    def row(query, model, quantity, metric, value, low=np.nan, high=np.nan):
        names = ("modality", "model", "property", "metric", "value", "ci_low", "ci_high")
        found = dict(zip(names, (query, model, quantity, metric, value, low, high), strict=True))
        return found | {"n": 100, "method": np.nan}

    return pandas.DataFrame(
        [
            row("b/a", "any", "redshift", "gain", *gain),
            row("a", "any", "redshift", "mae", mae[0], 0.05, 0.15),
            row("a", "for_a", "redshift", "mae", mae[1], 0.05, 0.15),
            row("a", "any", "redshift", "coverage", coverage, 0.88, 0.92) | {"method": f"{level:g}"},
        ]
    )


def test_claims_hold_and_fail_by_their_numbers():
    s = settings(gains=[{"of": "redshift", "better": "b", "worse": "a", "least": 0.5}])
    verdicts = [claim.holds for claim in present.claims(scores(), s)]
    assert verdicts == [True, True, True]
    failing = scores(gain=(0.4, 0.3, 0.45), mae=(0.12, 0.1), coverage=0.8)
    assert [claim.holds for claim in present.claims(failing, s)] == [False, False, False]
    assert [claim.holds for claim in present.claims(scores(coverage=0.9, level=0.68), s)][-1] is False
    unsure = next(iter(present.claims(scores(gain=(0.55, 0.45, 0.65)), s)))
    assert unsure.holds and unsure.verdict == "holds, within the uncertainty"


class Truth:
    """What `Sky` says of four test galaxies."""

    paths = {"scalars": [], "sfh": []}
    ids = {"test": np.array([1, 2, 3, 4])}

    def __init__(self, history, mass):
        self.values = {"sfh": history, "scalars": np.stack([mass, mass, mass], 1)}

    def of(self, modality, split):
        assert split == "test"
        return self.values[modality]


def test_a_history_and_a_mass_drawn_together_belong_together_and_those_of_two_draws_do_not(tmp_path):
    rng = np.random.default_rng(0)
    edges = np.linspace(0, 13.8, 11)
    true = rng.normal(0, 1, (4, 10))
    drawn = true[:, None] + rng.normal(0, 0.5, (4, 6, 1))  # as a whole higher or lower: as smooth as the truth
    formed = physics.log_formed(drawn.reshape(-1, 10), edges).reshape(4, 6)
    known = [2, 3, 4]  # one galaxy has no answer
    samples = {"sfh_samples": drawn.reshape(4, -1), "log_mstar_samples": formed - 0.2}
    lists = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(values[1:].ravel()), values.shape[1])
        for name, values in samples.items()
    }
    table = pa.table({"targetid": known, "split": ["test"] * 3, **lists})
    about = {b"skyloom": json.dumps({"samples": 6})}
    pq.write_table(table.replace_schema_metadata(about), tmp_path / "any-q.parquet")
    job = Job("sim", {"query_q": [str(tmp_path / "any-q.parquet")]}, {}, settings(), 0)
    sky = Truth(true, physics.log_formed(true, edges) - 0.2)
    lines = {(r["check"], r["of"]): r for r in checks._drawn(job, "q", sky, {"sfh": edges})}
    together, apart = (lines[checks.FORMED, f"drawn {how}, less true"] for how in ("together", "apart"))
    assert abs(together["median"]) < 1e-6 and together["mad"] < 1e-6 and together["n"] == 18
    assert apart["mad"] > 0.3
    smooth = [lines[checks.SMOOTH, of]["median"] for of in ("drawn", "true")]
    assert smooth[0] == pytest.approx(np.median(physics.roughness(true[1:])), rel=0.3) and smooth[1] > 0.5
    assert checks._drawn(job, "q", sky, {"sfh": edges[:-1]}) == []  # parts of histories form no mass


def test_a_gain_is_told_beside_that_of_boosting():
    s = settings(gains=[{"of": "redshift", "better": "b", "worse": "a", "least": 0.5}])
    table = scores()
    other = table.iloc[[0]].assign(model="boosting", value=-0.1, ci_low=-0.2, ci_high=0.0)
    first = next(iter(present.claims(pandas.concat([table, other]), s)))
    assert first.holds and "lower by 0.60 [0.55, 0.65]" in first.numbers
    assert first.numbers.endswith("of gradient boosting by -0.10 [-0.20, 0.00]")
