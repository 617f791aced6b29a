"""Shifts of domain: planted ones are found where they are and nowhere else, chance is not called a shift."""

import numpy as np
import pandas
import pytest
import yaml
from astropy import units
from astropy_healpix import lonlat_to_healpix
from sklearn.neighbors import KNeighborsRegressor

from skyloom.analysis.common import tables
from skyloom.analysis.common.blocks import Claim, Figure, Shown
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import Mixtures
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.domain_shift import Settings, domains, figures, measure, networks, plans, scores, sources
from skyloom.analysis.domain_shift import present as report
from skyloom.settings.analysis import Job
from skyloom.settings.config import load
from tests.paths import ROOT

from . import synthetic

QUICK = {
    "epochs": 12,
    "hidden": 32,
    "components": 2,
    "batch_size": 32,
    "dropout": 0.0,
    "learning_rate": 0.01,
    "resamples": 300,
    "whitened": 4,
}
QUICK |= {"properties": ["log_mstar"], "photometry": [], "nside": 256, "fewest": 60}
NAME = "foo-spectrum.parquet"


def survey(folder, n=(900, 300, 240), seed=0, bias=0.0, noise=0.0, pixels=False, moved=0.0, name=NAME):
    """Galaxies whose mass has nothing to do with brightness, redshift or place; their embedding is moved by `bias`, or
    is noisier by `noise`, in the faint half; `moved` in all. `pixels`: mass and embedding are those of the pixel."""
    folder.mkdir(exist_ok=True)
    rng, total = np.random.default_rng(seed), sum(n)
    table = pandas.DataFrame({"targetid": 7 + 3 * rng.permutation(total)})
    table["mag_r"], table["z"] = rng.uniform(16, 20, total), rng.uniform(0.05, 0.5, total)
    table["ra"], table["dec"] = 150 + 3 * rng.random(total), 2 + 3 * rng.random(total)
    latent = rng.normal(size=(total, 4))
    if pixels:
        _, place = np.unique(_pixel(table, 256), return_inverse=True)
        latent = rng.normal(size=(place.max() + 1, 4))[place]
    table["log_mstar"] = 10 + (np.sign(latent).prod(axis=1) if pixels else latent[:, 0]) + rng.normal(0, 0.1, total)
    table["mag_g"] = table["mag_r"] + 0.3 * latent[:, 0] + rng.normal(0, 0.2, total)
    faint = (table["mag_r"] > np.median(table["mag_r"])).to_numpy()
    seen = latent + (0.2 + noise * faint[:, None]) * rng.normal(size=latent.shape) * (not pixels)
    seen[:, 0] += bias * faint + moved
    split = np.repeat(["train", "validation", "test"], n)
    paths = {"galaxies": folder / "galaxies.parquet", "splits": folder / "splits.parquet"}
    tables.write_parquet(paths["galaxies"], table)
    tables.write_parquet(paths["splits"], pandas.DataFrame({"targetid": table["targetid"], "split": split}))
    paths["embeddings"] = [synthetic.embed(folder / name, table["targetid"], split, seen)]
    return paths | {f"host_{what}": [] for what in ("embeddings", "galaxies", "splits")}


def _pixel(table, nside):
    return lonlat_to_healpix(*(table[name].to_numpy() * units.deg for name in ("ra", "dec")), nside, order="nested")


def run(paths, folder, **more):
    given = {"models_from": more.pop("models_from")} if "models_from" in more else {}
    outputs = synthetic.run("domain_shift", paths, folder / "out", QUICK | more, of_survey=given)
    return pandas.read_csv(outputs["table"]), outputs


def cell(table, metric, train, test, method="density"):
    key = {"metric": metric, "train_domain": train, "test_domain": test, "method": method}
    (row,) = [row for _, row in table.iterrows() if all(row[name] == value for name, value in key.items())]
    return row


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    folder = tmp_path_factory.mktemp("biased")
    return run(survey(folder / "mock", bias=1.5), folder, photometry=["mag_g", "mag_r"])


