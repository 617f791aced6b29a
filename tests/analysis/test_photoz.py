"""Redshifts from images: where the comparison is made, models asked again, claims, and a whole run."""

import copy
import dataclasses
import json

import numpy as np
import pandas
import pytest
import torch
import yaml
from safetensors.torch import save_file

from skyloom.analysis.common import blocks, tables
from skyloom.analysis.photoz import Settings, asking, claims, sweeps
from skyloom.analysis.photoz.asking import Way
from skyloom.analysis.photoz.methods import read_method, read_sky
from skyloom.analysis.photoz.present import present
from skyloom.core.errors import BadConfig, BadInput
from skyloom.models import networks
from skyloom.settings.analysis import Job
from skyloom.settings.config import load
from skyloom.tokens.store import Shards
from tests.paths import ROOT

from . import synthetic
from .test_photoz_scores import H, S, posterior, scattered, write

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
KEYS = {H: "image", S: "spectrum"}
MMAE = {
    **{"kind": "mmae", "modalities": [H, S]},
    "queries": {
        "whole": {"spectrum": 1.0},
        "quarter": {"image": 0.25, "spectrum": 1.0},
        "both": {},
        "spectrum": {"image": 1.0},
    },
}


# where it is made


def made(models: list[str], photoz: dict | None = None, modalities=(S, "image", H), mmae: dict | None = None, **more):
    config = copy.deepcopy(DEFAULT)
    config["models"]["mmae"] = MMAE | (mmae or {})
    config["surveys"]["mock"] |= {"models": models, "modalities": list(modalities), **more}
    config["surveys"]["mock"]["models_from"] = {m: "mock_spectra" for m in models if m == "redshift"}
    if S not in modalities:  # others take models of spectra from it
        config["surveys"]["desi_samples"] = None
    config["analyses"] = {"photoz": photoz or {}}
    return load(config)


def test_inputs_are_the_predictions_of_images_and_spectra_and_the_models_to_ask_again():
    inputs = made(["redshift", "mmae", "pca_image"]).made["photoz", "mock"]
    names = ["redshift-redshift", "mmae-whole", "mmae-quarter", "mmae-both", "mmae-spectrum"]
    assert inputs["predictions"] == [f"results/mock/predictions/{name}.parquet" for name in names]
    assert inputs["pictures"] == inputs["tokens_hsc_image"] == ["results/mock/tokens/hsc_image/shard-0000.h5"]
    assert inputs["tokens_spectrum"] == ["results/mock/tokens/spectrum/shard-0000.h5"]
    assert inputs["models"] == [f"results/mock/models/mmae/model.{end}" for end in ("safetensors", "json")]
    few = {"predictions": ["mmae-both", "mmae-whole"], "galaxies": 0}
    some = made(["redshift", "mmae"], few).made["photoz", "mock"]
    assert [path.rpartition("/")[2] for path in some["predictions"]] == ["mmae-both.parquet", "mmae-whole.parquet"]
    assert some["models"] == [] and "tokens_spectrum" not in some
    without = made(["mmae"], modalities=["image", H]).made["photoz", "mock"]
    names = [path.rpartition("/")[2] for path in without["predictions"]]
    assert names == ["mmae-whole.parquet", "mmae-quarter.parquet"] and without["models"] == []


FROM_IMAGES = "has no model that is asked for redshifts from images alone"
TESTS = {"train": 0.0, "validation": 0.0, "test": 1.0}


@pytest.mark.parametrize(
    ("models", "photoz", "mmae", "more", "words"),
    [
        (["redshift", "pca_image"], {}, {}, {}, FROM_IMAGES),
        (["mmae"], {}, {"queries": {"both": {}}}, {}, FROM_IMAGES),
        (["mmae"], {"predictions": ["redshift-redshift"]}, {}, {}, "has no prediction 'redshift-redshift'; it has"),
        (["mmae"], {}, {}, {"split": {"fractions": TESTS}}, "has no galaxies to train, choose and test on"),
    ],
)  # fmt: skip
def test_a_survey_without_what_it_takes_says_what_is_missing(models, photoz, mmae, more, words):
    assert ("photoz", "mock") not in made(models, photoz, mmae=mmae, **more).made
    with pytest.raises(BadConfig, match=f"photoz.surveys: 'mock' {words}"):
        made(models, {**photoz, "surveys": ["mock"]}, mmae=mmae, **more)


