"""What is drawn up again: fits of known lines, places against chance, errors by hand, classifiers that can fail."""

import json

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from skyloom.analysis.common import blocks, tables
from skyloom.analysis.reconstruction import KIND, Line, Settings, errors, fooling, published, recovery
from skyloom.analysis.reconstruction.answers import Answers, Sky, Spectra, in_common, in_flux
from skyloom.analysis.reconstruction.fit import fit, height_in
from skyloom.analysis.reconstruction.present import claims, present
from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.embed import predict_shard
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.settings.analysis import Job
from skyloom.settings.config import load
from skyloom.settings.section import parse
from skyloom.tokens.store import write_shard

from . import synthetic
from .test_kinds import changed

WAVE = 3600 + 24.0 * np.arange(259) + 11.6


def settings(**given) -> Settings:
    return parse(Settings, given, "analyses.reconstruction")


def gaussians(centre, sigma, height, noise=0.0, seed=0) -> np.ndarray:
    """Spectra on `WAVE`: a line on a slope."""
    line = height[:, None] * np.exp(-0.5 * ((WAVE - centre[:, None]) / sigma[:, None]) ** 2)
    return line + 2 + WAVE / 3000 + noise * np.random.default_rng(seed).normal(size=(len(centre), len(WAVE)))


def drawn_lines(count=60, seed=0, noise=0.05, widened=1.0, lower=1.0, moved=0.0) -> Spectra:
    """H-alpha of galaxies to redshift .4, and the same with lines widened, lower and moved (Angstrom)."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.05, 0.4, count)
    place, sigma, height = 6564.6 * (1 + z), np.full(count, 40.0), rng.uniform(1, 3, count)
    truth = gaussians(place, sigma, height, noise)
    said = gaussians(place + moved, widened * sigma, lower * height, noise / 10, seed=1)
    return Spectra(np.arange(count), z, truth, np.ones(truth.shape, bool), said, None)


@pytest.mark.parametrize("sigma", [15.0, 40.0, 150.0])
def test_a_line_of_known_centre_width_and_height_is_found(sigma):
    rng = np.random.default_rng(0)
    place = rng.uniform(5000, 8500, 40)
    centre, height = place + rng.uniform(-30, 30, 40), rng.uniform(0.5, 5, 40)
    found = fit(WAVE, gaussians(centre, np.full(40, sigma), height), place, np.full(40, 450.0))
    np.testing.assert_allclose(found.centre, centre, atol=0.3)
    np.testing.assert_allclose(found.sigma, sigma, rtol=0.02)
    np.testing.assert_allclose(found.height, height, rtol=0.02)
    assert not found.widest.any() and (found.snr > 50).all()


def test_errors_are_those_of_the_scatter():
    count = 400
    place, height = np.full(count, 7000.0), np.full(count, 1.0)
    found = fit(WAVE, gaussians(place, np.full(count, 60.0), height, noise=0.1), place, np.full(count, 450.0))
    assert np.median(found.height / found.snr) == pytest.approx(np.std(found.height), rel=0.25)
    assert np.median(found.height) == pytest.approx(1.0, abs=0.05)


def test_noise_alone_is_hardly_ever_a_line_and_absorption_never():
    count = 300
    place, half = np.full(count, 7000.0), np.full(count, 400.0)
    noise = fit(WAVE, gaussians(place, np.full(count, 60.0), np.zeros(count), noise=0.1), place, half)
    assert (noise.snr >= 5).mean() < 0.04
    absorbed = fit(WAVE, gaussians(place, np.full(count, 60.0), np.full(count, -1.0), noise=0.02), place, half)
    near = np.abs(absorbed.centre - place) < 30
    assert ((absorbed.snr >= 5) & near).mean() == 0


def test_numbers_that_were_not_measured_are_left_out():
    centre, sigma, height = np.array([7010.0, 7010.0]), np.array([40.0, 40.0]), np.array([2.0, 2.0])
    spectra = gaussians(centre, sigma, height)
    spectra[1, np.abs(WAVE - 7200) < 40] = np.nan
    found = fit(WAVE, spectra, np.array([7000.0, 7000.0]), np.array([400.0, 400.0]))
    np.testing.assert_allclose(found.centre, 7010, atol=0.3)
    spectra[1, 10:] = np.nan
    assert np.isnan(fit(WAVE, spectra, np.array([7000.0, 7000.0]), np.array([400.0, 400.0])).centre[1])


def test_bins_of_equal_velocity_do_as_well_as_averages():
    wave = 3600 * np.exp(np.arange(1003) * 0.001)
    centre, place = np.array([5000.0, 8000.0]), np.array([5010.0, 7990.0])
    spectra = 1 + np.exp(-0.5 * ((wave - centre[:, None]) / 25) ** 2)
    found = fit(wave, spectra, place, np.array([300.0, 300.0]))
    np.testing.assert_allclose(found.centre, centre, atol=0.3)
    np.testing.assert_allclose(found.sigma, 25, rtol=0.02)


def test_the_height_in_place_of_a_spectrum_without_the_line_is_zero():
    place, half = np.array([7000.0]), np.array([400.0])
    like = fit(WAVE, gaussians(place, np.array([40.0]), np.array([2.0])), place, half)
    flat = gaussians(place, np.array([40.0]), np.array([0.0]))
    assert height_in(WAVE, flat, place, half, like)[0] == pytest.approx(0, abs=1e-6)
    double = gaussians(place, np.array([40.0]), np.array([4.0]))
    assert height_in(WAVE, double, place, half, like)[0] == pytest.approx(4, rel=0.02)


def line_scores(spectra: Spectra, **given) -> dict:
    s = settings(**given)
    pairs = recovery.measure(WAVE, spectra, spectra.said, s.lines["H-alpha"], s, seed=0)
    return {metric: (value, ci, n) for metric, value, ci, n in recovery.scores(pairs, s, seed=0)}


def test_a_line_that_is_widened_lowered_and_moved_is_found_out():
    found = line_scores(drawn_lines(widened=2.0, lower=0.5, moved=15.0))
    assert found["width_ratio"][0] == pytest.approx(2.0, rel=0.05)
    assert found["height_ratio"][0] == pytest.approx(0.5, rel=0.05)
    assert found["centre_bias"][0] == pytest.approx(15.0, abs=1.5)
    assert found["centre_bias_dz"][0] == pytest.approx(15.0 / 7900, rel=0.15)
    low, high = found["width_ratio"][1]
    assert 1.8 < low < found["width_ratio"][0] < high < 2.2
    same = line_scores(drawn_lines())
    assert same["width_ratio"][0] == pytest.approx(1, abs=0.03) and same["recovered"][0] == 1


def test_lines_in_their_places_are_told_from_chance_and_from_lines_elsewhere():
    right = line_scores(drawn_lines())
    assert right["recovered"][0] == 1 and right["recovered_by_chance"][0] < 0.15
    spectra = drawn_lines()
    wrong = Spectra(
        *(getattr(spectra, n) for n in ("targetid", "z", "truth", "hidden")), np.roll(spectra.said, 1, 0), None
    )
    lost = line_scores(wrong)
    assert lost["recovered"][0] < 0.2 and "width_ratio" not in lost
    assert abs(lost["recovered"][0] - lost["recovered_by_chance"][0]) < 0.15
    away = line_scores(drawn_lines(moved=120.0))
    assert away["recovered"][0] < 0.05


def test_only_lines_that_were_hidden_count():
    spectra = drawn_lines()
    spectra.hidden[:30] = False
    assert line_scores(spectra)["observed"][0] == 30
    near = np.abs(WAVE - 6564.6 * (1 + spectra.z[:, None])).argmin(1)
    spectra.hidden[np.arange(30, 60), near[30:] + 1] = False  # beside the centre: a part of the line was shown
    assert line_scores(spectra)["observed"][0] == 0


def test_every_galaxy_has_another_one_when_shuffled():
    for count in (2, 3, 17):
        other = recovery._deranged(np.random.default_rng(0), count)
        assert sorted(other) == list(range(count)) and (other != np.arange(count)).all()


@pytest.mark.parametrize("method", [fooling.BOOSTING, fooling.MLP])
def test_the_same_distribution_fools_a_classifier_and_another_does_not(method):
    rng = np.random.default_rng(0)
    s, one, other = settings(), rng.normal(size=(300, 30)), rng.normal(size=(300, 30))
    same, (low, high), n = fooling.told_apart(one, other, method, s, 0)
    assert abs(same - 0.5) < 0.06 and low < 0.5 < high and n == 300
    assert fooling.told_apart(one, 0.5 * other, method, s, 0)[0] > 0.9
    assert fooling.told_apart(one, np.zeros_like(one), method, s, 0)[0] > 0.99


@pytest.mark.parametrize("method", [fooling.BOOSTING, fooling.MLP])
def test_a_galaxy_and_its_draw_never_are_on_both_sides_of_a_fold(method, monkeypatch):
    seen = []

    class Remembers:
        def fit(self, values, kind):
            self.known = set(values[:, 0])

        def predict_proba(self, values):
            seen.append(self.known & set(values[:, 0]))
            return np.stack([0 * values[:, 0], values[:, 0]], 1)

    monkeypatch.setattr(fooling, "_classifier", lambda *_: Remembers())
    galaxy = np.arange(100.0)[:, None]
    value, _, _ = fooling.told_apart(galaxy, galaxy, method, settings(), 3)
    assert len(seen) == 2 * fooling.FOLDS and not any(seen) and value == 0.5
    other, fold = fooling._others(100, 3), fooling.folds(100, 3)
    assert (fold[other] == fold).all() and (other != np.arange(100)).all()
    assert np.bincount(fold).tolist() == [20] * fooling.FOLDS


def test_a_spectrum_drawn_for_a_wrong_redshift_is_found_out_when_the_redshift_is_known():
    spectra = drawn_lines(200)
    s = settings(lines={"H-alpha": {"wavelength": 6564.6, "window": 350.0}})
    said = spectra.truth[np.random.default_rng(1).permutation(200)]
    wrong = Spectra(spectra.targetid, spectra.z, spectra.truth, spectra.hidden, said, said)
    found = {(what, method): value for what, method, value, *_ in fooling.scores(WAVE, wrong, s, 0)}
    for method in (fooling.BOOSTING, fooling.MLP):
        assert found["draws", method] < 0.6
        assert found["draws, redshift known", method] > 0.9
        assert abs(found["other observed spectra", method] - 0.5) < 0.12
    assert found["spectra of other galaxies, redshift known", fooling.BOOSTING] > 0.9


def test_what_was_shown_and_what_was_not_measured_tells_nothing():
    spectra = drawn_lines(120)
    spectra.hidden[:, ::2] = False
    spectra.truth[:, 1::4] = np.nan
    spectra.hidden[:, 3::4] = False  # nothing that was measured was hidden but one number
    spectra.hidden[:, 3] = True
    said = spectra.said + 100.0
    said[:, 3] = spectra.truth[:, 3]
    same = Spectra(spectra.targetid, spectra.z, spectra.truth, spectra.hidden, said, None)
    found = {(what, m): value for what, m, value, *_ in fooling.scores(WAVE, same, settings(), 0)}
    assert found["reconstruction", fooling.BOOSTING] == pytest.approx(0.5)


def test_errors_are_means_over_galaxies_and_gains_are_of_the_sums():
    each = {"network": np.full(40, 1.0), errors.MEAN: np.linspace(1, 3, 40)}
    rows = list(errors.scores(each, np.linspace(0, 1, 40), settings(redshifts=[0.5]), 0))
    found = {(method, group, metric): (value, n) for method, group, metric, value, _, n in rows}
    assert found["network", "all", "mse"] == (1, 40)
    assert found[errors.MEAN, "all", "explained"][0] == pytest.approx(0.5)
    assert found[errors.MEAN, "z > 0.5", "mse"][0] == pytest.approx(2.5, abs=0.05)
    assert found[errors.MEAN, "z < 0.5", "mse"][1] == 20


# a whole run


NETWORK = {
    **{"image_size": 16, "patch": 4, "pooled": 30, "slice": 8, "spectra": "averages", "redshift": "density"},
    **{"dim": 16, "layers": 1, "heads": 2, "fusion": 1, "dropout": 0.0, "components": 2},
}
LOW = {"image": 0.75, "spectrum": 0.75, "reconstruct": ["hsc_image", "spectrum"]}
HIGH = {"image": 0.0, "spectrum": 1.0, "reconstruct": ["spectrum"]}


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """90 galaxies with H-alpha or C IV, a tiny network that has learned nothing, and its answers."""
    folder = tmp_path_factory.mktemp("survey")
    rng = np.random.default_rng(0)
    count = 240
    targetid = 39600000000 + rng.permutation(count)
    z = np.where(np.arange(count) % 3 == 0, rng.uniform(2.0, 3.0, count), rng.uniform(0.02, 0.35, count))
    split = np.repeat(["train", "validation", "test"], [80, 20, 140])
    galaxies = pandas.DataFrame({"targetid": targetid, "z": z})
    tables.write_parquet(folder / "galaxies.parquet", galaxies)
    tables.write_parquet(folder / "splits.parquet", pandas.DataFrame({"targetid": targetid, "split": split}))
    wave = 3600 + 0.8 * np.arange(7781)
    light = np.ones((count, len(wave)))
    for rest in (6564.6, 1549.5):
        light += 3 * np.exp(-0.5 * ((wave - rest * (1 + z[:, None])) / 50) ** 2)
    grid = {"wavelength_start": 3600.0, "wavelength_step": 0.8}
    for name in ("spectrum", "again"):  # the same galaxies with other noise: what a perfect draw would be
        flux = light + 0.3 * rng.normal(size=light.shape)
        write_shard(folder / f"{name}.h5", targetid, {"flux": flux, "ivar": np.full_like(flux, 11)}, grid)
    blob = np.exp(-np.hypot(*np.mgrid[-10:10, -10:10]) / 3)
    image = 0.1 * blob * rng.uniform(0.5, 1, (count, 5, 1, 1)) + 1e-3 * rng.normal(size=(count, 5, 20, 20))
    write_shard(folder / "hsc_image.h5", targetid, {"flux": image})
    torch.manual_seed(0)
    model = networks.build({"kind": "mmae", "modalities": ["hsc_image", "spectrum"], "model": NETWORK})
    (folder / "model").mkdir()
    save_file(model.state_dict(), folder / "model" / "model.safetensors")
    card = {"config": networks.describe(model), "name": "tiny", "gives": {"queries": [], "embeddings": []}}
    card |= {"traits": {}, "weights_sha256": "", "training": {"incomplete": "keep"}}
    (folder / "model" / "model.json").write_text(json.dumps(card))
    inputs = {
        "galaxies": [folder / "galaxies.parquet"],
        "splits": [folder / "splits.parquet"],
        "model": [folder / "model" / "model.safetensors", folder / "model" / "model.json"],
        "tokens_hsc_image": [folder / "hsc_image.h5"],
        "tokens_spectrum": [folder / "spectrum.h5"],
    }
    tokens = {m: folder / f"{m}.h5" for m in ("hsc_image", "spectrum")}
    for name, asked in {"low": LOW, "high": HIGH}.items():
        inputs[f"query_{name}"] = [folder / f"tiny-{name}.parquet"]
        predict_shard(folder / "model", name, tokens, folder / "splits.parquet", *inputs[f"query_{name}"], asked=asked)
    return {role: [str(path) for path in paths] for role, paths in inputs.items()}


def rewritten(path, folder, **columns):
    """A table of answers with columns replaced or added, (N, n) each, of arrays in its order."""
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"skyloom"])
    for name, values in columns.items():
        if name == "samples":
            about["samples"] = values
            continue
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.astype("f4").ravel()), values.shape[1])
        place = table.column_names.index(name) if name in table.column_names else None
        table = table.append_column(name, lists) if place is None else table.set_column(place, name, lists)
    out = folder / "rewritten.parquet"
    pq.write_table(table.replace_schema_metadata({b"skyloom": json.dumps(about)}), out)
    return str(out)


def truth_of(survey, query="query_high") -> np.ndarray:
    """Spectra as the network sees them, of the galaxies of a table in its order."""
    model, _ = networks.load(survey["model"][0].rpartition("/")[0])
    sky = Sky(Job("tiny", survey, {}, settings(), 0), model)
    ids = pq.read_table(survey[query][0])["targetid"].to_numpy()
    return sky.truth(ids)[1]["spectrum"]


def run(survey, folder, **given):
    return synthetic.run("reconstruction", survey, folder / "out", given, survey="tiny")


def test_a_whole_run_says_that_an_untrained_network_knows_nothing(survey, tmp_path):
    outputs = run(survey, tmp_path, neighbours=4)
    table, lines = pandas.read_csv(outputs["table"]), pandas.read_csv(outputs["lines"])
    spectrum = table[(table["property"] == "spectrum, all") & (table["metric"] == "explained")]
    assert set(spectrum["modality"]) == {"low", "high"} and (spectrum["value"] < 0.2).all()
    mse = table[table["metric"] == "mse"].set_index(["modality", "property", "method"])["value"].sort_index()
    assert mse["high", "spectrum, all", errors.near_name(4)] < mse["high", "spectrum, all", errors.MEAN]
    assert errors.ZERO in mse["low", "hsc_image, all"] and ("high", "hsc_image, all") not in mse.index.droplevel(2)
    told = table[(table["metric"] == "auc") & (table["property"] == "reconstruction")]
    assert len(told) == 4 and (told["value"] > 0.95).all()
    found = lines.set_index(["query", "property", "metric"])["value"]
    assert found["high", "H-alpha", "recovered"] < 0.5 and found["high", "H-alpha", "observed"] > 40
    assert found["low", "H-alpha", "observed"] < found["high", "H-alpha", "observed"]  # some were shown
    shown = present({role: str(path) for role, path in outputs.items()}, settings(), blocks.Shown("tiny"))
    worth = [b for b in shown if isinstance(b, blocks.Claim) and "redshift alone" in b.text]
    assert len(worth) == 2 and not any(claim.holds for claim in worth)
    assert all(outputs[role].stat().st_size > 10_000 for role in ("figure_low", "figure_high"))


def test_perfect_draws_fool_and_perfect_spectra_have_their_lines(survey, tmp_path):
    said = truth_of(survey)
    again = survey["tokens_spectrum"][0].replace("spectrum.h5", "again.h5")
    draws = np.repeat(truth_of(survey | {"tokens_spectrum": [again]})[:, None], 3, axis=1)
    path = rewritten(
        survey["query_high"][0], tmp_path, spectrum=said, spectrum_samples=draws.reshape(len(said), -1), samples=3
    )
    given = {k: v for k, v in survey.items() if k != "query_low"} | {"query_high": [path]}
    outputs = run(given, tmp_path)
    lines = pandas.read_csv(outputs["lines"]).set_index(["drawn", "property", "metric"])["value"]
    for drawn in ("reconstruction", "one draw"):
        assert lines[drawn, "C IV", "recovered"] > 0.95
        assert lines[drawn, "C IV", "width_ratio"] == pytest.approx(1, abs=0.1)
    table = pandas.read_csv(outputs["table"])
    auc = table[table["metric"] == "auc"].set_index(["property", "method"])["value"]
    assert auc[["draws", "draws, redshift known"]].max() < 0.65
    made = list(claims(table, pandas.read_csv(outputs["lines"]), settings()))
    assert [c.holds for c in made if "fooled" in c.text] == [True]
    assert [c.holds for c in made if "redshift alone" in c.text] == [True]
    assert [c.holds for c in made if "in their places" in c.text] == [True]
    assert outputs["figure_draws"].stat().st_size > 10_000


def test_hidden_numbers_are_those_of_the_tokens_that_the_network_did_not_see(survey):
    model, _ = networks.load(survey["model"][0].rpartition("/")[0])
    sky = Sky(Job("tiny", survey, {}, settings(), 0), model)
    answers = Answers(survey["query_low"][0], model)
    block = next(answers.blocks(sky, sky.ids["test"][:4]))
    tokens = answers.question.of("spectrum", model.counts["spectrum"], sky.batch(block.targetid)).numpy()
    hidden = block.hidden["spectrum"]
    assert hidden.shape == block.truth["spectrum"].shape and tokens.sum(1).tolist() == [24] * len(tokens)
    assert (hidden[:, ::8] == tokens).all() and (hidden[:, 7::8] == tokens[:, :32]).all()
    image = block.hidden["hsc_image"].reshape(-1, 5, 16, 16)
    squares = answers.question.of("hsc_image", 16, sky.batch(block.targetid)).numpy().reshape(-1, 4, 4)
    assert (image[:, 0, ::4, ::4] == squares).all() and (image[:, 4, 3::4, 2::4] == squares).all()
    changed = sky.batch(block.targetid)  # what is hidden does not move what the network says
    flux = changed["hsc_image"]["flux"].clone()
    flux[..., 2:18, 2:18][torch.from_numpy(image)] += 5.0
    asked = answers.question
    before, after = model.predict(changed, asked), model.predict(changed.changed("hsc_image", flux=flux), asked)
    torch.testing.assert_close(before["spectrum"], after["spectrum"], rtol=1e-4, atol=1e-4)
    answers.question = model.question("low", LOW | {"bands": ["g", "r", "z", "y"]})  # a band not shown is hidden
    fewer = answers.mask(model, "hsc_image", sky.batch(block.targetid), image[0].size).reshape(-1, 5, 16, 16)
    assert fewer[:, 2].all() and (fewer[:, [0, 1, 3, 4]] == image[:, [0, 1, 3, 4]]).all()


def test_other_tables_are_refused(survey, tmp_path):
    model, _ = networks.load(survey["model"][0].rpartition("/")[0])
    pq.write_table(pa.table({"targetid": [1]}), tmp_path / "other.parquet")
    with pytest.raises(BadInput, match="other.parquet: not a table of reconstructions"):
        Answers(tmp_path / "other.parquet", model)


# claims and configuration


def tidy(**changes) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """A table and lines that make every claim hold, but for what is changed: name -> (value, low, high)."""
    numbers = {
        **{"recovered": (0.9, 0.8, 0.95), "recovered_by_chance": (0.1, np.nan, np.nan)},
        **{"width_ratio": (1.5, 1.3, 1.7), "height_ratio": (0.5, 0.4, 0.6)},
        **{"nearest": (0.3, 0.2, 0.4), "mean": (0.2, 0.1, 0.3), "auc": (0.55, 0.5, 0.6)},
    } | changes
    lines = pandas.DataFrame(
        [
            {"query": "q", "drawn": "reconstruction", "property": "C IV", "metric": m, "n": 50}
            | dict(zip(("value", "ci_low", "ci_high"), numbers[m], strict=True))
            for m in ("recovered", "recovered_by_chance", "width_ratio", "height_ratio")
        ]
    )
    rows = [
        ("explained", errors.NEAREST, "spectrum, all", numbers["nearest"]),
        ("explained", errors.near_name(16), "spectrum, all", numbers["mean"]),
        ("auc", fooling.MLP, "draws", numbers["auc"]),
        ("auc", fooling.BOOSTING, "other observed spectra", (0.5, 0.4, 0.6)),
    ]
    names = ("survey", "model", "modality", "method", "property", "split", "metric", "value", "ci_low", "ci_high", "n")
    table = pandas.DataFrame(
        [
            dict(zip(names, ("s", "m", "q", method, of, "test", metric, *v, 50), strict=True))
            for metric, method, of, v in rows
        ]
    )
    return table, lines


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recovered": (0.05, 0.0, 0.08)}, "in their places"),
        ({"width_ratio": (0.9, 0.8, 0.95)}, "widths"),
        ({"height_ratio": (1.2, 1.1, 1.3)}, "heights"),
        ({"mean": (-0.1, -0.2, -0.05)}, "redshift alone"),
        ({"auc": (0.7, 0.66, 0.75)}, "fooled"),
    ],
)
def test_claims_hold_and_fail_by_their_numbers(changes, words):
    held = list(claims(*tidy(), settings()))
    assert len(held) == 5 and all(claim.holds and claim.verdict == "holds" for claim in held)
    failing = list(claims(*tidy(**changes), settings()))
    assert [words in claim.text for claim in failing if not claim.holds] == [True]
    assert all(claim.verdict == "fails" for claim in failing if not claim.holds)


def test_ours_stand_beside_the_published_values():
    assert published.LINES["C IV"].width == (72.0, 648.0)
    assert set(published.LINES) <= set(settings().lines)


def with_mmae(**given):
    """The default configuration with another MMAE on the mock survey, and this analysis."""
    config = changed(reconstruction=given)
    queries = {"drawn": LOW, "plain": {"image": 0.5}}
    config["models"]["tiny"] = {
        "kind": "mmae",
        "modalities": ["hsc_image", "spectrum"],
        "model": {},
        "queries": queries,
    }
    mock = config["surveys"]["mock"]
    mock |= {"models": [*mock["models"], "tiny"], "modalities": ["spectrum", "image", "hsc_image"]}
    return config


def test_it_is_made_where_a_model_reconstructs_and_nowhere_else():
    made = load(with_mmae(model="tiny")).made
    assert set(made) == {("reconstruction", "mock")}
    inputs = made["reconstruction", "mock"]
    assert inputs["query_drawn"] == ["results/mock/predictions/tiny-drawn.parquet"] and "query_plain" not in inputs
    assert set(inputs) >= {"tokens_hsc_image", "tokens_spectrum", "model", "galaxies", "splits"}
    assert ("reconstruction", "simulated") not in load(with_mmae()).made
    lacking = "reconstruction.surveys: 'simulated' has no model with queries of your own that reconstruct"
    with pytest.raises(BadConfig, match=lacking):
        load(changed(reconstruction={"surveys": ["simulated"]}))
    with pytest.raises(BadConfig, match="'plain' is not a query of 'tiny' that reconstructs; it has drawn"):
        load(with_mmae(model="tiny", queries=["plain"]))


def test_lines_can_be_added_changed_and_taken_out():
    s = settings(lines={"C IV": None, "He II": {"wavelength": 1640.4, "window": 80.0}})
    assert s.lines == {"C IV": None, "He II": Line(wavelength=1640.4, window=80.0)}
    with pytest.raises(BadConfig, match="lines.x.window: 0 is not allowed; must be above 0"):
        settings(lines={"x": {"wavelength": 5000, "window": 0}})
    assert kinds.find("analysis", "reconstruction", "") is KIND


def test_numbers_in_units_of_the_noise_are_compared_in_flux(survey):
    torch.manual_seed(0)
    model = networks.build(
        {"kind": "mmae", "modalities": ["hsc_image", "spectrum"], "model": NETWORK | {"spectra": "velocity"}}
    )
    sky = Sky(Job("tiny", survey, {}, settings(), 0), model.eval())
    ids = sky.ids["test"][:6]
    batch, truth = sky.truth(ids)
    flux = in_flux(truth["spectrum"], sky.noise(batch))
    z = sky.z.reindex(ids).to_numpy()
    line = np.where(z < 1, 6564.6, 1549.5) * (1 + z)
    continuum = np.abs(model.wavelength - line[:, None]) > 400
    assert np.nanmean(flux[continuum]) == pytest.approx(1, abs=0.05)
    top = np.abs(model.wavelength - line[:, None]) < 8
    assert np.nanmean(flux[top]) == pytest.approx(4, abs=0.4)
    assert in_flux(truth["spectrum"], None) is truth["spectrum"]


def test_the_noise_of_a_line_is_not_what_is_drawn_there():
    rng = np.random.default_rng(0)
    usual = 1 + 0.5 * np.exp(-0.5 * ((WAVE - 8800) / 300) ** 2)
    place = rng.uniform(5000, 8000, 30)
    bump = 1 + 0.3 * np.exp(-0.5 * ((WAVE - place[:, None]) / 30) ** 2)
    height = rng.uniform(0.5, 2, (30, 1))
    common = in_common(height * usual * bump, usual)
    np.testing.assert_allclose(common, height * usual, rtol=0.01)
    drawn = np.arcsinh(np.full((30, len(WAVE)), 3.0))  # nothing is said of a line
    lines = fit(WAVE, in_flux(drawn, height * usual * bump), place, np.full(30, 350.0))
    assert (lines.snr > 5).mean() > 0.8  # what a galaxy's own noise would make of it
    lines = fit(WAVE, in_flux(drawn, common), place, np.full(30, 350.0))
    assert (np.nan_to_num(lines.height) < 0.02 * height[:, 0]).all()


def test_what_noise_does_with_wavelength_is_no_line():
    place = np.full(30, 7000.0)
    noise = 1 - 0.6 * np.exp(-0.5 * ((WAVE - 7000) / 60) ** 2)  # a clear window between sky lines
    flux = 1 + 0.005 * np.random.default_rng(0).normal(size=(30, len(WAVE)))
    seen = np.arcsinh(flux / noise)
    z = place / 6564.6 - 1
    of = Spectra(np.arange(30), z, seen, np.ones(seen.shape, bool), seen, None)
    s = settings()
    assert len(recovery.measure(WAVE, of, seen, s.lines["H-alpha"], s, 0).rows) == 30
    known = Spectra(
        *(getattr(of, n) for n in ("targetid", "z", "truth", "hidden", "said", "draw")), np.tile(noise, (30, 1))
    )
    assert len(recovery.measure(WAVE, known, seen, s.lines["H-alpha"], s, 0).rows) < 3