def test_a_bias_in_the_faint_half_loses_r2_there_and_only_there(biased):
    table, _ = biased
    assert list(table) == scores.COLUMNS
    mine = table[table["model"] == "foo"]
    for method in ("knn", "density"):
        for train, test in (("bright", "faint"), ("faint", "bright")):
            assert cell(mine, "delta_r2", train, test, method)["ci_high"] < -0.2
            lost = cell(mine, "r2", train, test, method)["value"] - cell(mine, "r2", test, test, method)["value"]
            assert cell(mine, "delta_r2", train, test, method)["value"] == pytest.approx(lost, abs=1e-5)
    elsewhere = mine[(mine["metric"] == "delta_r2") & (mine["shift"] != "brightness")]
    assert set(elsewhere["shift"]) == {"redshift", "sky"} and elsewhere["value"].abs().max() < 0.12


def test_in_domain_differences_contain_no_difference(biased):
    """Of heads of two random halves, with what training adds; in a domain itself there is nothing to differ from."""
    table, _ = biased
    deltas = table[table["metric"].str.startswith("delta")]
    same = deltas[deltas["train_domain"] == deltas["test_domain"]]
    assert set(same["shift"]) == {"sky"}  # where a random half is the reference
    control = deltas[deltas["train_domain"] == "random b"]
    assert len(control) == 12  # 2 sources, 2 halves, r2 of two methods and coverage
    noise = control["metric"].map({f"delta_{metric}": report.training_noise(table, metric) for metric in report.SAID})
    wider = np.hypot((control["ci_high"] - control["ci_low"]) / 2, 1.96 * noise)
    assert (control["value"].abs() < wider).mean() > 0.9 and noise.max() < 0.08


def test_intervals_hold_in_their_own_domain_and_miss_what_is_biased(biased):
    mine = biased[0][biased[0]["model"] == "foo"]
    own = [cell(mine, "coverage90", name, name)["value"] for name in ("bright", "faint", "low z", "high z")]
    assert np.mean(own) == pytest.approx(0.9, abs=0.05) and min(own) > 0.78  # of 120 tested and 150 calibrating
    assert cell(mine, "coverage90", "bright", "faint")["value"] < 0.3
    assert cell(mine, "delta_coverage90", "bright", "faint")["ci_high"] < -0.4


def test_coverage_falls_where_noise_grows(tmp_path):
    table, _ = run(survey(tmp_path / "mock", noise=0.8), tmp_path, shifts=["brightness"])
    assert cell(table, "delta_coverage90", "bright", "faint")["ci_high"] < -0.15
    assert cell(table, "delta_coverage90", "faint", "bright")["ci_high"] > 0
    assert cell(table, "coverage90", "faint", "faint")["value"] == pytest.approx(0.9, abs=0.1)


def test_what_neighbours_on_the_sky_give_away_shows(tmp_path):
    """Mass and embedding are drawn anew in each pixel, with no relation: only a galaxy of the same pixel helps."""
    paths = survey(tmp_path / "mock", n=(1500, 200, 400), pixels=True, seed=3)
    table, _ = run(paths, tmp_path, shifts=["sky"], k=3, nside=256)
    assert cell(table, "r2", "random a", "sky a", "knn")["value"] > 0.5
    for train, test in (("sky b", "sky a"), ("sky a", "sky b")):
        assert cell(table, "delta_r2", train, test, "knn")["ci_high"] < -0.05
        assert cell(table, "delta_r2", test, test, "knn")["value"] > -0.02


