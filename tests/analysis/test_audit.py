"""The audit: every check finds what is planted and is silent otherwise; the published slips; nothing of ours."""

import copy
import sys

import numpy as np
import pandas
import pytest
import yaml
from scipy.special import zeta

from skyloom.analysis.audit import __main__ as command
from skyloom.analysis.audit import audit, bins, counts, present, reading
from skyloom.analysis.audit.findings import IMPOSSIBLE, NEEDS, UNLIKELY
from skyloom.analysis.benchmark import beside
from skyloom.analysis.calibration import calibrate
from skyloom.analysis.common import bygroup, statistics, tables
from skyloom.analysis.common.blocks import Claim, Shown, Table
from skyloom.analysis.mock_validation import checks
from skyloom.analysis.parents import parents
from skyloom.analysis.regression import scores
from skyloom.core.errors import BadConfig, BadInput
from skyloom.settings import kinds
from skyloom.settings.config import load
from tests.paths import ROOT

from . import synthetic

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
PUBLISHED = ROOT / "resources/published/benchmark_2026.csv"


def row(metric="r2", value=0.5, ci=(np.nan, np.nan), n=0, group="", **key):
    names = dict(survey="s", model="m", modality="image", method="mlp", property="z", split="test") | key
    return tables.row(**names, metric=metric, value=value, ci=ci, n=n) | {"group": group}


def found(folder, rows, columns=bygroup.COLUMNS):
    """Check -> its findings in a table of these rows, those without any left out."""
    path = folder / "planted.csv"
    tables.write_csv(path, pandas.DataFrame(rows, columns=columns))
    return only(audit.audit(reading.read([path])))


def only(places):
    kept = {name: [place for place in own if place is not None] for name, own in places.items()}
    return {name: own for name, own in kept.items() if own}


def one(folder, rows, check, columns=bygroup.COLUMNS):
    """The only finding, of this check."""
    places = found(folder, rows, columns)
    assert list(places) == [check], places
    (finding,) = places[check]
    return finding


@pytest.fixture(scope="module")
def published():
    return only(audit.audit(reading.read([PUBLISHED])))


@pytest.fixture(scope="module")
def of_ours(tmp_path_factory):
    """Outputs of a regression, and a table of its scores in groups: quarters by redshift, and halves by mass."""
    folder = tmp_path_factory.mktemp("ours")
    survey = synthetic.survey(folder, (300, 60, 150), 16, models=("astroclip-image", "pca_image-image"))
    settings = {"properties": ["z", "log_mstar", "log_ssfr"], "differences": [["astroclip", "pca_image"]]}
    settings |= {"k": [16], "epochs": [3], "components": [8], "whitened": [0]}
    inputs = {name: survey[name] for name in ("galaxies", "splits", "embeddings")}
    out = synthetic.run("regression", inputs, folder / "out", settings)
    galaxies = survey["table"].query("split == 'test'").set_index("targetid")
    groups = {}
    for column, number in (("z", 4), ("log_mstar", 2)):
        place = pandas.qcut(galaxies[column], number, labels=False)
        groups |= {f"{column} {k}": galaxies.index[place == k].to_numpy() for k in range(number)}
    rows = []
    for predicted in bygroup.read_predictions(out["predictions"]):
        rows += bygroup.scored("mock", predicted, groups, differences=[("log_mstar 1", "log_mstar 0")])
    key = ("mock", "", "", "kmeans", "position", "all")
    rows += [tables.row(*key, "count", n, n=150) | {"group": str(k)} for k, n in enumerate((71, 43, 36))]
    rows += [tables.row(*key, "share", n / 150, n=150) | {"group": str(k)} for k, n in enumerate((71, 43, 36))]
    tables.write_csv(folder / "groups.csv", pandas.DataFrame(rows, columns=bygroup.COLUMNS))
    return out["table"], folder / "groups.csv"


def test_nothing_is_found_in_tables_of_ours(of_ours):
    looked = {}
    for path in of_ours:
        places = audit.audit(reading.read([path]))
        assert not only(places), only(places)
        looked |= {name: len(own) + looked.get(name, 0) for name, own in places.items()}
    for name in ("bins", "factor", "difference", "sum", "share", "bounds", "interval", "galaxies"):
        assert looked[name], name  # it did look


