"""Residuals: boxes against matplotlib, bins against pandas, net counts against McNemar, and planted pairs."""

import numpy as np
import pandas
import pytest
import yaml
from matplotlib.cbook import boxplot_stats
from scipy import stats

from skyloom.analysis.common import tables
from skyloom.analysis.common.blocks import Claim, Shown, Text
from skyloom.analysis.residuals import Settings, boxes, compare, examine
from skyloom.analysis.residuals.present import claims, pair_table, present
from skyloom.core.errors import BadConfig
from skyloom.settings import kinds
from skyloom.settings.config import load
from skyloom.settings.section import parse
from tests.paths import ROOT

from . import synthetic

MODELS = ("astrodino-image", "astroclip-image", "astroclip-spectrum", "specformer-spectrum")


def settings(**given):
    return parse(Settings, given, "analyses.residuals")


def extended(**analyses):
    """The default configuration with these analyses besides, or in place of those of the same name."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    return config | {"analyses": config["analyses"] | analyses}


@pytest.mark.parametrize("values", [np.random.default_rng(0).exponential(size=301), np.ones(5), np.array([2.0])])
def test_a_box_is_that_of_a_box_plot(values):
    found, (expected,) = boxes.box(values, 1.5), boxplot_stats(values, whis=1.5)
    names = {"q1": "q1", "med": "median", "q3": "q3", "whislo": "whisker_low", "whishi": "whisker_high", "mean": "mean"}
    for theirs, ours in names.items():
        assert found[ours] == pytest.approx(expected[theirs]), ours
    above = (expected["fliers"] > expected["q3"]).sum()
    assert found["outlier_rate"] == pytest.approx(above / len(values))


@pytest.mark.parametrize("q", [0.25, 0.5, 0.75])
def test_the_interval_of_a_quantile_is_scipys_and_covers(q):
    rng = np.random.default_rng(1)
    values = rng.exponential(size=143)
    ends = boxes.quantile_interval(values, q)
    theirs = stats.quantile_test(values, q=stats.expon.ppf(q), p=q).confidence_interval(0.95)
    assert ends == pytest.approx((theirs.low, theirs.high))
    found = np.array([boxes.quantile_interval(rng.exponential(size=60), q) for _ in range(1000)])
    inside = (found[:, 0] <= stats.expon.ppf(q)) & (stats.expon.ppf(q) <= found[:, 1])
    assert 0.94 < inside.mean() < 0.99
    assert np.isnan(boxes.quantile_interval(values[:4], q)).all()


def test_the_bootstrap_of_means_has_the_width_of_the_standard_error():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(2, 800))
    values[1, ::2] = np.nan
    draws = boxes.bootstrap_means(values, 2000, seed=3)
    for row, own in zip(draws, values, strict=True):
        own = own[np.isfinite(own)]
        assert row.mean() == pytest.approx(own.mean(), abs=0.01)
        assert row.std() == pytest.approx(own.std() / len(own) ** 0.5, rel=0.06)


def test_bins_are_quantiles_of_the_property():
    values = np.round(np.random.default_rng(0).normal(size=500), 2)  # with ties
    values[::7] = np.nan
    found = compare.place(values, compare.inner_edges(values, 4))
    known = np.isfinite(values)
    assert (found[~known] == -1).all()
    assert (found[known] == pandas.qcut(values[known], 4, labels=False)).all()
    assert compare.bin_names(4) == ["low", "bin 2", "bin 3", "high"] and compare.bin_names(2) == ["low", "high"]


def test_net_counts_by_hand():
    first = np.array([0.1, 0.1, 0.9, 0.2, np.nan, 0.3])
    second = np.array([0.8, 0.7, 0.2, 0.2, 0.1, 0.9])
    target = np.array([0, 0, 1, 1, 0, 1])
    found = compare.compare(first, second, target, bins=2, error_bins=2)  # errors of both: the middle is at 0.25
    assert found.edges == pytest.approx([0.1, 0.25, 0.9])
    assert found.galaxies.tolist() == [5, 2, 3]
    assert found.first_only.tolist() == [[2, 1], [2, 0], [0, 1]]
    assert found.second_only.tolist() == [[1, 2], [0, 2], [1, 0]]
    assert found.net.tolist() == [[1, -1], [2, -2], [-1, 1]]
    assert found.closer.tolist() == [3, 2, 1] and found.further.tolist() == [1, 0, 1]


def test_net_counts_add_up():
    rng = np.random.default_rng(0)
    first, second = rng.exponential(size=(2, 1000))
    found = compare.compare(first, second, rng.integers(0, 3, 1000), 3, 5)
    assert not found.net.sum(axis=1).any()
    assert (found.net[0] == found.net[1:].sum(axis=0)).all()
    assert found.galaxies[0] == 1000 == found.closer[0] + found.further[0]


@pytest.mark.parametrize(("only_first", "only_second"), [(5, 20), (16, 9), (0, 6), (0, 5), (30, 30), (1, 0)])
def test_the_interval_of_a_net_count_agrees_with_the_exact_test_of_mcnemar(only_first, only_second):
    low, high = compare.net_interval(only_first, only_second)
    p = stats.binomtest(only_first, only_first + only_second).pvalue
    assert low <= only_first - only_second <= high
    assert (low > 0 or high < 0) is bool(p < 0.05)
    assert compare.sign_test(only_first, only_second) == pytest.approx(p)


def test_nothing_to_tell_two_models_apart():
    assert compare.net_interval(0, 0) == (0, 0) and compare.sign_test(0, 0) == 1
    same = np.random.default_rng(0).random(50)
    found = compare.compare(same, same, np.zeros(50, int), 2, 3)
    assert not found.net.any() and not found.closer.any() and not found.further.any()


def test_sources_of_a_pair_share_modality_and_method():
    sources = [("a", "image", "knn"), ("b", "image", "knn"), ("a", "image", "mlp"), ("a", "spectrum", "knn"),
               ("b", "spectrum", "knn"), ("b", "image", "mlp"), ("b", "image", "probe")]  # fmt: skip
    assert list(compare.matched(sources, [("a", "b", "image")], ["knn"])) == [(0, 1)]
    assert list(compare.matched(sources, [("a", "b", None)], ["knn", "mlp"])) == [(0, 1), (2, 5), (3, 4)]
    assert list(compare.matched(sources, [("b", "c", None)], ["knn"])) == []


def predictions(folder, n=400, scatter=None, properties=("log_mstar", "t_age"), seed=0):
    """A table of predictions whose errors have the stated scatter: model-modality -> sigma."""
    rng = np.random.default_rng(seed)
    scatter = scatter or {"astrodino-image": 1.0, "astroclip-image": 0.4, "astroclip-spectrum": 0.3,
                          "specformer-spectrum": 0.3}  # fmt: skip
    frames = []
    for name in properties:
        truth = rng.normal(10, 1, n)
        for source, sigma in scatter.items():
            model, _, modality = source.rpartition("-")
            rows = {"targetid": 7 + np.arange(n), "model": model, "modality": modality, "method": "knn"}
            values = truth + sigma * rng.normal(size=n)
            frames.append(pandas.DataFrame({**rows, "property": name, "truth": truth, "prediction": values}))
    columns = ["targetid", "model", "modality", "method", "property", "truth", "prediction"]
    frame = pandas.concat(frames) if frames else pandas.DataFrame(columns=columns)
    tables.write_parquet(folder / "predictions.parquet", frame)
    return frame


def run(folder, given=None, aligned=True):
    survey = synthetic.survey(folder, n=(4, 2, 2), models=MODELS)
    paths = dict(zip(MODELS, survey["embeddings"], strict=True))
    inputs = {"predictions": folder / "predictions.parquet", "embeddings": survey["embeddings"]}
    above = ["astroclip-image", "astroclip-spectrum"] if aligned else []
    below = ["astrodino-image", "specformer-spectrum"] if aligned else []
    inputs |= {"aligned": [paths[name] for name in above], "backbones": [paths[name] for name in below]}
    out = synthetic.run("residuals", inputs, folder / "out", given)
    return pandas.read_csv(out["table"]), pandas.read_csv(out["bins"]), out


def test_a_planted_difference_is_found_and_none_where_there_is_none(tmp_path):
    frame = predictions(tmp_path)
    table, bins, out = run(tmp_path)
    assert list(table) == tables.COLUMNS and list(bins) == examine.BINS
    rows = table.set_index(["model", "modality", "property", "metric"])["value"]
    own = frame.query("model == 'astroclip' and modality == 'image' and property == 't_age'")
    error = (own["prediction"] - own["truth"]).abs()
    assert rows["astroclip", "image", "t_age", "median"] == pytest.approx(error.median(), rel=1e-5)
    assert rows["astroclip", "image", "t_age", "mean"] == pytest.approx(error.mean(), rel=1e-5)
    counts = bins.query("metric == 'count'")
    assert (counts["value"] == 100).all() and len(counts) == 8
    net = bins.query("metric == 'net_count'")
    assert (net.groupby(["model", "property", "target"])["value"].sum() == 0).all()
    assert net.query("target == 'all'").groupby(["model", "property"]).size().eq(5).all()
    far = net.query("model == 'astroclip - astrodino' and error == '5' and target == 'all'")
    assert len(far) == 2 and (far["ci_high"] < 0).all()
    closer = bins.query("metric == 'closer' and target == 'all'").set_index(["model", "property"])
    expected = 2 * np.arctan(1 / 0.4) / np.pi  # |0.4 x| < |y| of two normal deviates
    for name in ("log_mstar", "t_age"):
        row = closer.loc["astroclip - astrodino", name]
        assert row["ci_low"] < expected < row["ci_high"] and row["ci_low"] > 0.5
    better, same = claims(bins, settings())
    p = {metric: bins[bins["metric"] == metric]["value"].sort_values().to_numpy() for metric in ("p_closer", "p_holm")}
    assert p["p_holm"][:2] == pytest.approx([4 * p["p_closer"][0], max(4 * p["p_closer"][0], 3 * p["p_closer"][1])])
    assert better.verdict == "holds" and "astroclip is closer to the truth than astrodino" in better.text
    assert same.verdict.endswith("within the uncertainty") and "corrected for 4 tests" in same.numbers
    assert len(pair_table(bins).lines) == 4
    first = {name: path.read_bytes() for name, path in out.items()}
    run(tmp_path)
    assert {name: path.read_bytes() for name, path in out.items()} == first
    shown = present({role: str(path) for role, path in out.items()}, settings(), Shown("mock", True))
    assert [block.shape for block in shown] == ["claim", "claim", "figure", "scores", "figure", "figure", "table"]


def test_a_property_that_hardly_varies_is_drawn(tmp_path):
    rng, frames = np.random.default_rng(0), []
    for spread in (0.0, 2e-16, 1e-15):
        truth = -1.873 + spread * rng.integers(0, 3, 40)
        columns = {"targetid": np.arange(40), "truth": truth, "prediction": truth + rng.normal(size=40)}
        one = {"model": "net", "modality": "image", "method": "knn", "property": f"p{spread}"}
        frames.append(pandas.DataFrame(columns).assign(**one))
    tables.write_parquet(tmp_path / "predictions.parquet", pandas.concat(frames))
    given = {"predictions": tmp_path / "predictions.parquet", "embeddings": [], "aligned": [], "backbones": []}
    outputs = synthetic.run("residuals", given, tmp_path / "out", {"resamples": 100})
    assert outputs["figure_bins"].stat().st_size > 5000


def test_pairs_of_the_settings_replace_those_that_are_found(tmp_path):
    predictions(tmp_path, n=60)
    _, bins, _ = run(tmp_path, {"pairs": [["specformer", "astroclip"]], "error_bins": 3, "bins": 2}, aligned=False)
    rows = bins.query("metric == 'net_count'")
    assert set(rows["model"]) == {"specformer - astroclip"} and set(rows["modality"]) == {"spectrum"}
    assert len(rows) == 2 * 3 * 3
    _, bins, _ = run(tmp_path, {"least": 61})
    assert not len(bins.query("metric == 'net_count'"))


@pytest.mark.parametrize("case", ["empty", "unknown", "one"])
def test_no_known_galaxies_give_empty_tables_and_one_gives_a_box(tmp_path, case):
    frame = predictions(tmp_path, n=1, properties=() if case == "empty" else ("log_mstar",))
    if case == "unknown":
        tables.write_parquet(tmp_path / "predictions.parquet", frame.assign(truth=np.nan))
    table, bins, out = run(tmp_path)
    assert list(table) == tables.COLUMNS and list(bins) == examine.BINS
    assert len(table) == (28 if case == "one" else 0) and table["ci_low"][table["metric"] == "mean"].isna().all()
    assert all(path.read_bytes().startswith(b"\x89PNG") for role, path in out.items() if "figure" in role)
    shown = present({role: str(path) for role, path in out.items()}, settings(), Shown("mock", True))
    assert not any(isinstance(block, Claim) for block in shown)
    assert case == "one" or isinstance(shown[0], Text)


def test_inputs_name_the_backbone_of_each_aligned_embedding():
    made = load(extended(residuals={})).made
    inputs, folder = made["residuals", "mock"], "results/mock/embeddings"
    assert inputs["predictions"] == ["results/mock/analysis/regression-predictions.parquet"]
    pairs = dict(zip(inputs["aligned"], inputs["backbones"], strict=True))
    assert pairs[f"{folder}/astroclip-image.parquet"] == f"{folder}/astrodino-image.parquet"
    assert pairs[f"{folder}/astroclip-spectrum.parquet"] == f"{folder}/specformer-spectrum.parquet"
    assert ("residuals", "desi_samples") not in made  # no regression there
    chosen = load(extended(residuals={"pairs": [["astroclip", "astrodino"]]})).made["residuals", "mock"]
    assert chosen["aligned"] == [] == chosen["backbones"]


def test_what_cannot_work_is_refused():
    with pytest.raises(BadConfig, match="pairs: 'a' is compared with itself"):
        settings(pairs=[["a", "a"]])
    with pytest.raises(BadConfig, match="regression: 'umap' is of kind umap, which makes no predictions"):
        load(extended(residuals={"regression": "umap"}))
    assert kinds.find("analysis", "residuals", "").rule == "examine_residuals"