@pytest.mark.parametrize("nside", [64, 256])
def test_halves_of_the_sky_share_no_pixel(nside):
    rng = np.random.default_rng(0)
    table = pandas.DataFrame({"ra": 360 * rng.random(2000), "dec": 60 * rng.random(2000) - 30})
    table.loc[:9, "dec"] = np.nan
    side = domains.sky_halves(table["ra"].to_numpy(), table["dec"].to_numpy(), nside, 1)
    assert (side[:10] == -1).all() and set(side[10:]) == {0, 1}
    first, second = (set(_pixel(table[side == half], nside)) for half in (0, 1))
    assert not first & second and abs((side == 0).sum() - (side == 1).sum()) < 20
    assert (domains.sky_halves(table["ra"].to_numpy(), table["dec"].to_numpy(), nside, 2) != side).any()
    assert (domains.sky_halves(np.full(3, np.nan), np.zeros(3), nside, 1) == -1).all()


def test_every_domain_trains_as_many_galaxies_that_are_not_tested(tmp_path):
    paths = {role: path if isinstance(path, list) else [path] for role, path in survey(tmp_path / "mock").items()}
    settings, catalogues = Settings(**QUICK), {}
    (source,) = sources.sources(Job("mock", paths, {}, settings, 0), catalogues)
    found = list(plans.plans(source, catalogues, settings, 0))
    assert [plan.shift.name for plan in found] == ["brightness", "redshift", "sky"]
    for plan in found:
        assert len({len(ids) for ids in plan.train.values()}) == 1 and min(map(len, plan.train.values())) > 350
        assert len({len(ids) for ids in plan.calibrate.values()}) == 1
        taken = np.concatenate([*plan.train.values(), *plan.calibrate.values()])
        assert not np.isin(np.concatenate(list(plan.test.values())), taken).any()
    (first, second), sky = found[0].train.values(), found[2].train
    assert not np.isin(first, second).any() and not np.isin(sky["sky a"], sky["sky b"]).any()


def test_a_model_from_another_survey_is_carried_there_and_back(tmp_path):
    paths = survey(tmp_path / "here", moved=2.0, seed=1)
    host = survey(tmp_path / "far", n=(500, 100, 200), seed=2)
    paths |= {f"host_{what}": host[what] if what == "embeddings" else [host[what]] for what in ("galaxies", "splits")}
    paths["host_embeddings"] = host["embeddings"]
    table, _ = run(paths, tmp_path, models_from={"foo": "far"}, shifts=["survey"])
    assert set(table["shift"]) == {"survey"} and set(table["train_domain"]) == {"far", "mock"}
    for train, test in (("far", "mock"), ("mock", "far")):
        assert cell(table, "delta_r2", train, test)["ci_high"] < -0.5
    assert cell(table, "r2", "far", "mock")["n"] == 240 and cell(table, "r2", "mock", "far")["n"] == 200
    alone = survey(
        tmp_path / "tested", n=(0, 0, 60), moved=2.0, seed=1
    )  # as real samples: there is nothing to train on
    alone |= {role: paths[role] for role in paths if role.startswith("host_")}
    table, _ = run(alone, tmp_path, models_from="far", shifts=["survey"])
    assert set(table["train_domain"]) == {"far"} and set(table["test_domain"]) == {"far", "mock"}
    assert not table["metric"].str.startswith("delta").any()


def test_coverage_is_that_of_the_conformal_step_and_its_interval_has_both_samples():
    rng = np.random.default_rng(0)
    check, pit = rng.random(150), rng.random(300)
    low, high = Recalibration.of(check).probabilities([0.05, 0.95])
    assert scores.coverage(pit, check) == ((low <= pit) & (pit <= high)).mean()
    spread = [scores.coverage_draws(rng.random((1, 300)), [rng.random(150)], 400, seed).std() for seed in range(20)]
    assert np.mean(spread) == pytest.approx((0.09 * (1 / 300 + 1 / 150)) ** 0.5, rel=0.15)  # binomial and beta
    both = scores.coverage_draws(np.stack([pit, pit]), [check, check], 500, 0)
    assert abs((both[0] - both[1]).mean()) < 0.01 and (both[0] - both[1]).std() > 0.01  # each its own conformal step