def test_the_slips_of_the_published_tables_are_found(published):
    assert set(published) == {"bins", "factor", "training", "difference", "sum", "share"}
    flipped = published["difference"]
    assert {(f.table, "flipped" in f.what) for f in flipped} == {("17", True)} and len(flipped) == 8
    assert all("spectrum" in f.place and f.value * f.expected < 0 for f in flipped)
    below = [f for f in published["bins"] if f.table == "15" and f.level == NEEDS]
    assert any(f.place == "astroclip, image, knn, log_mstar, test" and "12.1%" in f.what for f in below)
    assert len(below) == 8
    above = [f for f in published["bins"] if f.level == IMPOSSIBLE]
    assert sorted(f.table for f in above) == ["14", "15", "15", "15", "16"]
    (factor,) = published["factor"]
    assert (factor.table, factor.value, factor.level) == ("13", 8, UNLIKELY)
    (total,) = published["sum"]
    assert (total.table, total.value, total.expected) == ("13", 142120, 17765) and "8 times" in total.what
    training = published["training"]
    assert {(f.table, f.expected) for f in training} == {("4", 1)} and len(training) == 16
    assert [(f.table, f.place[-1], f.value) for f in published["share"]] == [("13", "1", 11.8), ("13", "8", 9.6)]


def test_the_published_tables_are_complete():
    frame = pandas.read_csv(PUBLISHED, dtype=str, keep_default_na=False)
    numbers = {3: 32, 4: 32, 5: 24, 6: 24, 7: 30, 8: 8, 9: 30, 10: 8, 11: 3, 12: 3, 13: 20, 14: 40}
    numbers |= {15: 48, 16: 32, 17: 16, 18: 16}
    assert frame["table"].astype(int).value_counts().to_dict() == numbers
    assert set(frame["confidence"]) == {"H", "M"}
    place = frame[(frame["table"] == "15") & (frame["group"] == "Moderate") & (frame["property"] == "t_age")]
    assert list(place["value"]) == ["0.217", "0.240", "0.393", "0.464"]


def test_published_files_audit_clean_or_not_as_they_are():
    assert not only(audit.audit(reading.read([ROOT / "resources/published/astroclip_2024.csv"])))
    assert not only(audit.audit(reading.read([ROOT / "resources/published.csv"])))


def test_the_variance_between_groups_is_what_the_scores_say():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 900)
    truth = rng.normal(size=900) + label
    prediction = truth + rng.normal(0, 0.7, 900)
    inside = [label == k for k in range(3)]
    weights = np.array([((truth[rows] - truth[rows].mean()) ** 2).sum() for rows in inside])
    scores = np.array([statistics.r2(truth[rows], prediction[rows]) for rows in inside])
    mean, pooled = weights @ scores / weights.sum(), statistics.r2(truth, prediction)
    share = 1 - weights.sum() / ((truth - truth.mean()) ** 2).sum()
    assert bins.between(pooled, mean) == pytest.approx(share)
    assert pooled > scores.max() and bins.between(pooled, scores.max()) < share  # a bound that needs no weights


def test_groups_against_the_pooled_score(tmp_path):
    def planted(pooled, groups, n=(0, 0, 0)):
        whole = row(value=pooled, n=sum(n))
        return [whole, *(row(value=v, n=m, group=g) for g, v, m in zip("abc", groups, n, strict=True))]

    assert not found(tmp_path, planted(0.52, (0.41, 0.55, 0.47)))
    finding = one(tmp_path, planted(0.52, (0.61, 0.57, 0.58)), "bins")
    assert finding.level == IMPOSSIBLE and (finding.value, finding.expected) == (0.57, 0.52)
    assert one(tmp_path, planted(0.52, (0.61, 0.57, 0.58), (12, 27, 35)), "bins").level == IMPOSSIBLE
    finding = one(tmp_path, planted(0.6, (0.4, 0.5, 0.45)), "bins")
    assert finding.level == NEEDS and f"{1 - 0.4 / 0.55:.1%} if" in finding.what
    assert not found(tmp_path, planted(0.6, (0.4, 0.5, 0.45), (12, 27, 35)))  # the same galaxies: their means say why
    assert not found(tmp_path, planted(0.52, (0.61, np.nan, 0.58), (12, 1, 35)))
    others = planted(0.52, (0.61, 0.57, 0.58), (12, 27, 35))
    assert not found(tmp_path, [others[0] | {"n": 50}, *others[1:]])  # scored on other galaxies