@pytest.mark.parametrize(
    ("photoz", "words"),
    [
        ({"predictions": ["mmae-hole"]}, "photoz.predictions: 'mmae-hole' is not a prediction .* 'mmae-whole'"),
        ({"shown": "mmae-bth"}, "photoz.shown: 'mmae-bth' is not a prediction of a redshift; did you mean 'mmae-both'"),
        ({"differences": [["mmae-whole", "photometri"]]}, "photoz.differences: .* did you mean 'photometry'"),
        ({"shown": "photometry"}, "photoz.shown: 'photometry' is not a prediction"),
        ({"edges": [0.0, 0.5, 0.4]}, r"photoz.edges: \[0.0, 0.5, 0.4\] is not allowed; expected numbers that rise"),
        ({"shares": [0.0, 1.0]}, "photoz.shares.1: 1.0 is not allowed; must be below 1"),
        ({"exposures": [0.0]}, "photoz.exposures.0: 0.0 is not allowed; must be above 0"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_job(photoz, words):
    with pytest.raises(BadConfig, match=words):
        made(["mmae"], photoz)


# models asked again


@dataclasses.dataclass(frozen=True)
class Question:
    hidden: dict


class Toy:
    """Reads the redshift from the first pixel of what it is shown; the error is a galaxy's own, times `error`."""

    inputs = {H: ("flux",), S: ("flux", "ivar")}

    def __init__(self, error):
        self.error, self.seen = error, []

    def question(self, name, asked):
        return Question({m: asked[key] for m, key in KEYS.items()})

    def needs(self, question):
        return [m for m, share in question.hidden.items() if share < 1]

    def predict(self, batch, question):
        shown = sorted(batch.data)
        assert shown == sorted(self.needs(question)) and batch.targetid is not None
        if S in batch:
            self.seen.append(batch[S]["ivar"][0, 0].item())
        z = batch[H]["flux"][:, 0, 0, 0] if H in batch else batch[S]["flux"][:, -1]
        own = torch.from_numpy(np.random.default_rng(batch.targetid.numpy()[0]).standard_normal(len(z)))
        return {"z": z + (1 + z) * own * self.error(question.hidden)}


@pytest.fixture
def sky(tmp_path):
    """Five hundred galaxies: the redshift is each pixel of the image and the last pixel of the spectrum, which is known
    without error; another galaxy has no image."""
    known = np.random.default_rng(0).uniform(0.05, 1, 500).astype("f4")
    targetid = 10 + np.arange(501)
    flux = np.ones((501, 40), "f4")
    flux[:500, -1] = known
    ivar = np.full_like(flux, 4.0)
    ivar[:, -1] = 0
    synthetic.write_shard(
        tmp_path / "h.h5", targetid[:500], {"flux": known[:, None, None, None] * np.ones((1, 5, 2, 2))}
    )
    synthetic.write_shard(tmp_path / "s.h5", targetid, {"flux": flux, "ivar": ivar})
    return known, targetid, {H: Shards([tmp_path / "h.h5"]), S: Shards([tmp_path / "s.h5"])}


def test_the_sample_has_all_modalities_and_is_a_galaxys_own(sky):
    _, targetid, shards = sky
    assert list(asking.sample(targetid, shards, 1000, 3)) == list(targetid[:500])
    some = asking.sample(targetid, shards, 100, 3)
    assert len(some) == 100 and (np.diff(some) > 0).all()
    fewer = asking.sample(targetid[:250], shards, 1000, 3)
    assert set(some) & set(targetid[:250]) <= set(fewer) and list(asking.sample(targetid, shards, 100, 4)) != list(some)


def masks_of(sky, error, shares=(0.0, 0.25, 0.5, 0.9)):
    known, targetid, shards = sky
    ways = sweeps.mask_ways(H, shares)
    said = asking.redshifts(Toy(error), KEYS, list(ways.values()), shards, targetid[:500], 0)
    settings = Settings(resamples=200)
    rows = sweeps.mask_rows({key: said[way] for key, way in ways.items()}, known, settings, 0)
    return pandas.DataFrame([{"survey": "x", "model": "toy", **row} for row in rows], columns=sweeps.MASK_COLUMNS)


def test_a_network_whose_error_grows_with_the_mask_has_a_scatter_that_grows(sky):
    table = masks_of(sky, lambda hidden: 0.02 * (1 + sum(hidden.values())))
    sigma = table[(table["metric"] == "sigma_nmad") & (table["group"] == "all")]
    for masked, whole in (("image", 1.0), ("spectrum", 1.0), ("both", 0.0)):
        some = sigma[sigma["masked"] == masked].sort_values("share")
        expected = 0.02 * (1 + whole + (1 if whole else 2) * some["share"])
        assert some["value"].to_numpy() == pytest.approx(expected, rel=0.12)
        assert (np.diff(some["value"]) > 0).all()
    steps = table[table["metric"] == "sigma_step"]
    assert len(steps) == 18 and (steps["ci_high"] < 0).all()  # the errors are the same but for their size: paired
    value = sigma.set_index(["masked", "share"])["value"]
    for step in steps[steps["group"] == "all"].itertuples():
        assert step.value == pytest.approx(value[step.masked, step.share] - value[step.masked, step.other])
    ratio = table[(table["metric"] == "sigma_ratio") & (table["masked"] == "image")].set_index("group").loc["all"]
    assert ratio["value"] == pytest.approx(2 / 2.25, rel=1e-3) and ratio["ci_high"] < 0.95
    whole, steps = claims.of_masks(table)
    assert whole.holds and whole.verdict == "holds" and steps.holds and "9 steps 0 rise and 9 fall" in steps.numbers


def test_a_network_that_is_worse_with_the_whole_image_is_said_to_be(sky):
    table = masks_of(sky, lambda hidden: 0.05 - 0.03 * hidden[H])
    whole, steps = claims.of_masks(table)
    assert not whole.holds and whole.verdict == "fails" and not steps.holds and steps.verdict == "fails"
    ratio = table[(table["metric"] == "sigma_ratio") & (table["masked"] == "image")].set_index("group").loc["all"]
    assert ratio["value"] == pytest.approx(0.05 / 0.0425, rel=1e-3) and ratio["ci_low"] > 1


def test_nothing_is_claimed_for_sure_of_a_mask_that_changes_nothing(sky):
    table = masks_of(sky, lambda hidden: 0.02)
    whole, _ = claims.of_masks(table)
    assert whole.verdict == "holds, within the uncertainty"
    assert (table.loc[table["metric"] == "sigma_ratio", ["value", "ci_low", "ci_high"]] == 1).all(axis=None)


def test_shorter_spectra_have_the_variance_and_ivar_of_their_exposure():
    count, width = 400, 300
    ivar = np.random.default_rng(0).uniform(0.5, 4, (count, width)).astype("f4")
    ivar[:, 0] = 0
    spectra = {"flux": torch.full((count, width), 3.0), "ivar": torch.from_numpy(ivar)}
    targetid = 39600000000 + np.arange(count)
    for share in (0.3, 0.01):
        found = asking.shorter(spectra, share, targetid, 1)
        added = (found["flux"] - spectra["flux"]).numpy()[:, 1:] * np.sqrt(ivar[:, 1:])
        assert added.var() == pytest.approx(1 / share - 1, rel=0.02) and abs(added.mean()) < 0.05 / share
        assert np.allclose(found["ivar"], share * ivar) and (found["flux"][:, 0] == 3).all()
    assert added.var() + 1 == pytest.approx(1 / share, rel=0.02)  # with the noise that is there: that of the exposure
    one = asking.shorter(spectra, 0.1, targetid, 1)["flux"]
    assert (asking.shorter(spectra, 1.0, targetid, 1)["flux"] == 3).all()
    some = {name: values[5:9] for name, values in spectra.items()}
    assert torch.equal(asking.shorter(some, 0.1, targetid[5:9], 1)["flux"], one[5:9])  # whoever else is there
    assert np.abs(np.corrcoef((one - 3)[:40, 1:])[np.triu_indices(40, 1)]).max() < 0.4
    half = asking.shorter(spectra, 0.5, targetid, 1)["flux"]
    assert np.allclose(half - 3, (one - 3) / 3, atol=1e-5)  # sqrt(1 / .5 - 1) over sqrt(1 / .1 - 1)


def test_exposures_reach_the_network_and_the_image_helps_where_it_should(sky):
    known, targetid, shards = sky
    toy = Toy(lambda hidden: 0.02 if hidden[H] == 0 else 0.04)
    ways = sweeps.exposure_ways(H, [1.0, 0.1])
    assert ways["image", 0.0] == Way(((H, 0.0), (S, 1.0)))
    said = asking.redshifts(toy, KEYS, list(ways.values()), shards, targetid[:500], 0)
    assert sorted(set(np.round(toy.seen, 5))) == pytest.approx([0.4, 4.0])
    rows = sweeps.exposure_rows({key: said[way] for key, way in ways.items()}, known, Settings(resamples=200), 0)
    table = pandas.DataFrame([{"survey": "x", "model": "toy", **row} for row in rows], columns=sweeps.EXPOSURE_COLUMNS)
    ratios = table[table["metric"] == "sigma_ratio"]
    assert ratios["exposure"].tolist() == [1.0, 0.1] and ratios["value"].to_numpy() == pytest.approx(0.5, rel=1e-3)
    (claim,) = claims.of_exposure(table)
    assert claim.verdict == "holds" and "0.1 of its exposure" in claim.text
    worse = table.assign(value=2.0, ci_low=1.9, ci_high=2.1)
    assert next(claims.of_exposure(worse)).verdict == "fails"


# claims of tables


def coverage(given, value, low, high, stage="conformal"):
    shares = {"image_hidden": 0.0, "spectrum_hidden": 1.0}
    ends = {"coverage90": value, "coverage90_low": low, "coverage90_high": high, "n": 1000}
    return {"method": f"mmae-{given}", "given": given, **shares, "stage": stage, "group": "overall", **ends}


def test_coverage_holds_within_two_per_cent_and_is_sure_where_its_interval_is():
    rows = [coverage(H, 0.905, 0.89, 0.915), coverage(S, 0.91, 0.87, 0.93), coverage(f"{H}+{S}", 0.8, 0.77, 0.83)]
    rows += [row | {"stage": "raw", "coverage90": 0.5} for row in rows]
    found = list(claims.of_coverage(pandas.DataFrame(rows)))
    assert [claim.verdict for claim in found] == ["holds", "holds, within the uncertainty", "fails"]
    assert all("as given 0.500" in claim.numbers for claim in found)


def test_intervals_must_be_wider_and_every_galaxy_answered():
    row = {"method": "a", "other": "b", "metric": "width90_ratio", "value": 1.2, "ci_low": 1.1, "ci_high": 1.3}
    finite = [{"method": m, "metric": "finite", "value": 1.0} for m in "ab"]
    (claim,) = claims.of_widths(pandas.DataFrame([row, *finite]))
    assert claim.verdict == "holds" and "every galaxy with what is asked for has a redshift" in claim.numbers
    (claim,) = claims.of_widths(pandas.DataFrame([row | {"value": 0.9, "ci_low": 0.8, "ci_high": 0.95}, *finite]))
    assert claim.verdict == "fails"
    (claim,) = claims.of_widths(pandas.DataFrame([row, finite[0], finite[1] | {"value": 0.99}]))
    assert claim.verdict == "fails" and "1.00% have no redshift" in claim.numbers


def test_a_network_that_is_worse_than_another_is_said_to_be():
    fixed = {"image_hidden": np.nan, "given": H, "bands": np.nan, "group": "all", "n": 500}
    ours = fixed | {"method": "mmae-whole", "model": "mmae", "image_hidden": 0.0, "bands": "grizy"}
    rows = [row | {"metric": "sigma_nmad", "value": value} for row, value in
            ((ours, 0.06), (fixed | {"method": "cnn-redshift", "model": "cnn"}, 0.05))]  # fmt: skip
    ends = {"value": 0.01, "ci_low": 0.005, "ci_high": 0.015}
    difference = ours | {"metric": "sigma_nmad_difference", "other": "cnn-redshift"} | ends
    (claim,) = claims.against_others(pandas.DataFrame([*rows, difference]))
    assert claim.verdict == "fails" and "0.0600 against 0.0500, +0.0100 [+0.0050, +0.0150], n = 500" in claim.numbers
    (claim,) = claims.against_others(pandas.DataFrame([*rows, difference | {"value": -0.01, "ci_low": -0.03}]))
    assert claim.verdict == "holds, within the uncertainty"


def test_galaxies_of_the_test_split_with_a_known_redshift_are_scored(tmp_path):
    table = pandas.DataFrame({"targetid": np.arange(6), "z": [0.1, 0.2, np.nan, 0.4, 0.5, 0.6]})
    table["z_true"] = [np.nan, 0.25, np.nan, np.nan, np.nan, 0.65]
    tables.write_parquet(tmp_path / "galaxies.parquet", table)
    split = ["test", "test", "test", "validation", "train", "test"]
    tables.write_parquet(tmp_path / "splits.parquet", pandas.DataFrame({"targetid": np.arange(6), "split": split}))
    inputs = {"galaxies": [str(tmp_path / "galaxies.parquet")], "splits": [str(tmp_path / "splits.parquet")]}
    method = read_method(write(tmp_path / "m-q.parquet", np.arange(5), split[:5], np.full(5, 0.3)))
    sky = read_sky(Job("x", inputs, {}, Settings(), 0), [method])
    assert sky.scored.tolist() == [0, 1] and sky.test["z_known"].tolist() == [0.1, 0.25]
    assert sky.of("test").index.tolist() == [0, 1, 5] and sky.of("validation").index.tolist() == [3]


# a whole run

COUNT = (240, 120, 200)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Galaxies whose colours say the redshift, their images and spectra, a network with random weights, and answers of
    known scatter: the whole image 0.03, a quarter hidden 0.04, the spectrum 0.004, both 0.003, another network 0.06."""
    folder = tmp_path_factory.mktemp("photoz")
    rng = np.random.default_rng(0)
    total = sum(COUNT)
    targetid, split = 39600000000 + np.arange(total), np.repeat(["train", "validation", "test"], COUNT)
    z = rng.uniform(0.05, 1.3, total)
    galaxies = pandas.DataFrame({"targetid": targetid, "z": z, "z_true": z, "mag_r": 18 + 3 * z})
    wrong = (split != "test") & (np.arange(total) % 3 == 0)  # the catalogue warns of a third of what is learned
    galaxies["zwarn"] = np.where(wrong, 4, 0)
    galaxies.loc[wrong, "z"] = rng.uniform(0, 1, wrong.sum())
    galaxies.loc[split == "test", "z"] += 0.5  # and scores are of what was put in
    galaxies["spectype"] = "GALAXY"
    galaxies["spectype_true"] = np.where(np.arange(total) % 4 == 0, "QSO", "")
    tables.write_parquet(folder / "galaxies.parquet", galaxies)
    tables.write_parquet(folder / "splits.parquet", pandas.DataFrame({"targetid": targetid, "split": split}))
    scale = 10 ** (0.4 * (np.arange(5) - 2) * (z[:, None] - 0.5) + rng.normal(0, 0.01, (total, 5)))
    blob = np.exp(-0.5 * (np.hypot(*(np.mgrid[:32, :32] - 15.5)) / 3) ** 2)
    images = scale[:, :, None, None] * blob + rng.normal(0, 1e-3, (total, 5, 32, 32))
    synthetic.write_shard(folder / "h.h5", targetid, {"flux": images}, {"pixel_arcsec": 0.168, "modality": H})
    spectra = rng.normal(1, 1, (total, 7781)).astype("f4")
    synthetic.write_shard(folder / "s.h5", targetid, {"flux": spectra, "ivar": np.ones_like(spectra)})
    config = {"dim": 8, "layers": 1, "heads": 1, "fusion": 1, "image_size": 16, "patch": 8}
    torch.manual_seed(0)
    network = networks.build({"kind": "mmae", "modalities": [H, S], "model": config})
    (folder / "mmae").mkdir()
    save_file(network.state_dict(), folder / "mmae/model.safetensors")
    (folder / "mmae/model.json").write_text(json.dumps({"name": "mmae", "config": networks.describe(network)}))
    for seed, (name, sigma, hidden) in enumerate(
        [("mmae-whole", 0.03, (0, 1)), ("mmae-quarter", 0.04, (0.25, 1)), ("mmae-both", 0.003, (0, 0)),
         ("mmae-spectrum", 0.004, (1, 0)), ("cnn-redshift", 0.06, None)]
    ):  # fmt: skip
        middle, chance = posterior(z, sigma, sigma, seed)
        given = [m for m, share in zip((H, S), hidden or (0, 1), strict=True) if share < 1]
        about = {"modalities": given} | ({"hidden": dict(zip((H, S), hidden, strict=True))} if hidden else {})
        about |= {"bands": list("grizy")} if hidden else {}
        write(folder / f"{name}.parquet", targetid, split, middle, chance, **about)
    write(folder / "point-redshift.parquet", targetid, split, scattered(z, 0.08, 9))
    return folder


def given(folder, names):
    return {
        "galaxies": [str(folder / "galaxies.parquet")],
        "splits": [str(folder / "splits.parquet")],
        "predictions": [str(folder / f"{name}.parquet") for name in names],
        "pictures": [str(folder / "h.h5")],
        "models": [str(folder / "mmae" / name) for name in ("model.safetensors", "model.json")],
        f"tokens_{H}": [str(folder / "h.h5")],
        f"tokens_{S}": [str(folder / "s.h5")],
        "published": [str(ROOT / "resources/published.csv")],
    }


NAMES = ("cnn-redshift", "mmae-whole", "mmae-quarter", "mmae-both", "mmae-spectrum", "point-redshift")
FEW = {"trees": 40, "resamples": 100, "shares": [0.0, 0.25, 0.5], "exposures": [1.0, 0.1], "galaxies": 60}
FEW |= {"differences": [["mmae-both", "cnn-redshift"], ["mmae-both", "another-query"]]}
SHOWN = blocks.Shown("mock", True, "mock", True, (str(ROOT / "resources/published.csv"),))


@pytest.fixture(scope="module")
def done(survey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return synthetic.run("photoz", given(survey, NAMES), folder / "out", FEW)


def test_every_method_is_scored_on_the_same_test_galaxies_against_what_was_put_in(done):
    table = pandas.read_csv(done["table"])
    plain = table[table["other"].isna() & (table["group"] == "all")]
    assert set(plain["n"]) == {COUNT[2]} and set(plain["method"]) == {*NAMES, "photometry"}
    sigma = plain[plain["metric"] == "sigma_nmad"].set_index("method")
    for name, expected in zip(NAMES, (0.06, 0.03, 0.04, 0.003, 0.004, 0.08), strict=True):
        row = sigma.loc[name]
        assert row["value"] == pytest.approx(expected, rel=0.35) and row["ci_low"] < row["value"] < row["ci_high"]
    assert sigma.loc["photometry", "value"] < 0.05  # guessing has 0.2
    assert table[table["group"] == "quasars"]["n"].unique().tolist() == [COUNT[2] // 4]
    assert (plain[plain["metric"] == "finite"]["value"] == 1).all()
    compared = {
        tuple(pair) for pair in table.loc[table["metric"] == "sigma_nmad_ratio", ["method", "other"]].to_numpy()
    }
    others = {"cnn-redshift", "mmae-quarter", "point-redshift", "photometry"}
    assert compared == {("mmae-whole", other) for other in others} | {("mmae-both", "cnn-redshift")}
    ratio = table[(table["metric"] == "sigma_nmad_ratio") & (table["group"] == "all")].set_index(["method", "other"])
    assert ratio.loc[("mmae-whole", "cnn-redshift"), "ci_high"] < 1


def test_densities_of_all_that_have_any_are_checked(done):
    table = pandas.read_csv(done["calibration"])
    overall = table[table["group"] == "overall"].set_index(["method", "stage"])
    assert set(overall.index) == {(name, stage) for name in NAMES[:-1] for stage in ("raw", "conformal")}
    assert overall["coverage90"].between(0.8, 0.97).all()
    wide = overall.xs("raw", level="stage")["width90"]
    assert wide["mmae-quarter"] > wide["mmae-whole"] > wide["mmae-spectrum"] > wide["mmae-both"]
    ratios = pandas.read_csv(done["table"]).query("metric == 'width90_ratio'").set_index(["method", "other"])
    assert set(ratios.index) == {(f"mmae-{name}", "mmae-both") for name in ("whole", "quarter", "spectrum")}
    assert (ratios["ci_low"] > 1).all()


def test_the_network_is_asked_in_every_way(done):
    masks, exposure = pandas.read_csv(done["masks"]), pandas.read_csv(done["exposure"])
    assert set(masks["n"][masks["group"] == "all"]) == {60} and set(masks["model"]) == {"mmae"}
    asked = masks[(masks["metric"] == "bias") & (masks["group"] == "all")]
    assert len(asked) == 9 and asked["value"].nunique() == 9  # nine ways, nine answers
    assert set(map(tuple, exposure.loc[exposure["metric"] == "bias", ["given", "exposure"]].to_numpy())) == {
        ("image", 0.0), ("image and spectrum", 1.0), ("image and spectrum", 0.1), ("spectrum", 1.0), ("spectrum", 0.1),
    }  # fmt: skip


def test_the_report_claims_what_the_tables_say(done):
    paths = {role: str(path) for role, path in done.items()}
    found = present(paths, Settings(), SHOWN)
    said = [block for block in found if block.shape == "claim"]
    verdicts = {block.text: block.verdict for block in said}
    assert verdicts["mmae-whole has a smaller sigma_NMAD than cnn-redshift, from images"] == "holds"
    assert verdicts["mmae-whole has a smaller sigma_NMAD than point-redshift, from images"] == "holds"
    assert any("boosted aperture magnitudes" in text for text in verdicts)
    assert any("; published 1.6 at z < 0.4, real HSC" in block.numbers for block in said)
    wider = "A missing modality or band makes the intervals wider, and nothing fails (of galaxies that have both)"
    assert verdicts[wider] == "holds"
    assert len(said) == 10 and sum(block.shape == "figure" for block in found) == 5
    beside = next(b for b in found if b.shape == "table" and b.title.startswith("Beside the paper"))
    assert ["MMAE, a quarter hidden", "0.016"] in [list(line[:2]) for line in beside.lines] and "no line" in beside.note
    scores = next(b for b in found if b.shape == "scores" and b.title.startswith("How right"))
    best = {(names[0], names[1]): cells[1].best for names, cells in scores.lines}
    assert best["all", "mmae-both"] and not best["all", "mmae-whole"]
    assert all(path.stat().st_size > 8000 for role, path in done.items() if role.startswith("figure"))


def test_the_same_run_has_the_same_bytes(done, survey, tmp_path):
    again = synthetic.run("photoz", given(survey, NAMES), tmp_path / "out", FEW)
    assert all(path.read_bytes() == again[role].read_bytes() for role, path in done.items())


def test_without_densities_and_models_to_ask_there_are_still_scores_and_figures(survey, tmp_path):
    inputs = given(survey, ["point-redshift"]) | {"models": []}
    outputs = synthetic.run("photoz", inputs, tmp_path / "out", FEW)
    assert pandas.read_csv(outputs["masks"]).empty and pandas.read_csv(outputs["calibration"]).empty
    found = present({role: str(path) for role, path in outputs.items()}, Settings(), SHOWN)
    assert not [block for block in found if block.shape == "claim"]
    assert sum(block.shape == "figure" for block in found) == 5 and all(p.is_file() for p in outputs.values())


def test_galaxies_that_one_method_lacks_are_scored_for_none(survey, tmp_path):
    few = np.arange(10)
    targetid = 39600000000 + sum(COUNT) - 1 - few
    path = write(tmp_path / "few-redshift.parquet", targetid, ["test"] * 10, np.full(10, 0.5))
    inputs = given(survey, ["point-redshift"]) | {"models": []}
    inputs["predictions"].append(str(path))
    table = pandas.read_csv(synthetic.run("photoz", inputs, tmp_path / "out", FEW)["table"])
    assert set(table.loc[table["group"] == "all", "n"]) == {10}
    write(path, [1, 2], ["test"] * 2, [0.5, 0.5])
    with pytest.raises(
        BadInput, match="no galaxy of the test split with a redshift is in all of point-redshift, few-red"
    ):
        synthetic.run("photoz", inputs, tmp_path / "out", FEW)