def heads(count, n=300, seed=0, **more):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, n, 3)).astype(np.float32)
    y = np.stack([x[..., 0] * 2 + 5 + 0.3 * rng.normal(size=(count, n)), x[..., 1]], axis=2)
    queries = np.random.default_rng(9).normal(size=(200, 3)).astype(np.float32)
    settings = Settings(**QUICK).plain() | {"dropout": 0.0} | more
    return lambda d: networks.fit(x[:d], y[:d], queries, settings, 0), queries


def test_heads_side_by_side_are_those_alone():
    fit, _ = heads(3)
    alone, together = fit(1), fit(3)
    for name in ("weights", "means", "sigmas"):
        assert np.allclose(getattr(alone, name)[0], getattr(together, name)[0], atol=1e-4), name
    assert not np.allclose(together.means[1], together.means[0], atol=1e-2)


def test_a_head_finds_a_line_and_its_scatter_and_says_what_a_mixture_says():
    fit, queries = heads(1, n=900, epochs=20)
    said = fit(1)
    assert np.abs(said.mean()[0, 0] - (2 * queries[:, 0] + 5)).mean() < 0.15
    truth = np.stack([2 * queries[:, 0] + 5, queries[:, 1]], axis=1)
    for p in range(2):
        mixture = Mixtures(said.weights[0, :, p], said.means[0, :, p], said.sigmas[0, :, p])
        assert np.allclose(said.cdf(truth)[0, p], mixture.cdf(truth[:, p]), atol=1e-12)


def test_neighbours_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x, y, queries = rng.normal(size=(300, 5)), rng.normal(size=(300, 2)), rng.normal(size=(40, 5))
    found = measure.knn(x, y, queries, False, Settings(whitened=0, k=7))
    mean, std = x.mean(axis=0), x.std(axis=0)
    expected = KNeighborsRegressor(7, weights="distance").fit((x - mean) / std, y).predict((queries - mean) / std)
    assert np.allclose(found.T, expected, atol=1e-4)
    leading = measure.knn(x, y, queries, True, Settings(whitened=2, k=7))
    assert np.allclose(leading, measure.knn(x[:, :2], y, queries[:, :2], False, Settings(whitened=0, k=7)))


def test_properties_of_nearly_the_same_galaxies_are_learned_together():
    known = np.ones((100, 4), bool)
    known[:10, 1], known[:70, 2], known[:, 3] = False, False, False
    assert plans.together(known) == [[0, 1], [2]]
    assert plans.together(np.zeros((0, 2), bool)) == []


def test_claims_say_where_r2_is_lost_and_what_photometry_loses(biased):
    table, outputs = biased
    blocks = report.present({role: str(path) for role, path in outputs.items()}, Settings(), Shown("mock", True))
    claims = {block.text: block for block in blocks if isinstance(block, Claim)}
    lost = claims["Trained on bright, tested on faint: R2 is lost"]
    assert lost.holds and lost.verdict == "holds" and "1 of 1 for certain" in lost.numbers
    assert "photometry" in lost.numbers and "log M* [Msun] from foo (spectrum) -" in lost.numbers
    assert not claims["Trained on low z, tested on high z: R2 is lost"].holds
    assert not any("random" in text for text in claims) and any(isinstance(block, Figure) for block in blocks)
    pairs = [block for block in blocks if block.shape == "scores"]
    assert len(pairs) == 2 and "bright → faint" in pairs[0].columns


def test_the_noise_of_training_takes_certainty_away(biased):
    table, _ = biased
    calm = {claim.text: claim for claim in report.claims(table)}
    control = (table["train_domain"] == "random b") & table["metric"].eq("delta_r2") & table["method"].eq("density")
    wild = table.assign(value=table["value"].where(~control, 3.0))
    assert report.training_noise(wild, "r2") == pytest.approx(3.0, rel=0.01)
    text = "Trained on bright, tested on faint: R2 is lost"
    assert calm[text].holds and not {claim.text: claim for claim in report.claims(wild)}[text].holds