def test_counts_with_a_common_factor(tmp_path):
    def planted(numbers):
        return [row("count", v, group=str(g), method="kmeans") for g, v in enumerate(numbers)]

    numbers = np.random.default_rng(1).integers(100, 2000, 8)
    assert not found(tmp_path, planted(numbers))
    finding = one(tmp_path, planted(7 * numbers), "factor")
    assert finding.value == 7 and finding.level == UNLIKELY
    assert not found(tmp_path, planted([500] * 8))  # quantile bins
    scored = [row(value=0.3, n=9 * v, group=str(g)) for g, v in enumerate(numbers)]
    assert one(tmp_path, scored, "factor").value == 9


def test_the_chance_of_a_common_factor():
    assert counts.chance_of(2, 2) == pytest.approx(1 - 6 / np.pi**2)
    assert counts.chance_of(1, 5) == pytest.approx(1)
    drawn = np.gcd.reduce(np.random.default_rng(0).integers(1, 10**9, (3, 40000)))
    assert counts.chance_of(2, 3) == pytest.approx((drawn >= 2).mean(), abs=0.006)
    assert counts.chance_of(8, 10) == pytest.approx(sum(m**-10.0 for m in range(8, 200)) / zeta(10))


def test_training_scores_of_knn(tmp_path):
    def planted(train, method="knn", split="train", **more):
        test = row(value=0.62, method=method, n=300)
        return [test, row(value=train, method=method, split=split, **more)]

    assert not found(tmp_path, planted(0.66))
    assert not found(tmp_path, planted(0.6, method="mlp"))
    assert one(tmp_path, planted(1.0), "training").level == NEEDS
    assert "unless each was left out" in one(tmp_path, planted(0.6), "training").what
    finding = one(tmp_path, planted(0.66, method="knn, distance weights"), "training")
    assert (finding.level, finding.expected) == (IMPOSSIBLE, 1)
    assert not found(tmp_path, planted(0.6, method="knn leave-one-out"))
    assert not found(tmp_path, planted(0.6, split="train (leave-one-out)"))
    beside = row("r2_naive", 1.0, method="knn", split="train")  # as our own table of training scores has it
    assert not found(tmp_path, [*planted(0.6), beside])


def test_differences_against_their_terms(tmp_path):
    def planted(value, n=0, ci=(np.nan, np.nan), **key):
        terms = [row(value=0.713, n=200, model="a", ci=(0.68, 0.74)), row(value=0.652, n=210, model="b")]
        return [*terms, row("delta_r2", value, model="a - b", n=n, ci=ci, **key)]

    assert not found(tmp_path, planted(0.061))
    assert "flipped" in one(tmp_path, planted(-0.061), "difference").what
    assert one(tmp_path, planted(0.052), "difference").expected == pytest.approx(0.061)
    assert not found(tmp_path, planted(0.052, n=190))  # of the galaxies that both have
    assert one(tmp_path, planted(0.061, n=205), "difference").expected == 200
    assert not found(tmp_path, planted(0.3, modality="spectrum"))  # its terms are not there
    groups = [row(value=0.713, group="bright"), row(value=0.652, group="faint")]
    delta = row("delta_r2", -0.061, group="bright - faint")
    assert "flipped" in one(tmp_path, [*groups, delta], "difference").what
    assert not found(tmp_path, [*groups, delta | {"value": 0.061}])
    wide = [term | {"n": 200, "ci_low": term["value"] - 0.02, "ci_high": term["value"] + 0.02} for term in groups]
    assert not found(tmp_path, [*wide, delta | {"value": 0.061, "ci_low": 0.03, "ci_high": 0.09}])
    finding = one(tmp_path, [*wide, delta | {"value": 0.061, "ci_low": -0.2, "ci_high": 0.3}], "difference")
    assert finding.level == UNLIKELY


