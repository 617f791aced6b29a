"""Redshifts of a survey: the table says what was found, the scores are shares, posteriors open elsewhere."""

import json

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import qp
import torch
from safetensors.torch import save_file
from scipy.stats import binomtest

from skyloom.analysis.common import blocks, tables
from skyloom.analysis.redshift import KIND, Settings, again, brightest, measure, scores
from skyloom.analysis.redshift.present import present
from skyloom.core.errors import BadInput
from skyloom.models import networks
from skyloom.models.redshift import CLASSES, FLAGS
from skyloom.models.redshift.objective import Objective
from tests.models import toy_spectra as toy

from . import synthetic

COUNT = 60
START, STEP, BINS = 0.0, 0.002, 500
PIXELS = {"wavelength_start": toy.GRID.start, "wavelength_step": toy.GRID.step}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A redshift model that has its templates, though its network was not trained."""
    folder = tmp_path_factory.mktemp("model")
    config = {"kind": "redshift", "modality": "spectrum", "model": {**toy.CONFIG, "grid": toy.GRID.plain()}}
    config["model"] = {name: list(v) if isinstance(v, tuple) else v for name, v in config["model"].items()}
    torch.manual_seed(0)
    model = networks.build(config)
    Objective(model).eval().finish([toy.batch(toy.spectra(200, seed=1))], [])
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({"config": networks.describe(model)}))
    return folder


@pytest.fixture
def survey(tmp_path, model_folder):
    """Sixty toy spectra, half of them in the test split, with answers that are right but for a few that are flagged."""
    made = toy.spectra(COUNT, seed=2)
    rng = np.random.default_rng(0)
    targetid = 39600000000 + np.arange(COUNT)
    z = made["z"].astype(float) + rng.normal(0, 2e-4, COUNT)
    z[::10] += 0.2
    place = np.round(np.log1p(z) / STEP).astype(int)
    posterior = np.zeros((COUNT, BINS), "f4")
    posterior[np.arange(COUNT), place] = 0.7
    posterior[np.arange(COUNT), place + 1] = 0.3
    split = np.repeat(["train", "validation", "test"], [20, 10, 30])
    said = {
        "z": z,
        "zerr": np.full(COUNT, 2e-4),
        "probability": np.where(np.arange(COUNT) % 10, 0.99, 0.4),
        "z_second": z + 0.1,
        "probability_second": np.full(COUNT, 0.01),
        "p_qso": made["quasar"].astype(float),
        "delta_chi2": np.full(COUNT, 40.0),
        "reduced_chi2": np.ones(COUNT),
        "good": np.ones(COUNT),
        "flag": np.where(np.arange(COUNT) % 10, 0, FLAGS["unsure"] + FLAGS["misfit"]),
        "z_network": z,
        "class": made["quasar"].astype(int),
    }
    columns = {"targetid": targetid, "split": split, **said}
    columns["posterior"] = pa.FixedSizeListArray.from_arrays(posterior.ravel(), BINS)
    about = {b"skyloom": json.dumps({"log_scale": [START, STEP, BINS]}).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(about), tmp_path / "redshift-redshift.parquet")
    spectype = np.where(made["quasar"], "QSO", "GALAXY")
    galaxies = pandas.DataFrame({"targetid": targetid, "z": made["z"].astype(float), "spectype": spectype})
    galaxies["z_true"], galaxies["spectype_true"] = np.nan, ""
    galaxies["spectrum_file"], galaxies["spectrum_row"] = "coadd-1.fits", np.arange(COUNT)
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    tables.write_parquet(tmp_path / "splits.parquet", pandas.DataFrame({"targetid": targetid, "split": split}))
    synthetic.write_shard(tmp_path / "spectrum.h5", targetid, {name: made[name] for name in ("flux", "ivar")}, PIXELS)
    return {
        "predictions": tmp_path / "redshift-redshift.parquet",
        "model": [model_folder / "model.safetensors", model_folder / "model.json"],
        "galaxies": tmp_path / "galaxies.parquet",
        "splits": tmp_path / "splits.parquet",
        "host_galaxies": tmp_path / "galaxies.parquet",
        "host_splits": tmp_path / "splits.parquet",
        "tokens": [tmp_path / "spectrum.h5"],
    }


def run(survey, folder, settings=None):
    given = {role: paths if isinstance(paths, list) else [paths] for role, paths in survey.items()}
    given = {role: [str(path) for path in paths] for role, paths in given.items()}
    return synthetic.run("redshift", given, folder / "out", settings)


def test_the_table_holds_what_was_found_what_is_known_and_why_to_doubt(survey, tmp_path):
    table = pandas.read_csv(run(survey, tmp_path)["table"])
    assert len(table) == COUNT and set(table["class"]) == set(CLASSES)
    assert table["dz"].to_numpy() == pytest.approx((table["z"] - table["z_known"]) / (1 + table["z_known"]), abs=1e-5)
    assert (table.loc[table["flag"] != 0, "doubt"] == "unsure; misfit").all()
    assert table.loc[table["flag"] == 0, "doubt"].isna().all()
    assert (table["spectrum_row"] == np.arange(COUNT)).all()


def test_scores_are_of_the_test_split_with_exact_intervals(survey, tmp_path):
    outputs = run(survey, tmp_path)
    table = pandas.read_csv(outputs["table"]).query("split == 'test'")
    rows = pandas.read_csv(outputs["scores"]).set_index(["method", "group", "metric"])
    galaxies = table[table["class_known"] == "GALAXY"]
    hits = int((galaxies["dz"].abs() < 0.003).sum())
    row = rows.loc["network and fit", "galaxies", "within 0.003"]
    assert row["n"] == len(galaxies) and row["value"] == pytest.approx(hits / len(galaxies), rel=1e-5)
    interval = binomtest(hits, len(galaxies)).proportion_ci(0.95, "exact")
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([interval.low, interval.high], rel=1e-4)
    pure = rows.loc["network and fit", "galaxies", "accepted right"]
    assert pure["value"] == 1.0 and pure["n"] == (galaxies["flag"] == 0).sum()


def test_completeness_and_purity_follow_the_probability():
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, False, True, False])
    complete, pure, at = scores.curve(probability, right)
    assert complete.tolist() == pytest.approx([0.2, 0.4, 0.4, 0.6, 0.6])
    assert pure.tolist() == pytest.approx([1, 1, 2 / 3, 3 / 4, 3 / 5])
    assert scores.threshold(probability, right, 0.75) == 0.6
    assert scores.threshold(probability, right, 1.0) == 0.8
    assert scores.threshold(probability, ~right, 0.99) == np.inf
    assert at.tolist() == probability.tolist()


def test_posteriors_open_in_qp_and_are_densities_where_they_were_put(survey, tmp_path):
    outputs = run(survey, tmp_path)
    ensemble = qp.read(str(outputs["posteriors"]))
    table = pandas.read_csv(outputs["table"]).query("split == 'test'").set_index("targetid")
    targetid = ensemble.ancil["targetid"]
    assert sorted(targetid) == sorted(table.index)
    grid = np.linspace(0, 1.7, 80001)
    density = ensemble.pdf(grid)
    assert np.trapezoid(density, grid, axis=1) == pytest.approx(1, abs=0.02)
    mean = np.trapezoid(density * grid, grid, axis=1)
    expected = table.loc[targetid, "z"]
    assert mean == pytest.approx(expected.to_numpy(), abs=2 * STEP * 2.5)


def test_neighbours_and_magnitudes_are_compared_on_the_same_spectra(survey, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"])
    rng = np.random.default_rng(0)
    for band in ("g", "r", "z"):
        galaxies[f"mag_{band}"] = 20 - galaxies["z"] + rng.normal(0, 0.01, COUNT)
    tables.write_parquet(survey["galaxies"], galaxies)
    splits = pandas.read_parquet(survey["splits"])["split"]
    values = np.stack([galaxies["z"], rng.normal(size=COUNT)], 1)
    path = synthetic.embed(tmp_path / "specformer-spectrum.parquet", galaxies["targetid"], splits, values)
    more = {"embeddings": path, "reference": path}
    more |= {"reference_galaxies": survey["galaxies"], "reference_splits": survey["splits"]}
    found = pandas.read_csv(run({**survey, **more}, tmp_path, {"k": 3, "epochs": 40})["scores"])
    methods = set(found["method"])
    assert {
        "specformer (spectrum), mean of 3 neighbours",
        "specformer (spectrum), probe",
        "photometry, probe",
    } < methods
    n = found[(found["group"] == "galaxies") & (found["metric"] == "within 0.01")].set_index("method")["n"]
    assert n.nunique() == 1
    spread = found[(found["metric"] == "sigma_nmad") & (found["group"] == "galaxies")].set_index("method")["value"]
    assert spread["specformer (spectrum), mean of 3 neighbours"] < 0.2


def test_the_report_says_what_holds_what_was_doubted_and_what_is_wrong(survey, tmp_path):
    outputs = {role: str(path) for role, path in run(survey, tmp_path).items()}
    found = present(outputs, Settings(), blocks.Shown("real", False, "mock", True))
    claims = [block for block in found if block.shape == "claim"]
    assert len(claims) == 2 and "galaxies" in claims[0].text and "quasars" in claims[1].text
    assert any("has seen nothing but" in block.text for block in found if block.shape == "text")
    doubted = next(b for b in found if b.shape == "table" and b.title.startswith("What was doubted"))
    assert dict((line[0], line[1]) for line in doubted.lines)["unsure"] == "6"
    assert sum(block.shape == "figure" for block in found) == 2
    quiet = present(outputs, Settings(), blocks.Shown("mock", True, "mock", True))
    assert not any("has seen nothing but" in block.text for block in quiet if block.shape == "text")


def test_a_survey_without_known_redshifts_has_a_table_and_figures(survey, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"])
    galaxies["z"], galaxies["spectype"] = np.nan, ""
    tables.write_parquet(survey["galaxies"], galaxies)
    outputs = run(survey, tmp_path)
    assert len(pandas.read_csv(outputs["table"])) == COUNT
    assert pandas.read_csv(outputs["scores"]).query("group != 'all'").empty
    assert outputs["figure"].stat().st_size > 5000 and outputs["fits"].stat().st_size > 5000
    found = present({role: str(path) for role, path in outputs.items()}, Settings(), blocks.Shown("mine", False))
    assert not [block for block in found if block.shape == "claim"]


def test_a_table_that_does_not_say_its_redshifts_is_refused(survey, tmp_path):
    table = pq.read_table(survey["predictions"]).replace_schema_metadata({b"skyloom": b"{}"})
    pq.write_table(table, survey["predictions"])
    with pytest.raises(BadInput, match="does not say on which redshifts"):
        run(survey, tmp_path)


def test_words_of_a_flag():
    assert measure.words(0) == "" and measure.words(FLAGS["edge"] + FLAGS["misfit"]) == "misfit; edge"
    assert set(KIND.outputs) == {"table", "scores", "posteriors", "figure", "fits"}


def test_spectra_are_measured_again_without_inverse_variances(survey, tmp_path):
    settings = {"without_ivar": 12}
    found = pandas.read_csv(run(survey, tmp_path, settings)["scores"]).set_index(["method", "metric"])
    found = found[found["group"].isin(["galaxies", "quasars"])].sort_index()
    for method in ("network and fit, without ivar", "network and fit, without ivar, smoothed"):
        assert found.loc[(method, "lost"), "n"].sum() == 12
    assert found.loc[("network and fit, 12 of them", "within 0.003"), "n"].sum() == 12
    none = pandas.read_csv(run(survey, tmp_path, {"without_ivar": 0})["scores"])
    assert not none["method"].str.contains("without ivar").any()


def test_spectra_whose_noise_was_estimated_are_not_measured_again():
    table = pandas.DataFrame({"targetid": range(4), "z_known": [0.1, np.nan, 0.2, 0.3]})
    table["ivar_estimated"] = [False, False, True, False]
    assert again.chosen(table, 10)["targetid"].tolist() == [0, 3]
    assert len(again.chosen(table, 1)) == 1


def test_degraded_spectra_have_noise_that_was_estimated_and_no_more_pixels():
    rng = np.random.default_rng(0)
    flux = rng.normal(2, 0.5, (3, 2000)).astype("f4")
    good = np.ones_like(flux, bool)
    good[:, 100:300] = False
    for sigma in (0.0, 4.0):
        new, ivar = again.degraded(flux, good, sigma)
        assert (ivar[~good] == 0).all() and (new[~good] == 0).all()
        assert np.median(ivar[good]) == pytest.approx(4, rel=0.35)  # of many pixels together, whatever was done to them
    assert new[:, 320:].std() < 0.2


def test_credible_levels_are_uniform_where_posteriors_are_right():
    rng = np.random.default_rng(1)
    weight = rng.gamma(0.5, size=(4000, 60))
    probability = weight / weight.sum(1, keepdims=True)
    place = (probability.cumsum(1) < rng.random((4000, 1))).sum(1)
    level = scores.credible_level(probability, place)
    for wanted in (0.3, 0.68, 0.9):
        assert (level < wanted).mean() == pytest.approx(wanted, abs=0.03)
    assert scores.credible_level(probability, np.full(4000, 60)).tolist() == [1] * 4000


def test_a_catalogue_that_warns_has_a_group_of_those_without_warning():
    known, no = np.array([0.1, 0.2, 0.3]), np.zeros(3, bool)
    found = scores.groups(known, no, no, np.array([0, 4, 0]))
    assert found["galaxies without warning in the catalogue"].tolist() == [True, False, True]
    assert not any("warning" in name for name in scores.groups(known, no, no, np.full(3, -1)))


def test_magnitudes_are_compared_where_no_embedding_is(survey, tmp_path):
    galaxies = pandas.read_parquet(survey["galaxies"])
    for band in ("g", "r", "z"):
        galaxies[f"mag_{band}"] = 20 - galaxies["z"]
    tables.write_parquet(survey["galaxies"], galaxies)
    found = pandas.read_csv(run(survey, tmp_path, {"k": 3, "epochs": 2})["scores"])
    assert "photometry, probe" in set(found["method"])


def test_the_brightest_line_is_found_on_any_grid_and_taken_for_h_alpha(tmp_path):
    rng = np.random.default_rng(3)
    wavelength = 11900 + 13.4 * np.arange(531)
    z = rng.uniform(0.9, 1.8, 40)
    centre = 6564.6 * (1 + z[:, None])
    flux = 3 - wavelength / 1e4 + 1.5 * np.exp(-0.5 * ((wavelength - centre) / 22) ** 2)
    flux += 0.9 * np.exp(-0.5 * ((wavelength - 13000) / 22) ** 2)  # another line, fainter
    sigma = np.where(wavelength > 18000, 1.0, 0.1) * np.ones_like(flux)  # a noisy end must not win
    flux = flux + sigma * rng.normal(size=flux.shape)
    grid = {"wavelength_start": 11900.0, "wavelength_step": 13.4}
    synthetic.write_shard(tmp_path / "s.h5", np.arange(40), {"flux": flux, "ivar": sigma**-2.0}, grid)
    found = brightest.redshifts([str(tmp_path / "s.h5")], np.arange(41))
    assert np.isnan(found[40])
    inside = z < 1.7
    assert np.abs(found[:40] - z)[inside].max() < 0.004


def test_the_report_says_what_the_known_redshifts_are(survey, tmp_path):
    shown = blocks.Shown("real", host="mock", host_simulated=True, about="Known redshifts come from the same lines.")
    found = present({role: str(path) for role, path in run(survey, tmp_path).items()}, Settings(), shown)
    assert any(b.shape == "text" and b.text.endswith("Known redshifts come from the same lines.") for b in found)


def test_the_simplest_baseline_stands_beside_the_network(survey, tmp_path):
    rows = pandas.read_csv(run(survey, tmp_path)["scores"])
    assert (rows["method"] == "the brightest line is H-alpha").sum() >= 4