@pytest.mark.parametrize("n", [(0, 0, 1), (30, 10, 10), (300, 80, 0)])
def test_few_galaxies_give_an_empty_table_and_say_so(tmp_path, n):
    table, outputs = run(survey(tmp_path / "mock", n=n), tmp_path)
    assert list(table) == scores.COLUMNS and table.empty and outputs["figure"].read_bytes().startswith(b"\x89PNG")
    (text,) = report.present({role: str(path) for role, path in outputs.items()}, Settings(), Shown("mock"))
    assert "Too few" in text.text


def test_what_a_survey_does_not_know_is_left_out(tmp_path):
    paths = survey(tmp_path / "mock", n=(300, 60, 100))  # 30 to calibrate a half: no interval of 90 % has two ends
    galaxies = pandas.read_parquet(paths["galaxies"]).drop(columns=["ra", "mag_r"])
    galaxies.loc[::10, "log_mstar"] = np.nan
    tables.write_parquet(paths["galaxies"], galaxies)
    table, _ = run(paths, tmp_path, properties=["log_mstar", "t_age"], photometry=["mag_g", "mag_r"])
    assert set(table["shift"]) == {"redshift"} and set(table["property"]) == {"log_mstar"}
    assert set(table["metric"]) == {"r2", "delta_r2"} and set(table["model"]) == {"foo"}
    test = read_embedding(paths["embeddings"][0])
    known = galaxies.set_index("targetid")["log_mstar"].reindex(test.targetid[test.split == "test"]).notna().sum()
    assert cell(table, "r2", "low z", "low z")["n"] + cell(table, "r2", "low z", "high z")["n"] == known


def test_same_seed_same_bytes(tmp_path):
    paths = survey(tmp_path / "mock", n=(300, 100, 100))
    made = (run(paths, tmp_path, shifts=["brightness"], epochs=2)[1] for _ in range(2))
    first, again = ({role: path.read_bytes() for role, path in outputs.items()} for outputs in made)
    assert first == again and len(first) == 2


def made_with(**settings):
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"analyses": {"domain_shift": settings}}
    for entry in config["surveys"].values():
        entry.pop("analyses", None)
    return load(config).made


def test_inputs_are_those_of_the_survey_and_of_the_hosts_of_its_models():
    made = made_with()
    mock, sky = made["domain_shift", "mock"], made["domain_shift", "desi_samples"]
    assert mock["host_embeddings"] == ["results/mock_spectra/embeddings/redshift-spectrum.parquet"]
    assert mock["host_galaxies"] == ["results/mock_spectra/catalog/galaxies.parquet"]
    assert len(sky["host_splits"]) == len(sky["embeddings"]) == 2
    assert not made_with(shifts=["sky"])["domain_shift", "mock"]["host_embeddings"]
    chosen = made_with(embeddings=["astrodino-image"])
    assert set(chosen) == {("domain_shift", "mock")} and not chosen["domain_shift", "mock"]["host_galaxies"]


def test_the_figure_shows_the_best_of_each_modality_before_the_second_best():
    r2 = {("photometry", "photometry"): 0.5, ("a", "spectrum"): 0.7, ("b", "spectrum"): 0.8, ("c", "image"): 0.2}
    r2 |= {("d", "image"): 0.3, ("e", "spectrum"): np.nan}
    columns = ["model", "modality", "metric", "train_domain", "test_domain", "value"]
    rows = pandas.DataFrame([(*source, "r2", "x", "x", value) for source, value in r2.items()], columns=columns)
    assert figures.shown(rows, 1) == [("photometry", "photometry"), ("b", "spectrum")]
    assert figures.shown(rows, 2) == [("photometry", "photometry"), ("b", "spectrum"), ("d", "image")]
    assert set(figures.shown(rows, 3)) - set(figures.shown(rows, 2)) == {("a", "spectrum")}