def test_rounding_is_allowed_for(tmp_path):
    path = tmp_path / "typed.csv"
    lines = ["table,model,modality,property,group,metric,value", "1,m,image,z,a,r2,0.863", "1,m,image,z,b,r2,0.888"]
    path.write_text("\n".join([*lines, "2,m,image,z,a - b,delta_r2,-0.030", "2,m,image,t,a - b,delta_r2,0.010"]))
    assert not only(audit.audit(reading.read([path])))  # -0.025, to two decimals and a zero
    path.write_text("\n".join([*lines, "2,m,image,z,a - b,delta_r2,-0.030", "2,m,image,t,a - b,delta_r2,0.011"]))
    assert list(only(audit.audit(reading.read([path])))) == ["difference"]
    assert [reading.decimals(text) for text in ("0.090", "16776", "1.2e-05", "", "nan")] == [2, 0, 6, 0, 0]


def test_sums_and_shares(tmp_path):
    def planted(numbers, n, shares=()):
        key = {"method": "kmeans", "property": "position"}
        rows = [row("count", v, n=n, group=str(g), **key) for g, v in enumerate(numbers)]
        return [*rows, *(row("share", v, n=n, group=str(g), **key) for g, v in enumerate(shares))]

    good = (71, 43, 36)
    assert not found(tmp_path, planted(good, 150, (0.473333, 0.286667, 0.24)))
    assert "2 times" in one(tmp_path, planted((71, 43, 186), 150), "sum").what
    assert one(tmp_path, planted(good, 149), "sum").value == 150
    assert not found(tmp_path, planted(good, 151))  # one galaxy in no group
    other = [line | {"model": "other"} for line in planted(good, 151)]
    assert one(tmp_path, [*planted((71, 43, 37), 151), *other], "sum").value == 150  # but the other list is complete
    twice = [line | {"group": f"again {line['group']}"} for line in planted((60, 55, 35), 150)]
    assert not found(tmp_path, [*planted(good, 150), *twice])  # two partitions, one after the other
    finding = one(tmp_path, planted(good, 150, (0.473333, 0.306667, 0.24)), "share")
    assert finding.expected == pytest.approx(43 / 150)
    assert "add up to 0.93" in one(tmp_path, planted((), 150, (0.51, 0.31, 0.11)), "share").what
    older = [row("count", v, n=150, property=f"cluster={k}") for k, v in enumerate((71, 43, 186))]
    assert one(tmp_path, older, "sum").expected == 150
    assert not found(tmp_path, [row("count", 50, n=50, group=str(k)) for k in range(3)])  # each states its own


def test_means_of_the_same_galaxies(tmp_path):
    def planted(means, numbers, model):
        key = {"model": model, "method": "kmeans"}
        rows = [row("count", v, n=150, group=str(g), property="", **key) for g, v in enumerate(numbers)]
        pairs = zip(means, numbers, strict=True)
        return [*rows, *(row("mean", m, n=v, group=str(g), **key) for g, (m, v) in enumerate(pairs))]

    first, second = (1.25, 2.75), (71, 79)
    right = (1.25 * 71 + 2.75 * 79 - 1.5 * 40) / 110
    assert not found(tmp_path, [*planted(first, second, "a"), *planted((1.5, right), (40, 110), "b")])
    finding = one(tmp_path, [*planted(first, second, "a"), *planted((1.5, right + 0.1), (40, 110), "b")], "mean")
    assert finding.value - finding.expected == pytest.approx(0.1 * 110 / 150, abs=1e-4)


def test_values_and_intervals_that_cannot_be(tmp_path):
    def check(**given):
        return {name: own[0].level for name, own in found(tmp_path, [row(**given)]).items()}

    assert not check(value=0.5, ci=(0.43, 0.56), n=300)
    assert check(value=1.02) == {"bounds": IMPOSSIBLE}
    assert check(metric="ami", value=1.2) == {"bounds": IMPOSSIBLE}
    assert check(metric="count", value=12.5) == {"bounds": IMPOSSIBLE}
    assert check(metric="share", value=1.5) == {"bounds": IMPOSSIBLE} or check(metric="share", value=-0.5)
    assert check(value=0.501, ci=(0.511, 0.563), n=300) == {"interval": IMPOSSIBLE}
    assert check(value=0.501, ci=(0.56, 0.43), n=300) == {"interval": IMPOSSIBLE}
    assert check(value=0.98, ci=(0.951, 1.012), n=300) == {"interval": IMPOSSIBLE}
    assert check(metric="bias", value=2, ci=(1, 3), n=300) == {}
    assert check(value=0.50123, ci=(0.50122, 0.50124), n=300) == {"interval": UNLIKELY}
    assert check(value=0.9012, ci=(0.1234, 0.9723), n=20000) == {"interval": UNLIKELY}


