"""Filling in spectra: baselines on planted spectra, errors in units of the noise, and a whole run."""

import json

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import save_file

from skyloom.analysis.filling import baselines
from skyloom.analysis.filling.scores import AT_LINES, CHI2, DELTA, HIDDEN, NETWORK, SMOOTHED, at_lines, errors, rows
from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.settings.config import load

from . import synthetic
from .test_kinds import changed

WAVE = np.linspace(4000, 5000, 501)


def hide(count, first, last, width=501):
    hidden = np.zeros((count, width), bool)
    hidden[:, first : last + 1] = True
    return hidden


def test_a_straight_line_is_filled_in_exactly_and_knows_nothing_of_what_is_hidden():
    flux = np.stack([2 + (WAVE - 4000) / 500, 5 - (WAVE - 4000) / 1000])
    hidden = hide(2, 200, 260) | hide(2, 0, 9)
    spoiled = np.where(hidden, 1e6, flux)
    filled = baselines.straight(WAVE, spoiled, np.where(hidden, 0, 1.0), hidden, 30.0)
    assert np.allclose(filled[:, 10:], flux[:, 10:])
    side = flux[:, 10:25].mean(1)  # one side alone: level
    assert np.allclose(filled[:, :10], side[:, None], atol=0.02)


def test_principal_components_find_a_planted_line_where_the_mean_does_not():
    rng = np.random.default_rng(1)
    one, other = (np.exp(-0.5 * ((WAVE - place) / 10) ** 2) for place in (4300, 4700))  # always of one strength
    strength = 1 + rng.random((400, 1))
    truth = 3 + strength * (one + other)
    ivar = np.full_like(truth, 100.0)
    flux = truth + rng.normal(0, 0.1, truth.shape)
    common = baselines.learn(flux[:300], ivar[:300], 4)
    hidden = hide(100, 330, 370)
    seen = np.where(hidden, 0, ivar[300:])
    spoiled = np.where(hidden, -50.0, flux[300:])
    error = {n: np.abs(baselines.fitted(spoiled, seen, common, n) - truth[300:])[hidden].mean() for n in (0, 4)}
    assert error[4] < 0.03 and error[0] > 3 * error[4]


def test_the_truth_has_an_error_of_one_and_half_a_sigma_off_adds_a_quarter():
    rng = np.random.default_rng(2)
    truth = np.full((300, 501), 4.0)
    ivar = rng.uniform(1, 9, truth.shape)
    flux, hidden = truth + rng.normal(size=truth.shape) / np.sqrt(ivar), hide(300, 100, 399)
    lines = at_lines(WAVE, np.where(np.arange(300) < 200, 0.2, np.nan), 1000.0)  # [OII] at 4474
    filled = {NETWORK: truth, "off": truth + 0.5 / np.sqrt(ivar)}
    found = errors(flux, ivar, hidden, lines, filled, 6)
    means = {key: np.nanmean(values) for key, values in found.items()}
    assert means[NETWORK, HIDDEN, CHI2] == pytest.approx(1, abs=0.02)
    assert means[NETWORK, HIDDEN, SMOOTHED] == pytest.approx(1, abs=0.04)
    assert means["off", HIDDEN, CHI2] == pytest.approx(1.25, abs=0.03)
    assert np.isfinite(found[NETWORK, AT_LINES, CHI2]).sum() == 200
    table = pandas.DataFrame(rows("mock", "m", "spectrum", found, 200, 0))
    delta = table[(table["metric"] == DELTA) & (table["property"] == HIDDEN)]
    assert list(delta["method"]) == ["off"] and delta["ci_high"].iloc[0] < 0


def test_noise_that_is_told_is_not_that_under_a_hidden_line():
    rng = np.random.default_rng(3)
    shape = 1 + WAVE / 5000
    ivar = 1 / (shape * rng.uniform(1, 5, (50, 1))) ** 2
    usual = baselines.usual_noise(ivar)
    seen = np.where(hide(50, 100, 150), 0, ivar)
    assert np.allclose(baselines.noise_in_common(usual, seen), ivar**-0.5, rtol=0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A survey with token shards, and an untrained SpecFormer of either input."""
    folder = tmp_path_factory.mktemp("world")
    survey = synthetic.survey(folder, n=(80, 5, 40), models=())
    shards = synthetic.shards(folder, survey["table"])
    return folder, survey, shards


@pytest.mark.parametrize("shape", [{}, {"input": "pixels", "size": 20, "stride": 10}])
def test_a_whole_run_scores_and_draws(world, shape):
    folder, survey, shards = world
    inputs = {
        "galaxies": survey["galaxies"],
        "splits": survey["splits"],
        "tokens": [str(p) for p in shards["spectrum"]],
    }
    given = inputs | {"model": model(folder / shape.get("input", "velocity"), shape)}
    settings = {"galaxies": 40, "training": 80, "resamples": 100, "shown": 1, "components": 4}
    first = synthetic.run("filling", given, folder / "out", settings)
    table = pandas.read_csv(first["table"])
    errors_of = table[(table["metric"] == CHI2) & (table["property"] == HIDDEN)].set_index("method")["value"]
    assert set(errors_of.index) == {NETWORK, "straight line", "mean spectrum", "PCA"}
    assert errors_of["PCA"] == pytest.approx(1, abs=0.1)  # a slope and a line on noise of 1
    assert first["figure"].stat().st_size > 20_000
    before = first["table"].read_bytes(), first["figure"].read_bytes()
    again = synthetic.run("filling", given, folder / "out", settings)
    assert (again["table"].read_bytes(), again["figure"].read_bytes()) == before


def test_without_test_galaxies_the_table_is_empty(world, tmp_path):
    folder, survey, shards = world
    splits = pandas.read_parquet(survey["splits"]).assign(split="train")
    splits.to_parquet(tmp_path / "splits.parquet")
    given = {"galaxies": survey["galaxies"], "splits": tmp_path / "splits.parquet", "model": model(folder / "e", {})}
    out = synthetic.run("filling", given | {"tokens": [str(p) for p in shards["spectrum"]]}, tmp_path / "out")
    assert pandas.read_csv(out["table"]).empty and out["figure"].is_file()


def test_models_that_fill_nothing_are_refused():
    with pytest.raises(BadConfig, match="analyses.filling.model: 'astrodino' fills in no spectra"):
        load(changed(filling={"model": "astrodino"}))
    made = load(changed(filling={})).made
    assert {survey for _, survey in made} == {"mock"}
    assert made["filling", "mock"]["model"][0] == "results/mock/models/specformer/model.safetensors"


def model(folder, shape: dict) -> list[str]:
    """Weights and card of a network as it starts."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    small = {"dim": 32, "layers": 1, "heads": 2, **shape}
    network = networks.build({"kind": "specformer", "modality": "spectrum", "model": small})
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({"name": "spec", "config": networks.describe(network)}))
    return [str(folder / "model.safetensors"), str(folder / "model.json")]