def test_an_interval_of_the_bootstrap_is_as_wide_as_expected(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2000)
    prediction = 0.8 * truth + rng.normal(0, 0.4, 2000)
    draws = statistics.bootstrap_r2_of_many(truth, prediction[None])[0, 0]
    assert not found(tmp_path, [row(value=statistics.r2(truth, prediction), ci=statistics.interval(draws), n=2000)])


def test_the_same_number_twice_and_of_other_galaxies(tmp_path):
    assert not found(tmp_path, [row(value=0.513), row(value=0.513)])
    assert one(tmp_path, [row(value=0.513), row(value=0.613)], "repeat").expected == 0.513
    both = [row(value=0.513, n=40) | {"table": "1"}, row(value=0.613, n=50) | {"table": "2"}]
    assert not found(tmp_path, both, ["table", *bygroup.COLUMNS])  # of other galaxies
    finding = one(tmp_path, [both[0], both[1] | {"n": 40}], "repeat", ["table", *bygroup.COLUMNS])
    assert finding.table == "2" and "in table 1" in finding.what
    assert not found(tmp_path, [row(n=50), row("bias", 0.1, n=50)])
    finding = one(tmp_path, [row(n=50), row("bias", 0.1, n=60)], "galaxies")
    assert (finding.value, finding.expected) == (50, 60)


def test_a_table_without_rows_or_of_one_is_clean(tmp_path):
    assert not found(tmp_path, [])
    assert not found(tmp_path, [row()], tables.COLUMNS)
    assert not found(tmp_path, [row(value=np.nan, n=3)])


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,value\na,1\n")
    with pytest.raises(BadInput, match="t.csv: not a table .* no column metric, it has model, value; an audit reads"):
        reading.read([path])
    path.write_text("metric,value\nr2,0.5\nr2,about one\n")
    with pytest.raises(BadInput, match="value of line 3 is 'about one'; expected a number"):
        reading.read([path])
    with pytest.raises(BadInput, match="none.csv: not a readable csv"):
        reading.read([tmp_path / "none.csv"])


def test_partitions_are_runs_that_add_up():
    assert reading.partitions([3, 4, 5, 6, 6, 1], 12) == [slice(0, 3), slice(3, 5)]
    assert reading.partitions([], 12) == [] and reading.partitions([5, 8], 12) == []


def job(folder, of_ours, published=(str(PUBLISHED),)):
    inputs = {"tables": [str(path) for path in of_ours], "published": list(published)}
    return synthetic.run("audit", inputs, folder / "audit")


def test_the_report_says_ours_are_clean_and_shows_what_is_not(tmp_path, of_ours):
    out = job(tmp_path, of_ours)
    table, checked = pandas.read_csv(out["table"]), pandas.read_csv(out["checked"])
    assert list(table) == audit.COLUMNS and list(checked) == audit.CHECKED
    assert set(table["of"]) == {"published"} and len(table) == checked["findings"].sum() > 40
    first = {name: path.read_bytes() for name, path in out.items()}
    assert {name: path.read_bytes() for name, path in job(tmp_path, of_ours).items()} == first
    blocks = present.present({k: str(v) for k, v in out.items()}, None, Shown("mock"))
    (claim,) = [block for block in blocks if isinstance(block, Claim)]
    assert claim.holds and claim.verdict == "holds" and "of 2 tables" in claim.numbers
    listed = [block for block in blocks if isinstance(block, Table)]
    assert [block.folded for block in listed] == [True, True] and len(listed[0].lines) == len(table)
    frame = pandas.read_csv(of_ours[0])
    assert (frame["metric"] == "r2").sum() > 3
    frame.loc[frame["metric"] == "r2", "value"] += 1
    frame.to_csv(tmp_path / "wrong.csv", index=False)
    out = job(tmp_path, [tmp_path / "wrong.csv"], ())
    claim, _, shown, _ = present.present({k: str(v) for k, v in out.items()}, None, Shown("mock"))
    assert not claim.holds and not shown.folded and shown.lines


def test_the_command_prints_a_line_a_finding(monkeypatch, capsys, of_ours, tmp_path):
    def say(*arguments):
        monkeypatch.setattr(sys, "argv", ["audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            command.main()
        return end.value.code, capsys.readouterr()

    code, said = say(PUBLISHED)
    assert code == 0 and len(said.out.splitlines()) == 47 and said.err.startswith("47 findings")
    assert "sum: benchmark_2026, table 13: kmeans, position, test: the counts add up to 142,120" in said.out
    assert say(PUBLISHED, "--strict")[0] == 1
    code, said = say(*of_ours, "--strict")
    assert code == 0 and said.out == ""
    assert "no such" in str(say(tmp_path / "no.csv")[0]).lower()
    (tmp_path / "wide.csv").write_text(f"targetid,{','.join(f'z{i}' for i in range(20))}\n" + "1," * 20 + "2\n")
    line = str(say(tmp_path / "wide.csv")[0])
    assert line.startswith(f"{tmp_path}/wide.csv: not a table with a number a row: no column metric and no column val")
    assert "it has targetid, z0, z1, z2, z3, z4, z5, z6, ...; an audit reads metric and value, and what of" in line
    assert "\n" not in line


def made(**analyses):
    default = copy.deepcopy(DEFAULT)
    for survey in default["surveys"].values():
        survey.pop("analyses", None)  # it names those of the default configuration
    return load({**default, "analyses": analyses}).made


def test_it_reads_the_tables_that_a_survey_has():
    found = made(regression={}, retrieval={}, audit={"tables": ["regression", "retrieval"], "published": ["p.csv"]})
    folder = "results/mock/analysis"
    assert found["audit", "mock"]["tables"] == [f"{folder}/regression.csv", f"{folder}/retrieval.csv"]
    assert found["audit", "mock"]["published"] == ["p.csv"]
    assert found["audit", "mock_spectra"]["tables"] == ["results/mock_spectra/analysis/regression.csv"]
    assert ("audit", "desi_samples") not in found
    assert not any(name == "audit" for name, _ in made(catalog={}, audit={}))  # no entry `regression`


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (["audit"], "audit.tables: 'audit' is an audit itself"),
        (["umap"], "audit.tables: 'umap' is of kind umap, which makes no csv table"),
        (["examples"], "audit.tables: 'examples' is of kind examples, which makes no table"),
        (["regression", "calibration"], r"tables: the table of 'calibration' .* is wide; .*metric and value"),
        (["redshift"], r"audit.tables: the table of 'redshift' \(kind redshift\) is wide; an audit reads tables"),
        (["regresion"], "tables.0: 'regresion' is not an analysis; did you mean 'regression'"),
    ],
)
def test_what_cannot_be_audited_is_refused(tables, words):
    with pytest.raises(BadConfig, match=words):
        made(regression={}, examples={}, umap={}, calibration={}, redshift={}, audit={"tables": tables})


def test_a_kind_is_wide_where_its_table_has_no_metric_and_value():
    known = {}
    for name in kinds.own_kinds("analysis"):
        kind = kinds.find("analysis", name, name)
        if kind.outputs.get("table", "").endswith(".csv"):
            known[name] = kind.tidy
    assert {name for name, tidy in known.items() if not tidy} == {
        *("audit", "benchmark", "calibration", "mock_validation", "parents", "redshift"),
    }
    for columns, tidy in (
        (calibrate.COLUMNS, known["calibration"]),
        (parents.COLUMNS, known["parents"]),
        (beside.COLUMNS, known["benchmark"]),
        (checks.COLUMNS, known["mock_validation"]),
        (scores.COLUMNS, known["regression"]),
        (audit.COLUMNS, known["audit"]),
    ):
        assert ({"metric", "value"} <= set(columns)) is tidy
