"""Where queries look: preferences against closed forms on planted attention, and a whole run."""

import json

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import save_file

from skyloom.analysis.attention.figures import choose
from skyloom.analysis.attention.scores import Attention, at_lines, centre, lift, reached, rows
from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.nn.places import Patches, Stretches
from skyloom.settings.config import load

from . import synthetic
from .test_kinds import changed

EDGES = np.linspace(4000, 9000, 101)
TOKENS = Stretches(1, EDGES[:-1], EDGES[1:], (4000.0, 9000.0), others={0: "first"})


def table(found: Attention, z) -> pandas.DataFrame:
    return pandas.DataFrame(rows("mock", found, np.asarray(z, float), 0.25, 100, 0))


def test_even_attention_has_no_preference_and_uses_all_tokens():
    even = Attention("m", "spectrum", TOKENS, np.full((20, 2, 101), 1 / 101))
    found = table(even, np.linspace(0.05, 0.3, 20)).set_index(["method", "metric"])["value"]
    for head in ("head 1", "head 2"):
        assert found[head, "effective_tokens"] == pytest.approx(1)
        assert found[head, "share"] == pytest.approx(1 / 101)
        assert found[head, "lift"] == pytest.approx(1) and found[head, "lift_other_redshift"] == pytest.approx(1)


def test_a_head_that_looks_at_lines_is_told_from_one_that_looks_at_one_place():
    z = np.linspace(0.02, 0.35, 60)
    weights = np.ones((60, 2, 101))
    weights[:, 0, 1:][at_lines(TOKENS, z)] = 5  # at lines, wherever they are
    weights[:, 1, 61:71] = 5  # always at the same
    weights /= weights.sum(-1, keepdims=True)
    found = table(Attention("m", "spectrum", TOKENS, weights), z).set_index(["method", "metric"])["value"]
    count = at_lines(TOKENS, z).sum(1)
    assert found["head 1", "lift"] == pytest.approx((5 * 100 / (100 + 4 * count)).mean())
    assert found["head 1", "lift_other_redshift"] < 0.6 * found["head 1", "lift"]
    assert found["head 2", "lift"] == pytest.approx(found["head 2", "lift_other_redshift"], rel=0.1)


def test_lines_lie_in_the_stretches_that_hold_them_in_either_frame():
    (place,) = np.flatnonzero(at_lines(TOKENS, np.array([0.3]))[0] & (EDGES[:-1] > 8500 - 50) & (EDGES[1:] < 8600))
    assert EDGES[place] <= 6564.6 * 1.3 < EDGES[place + 1]
    assert not at_lines(TOKENS, np.array([np.nan])).any()
    rest = Stretches(0, EDGES[:-1], EDGES[1:], (4000.0, 9000.0), rest_frame=True)
    lines = at_lines(rest, np.array([0.0, 0.3]))
    assert np.array_equal(lines[0], lines[1])
    seen = reached(rest, np.array([0.0, 0.5]))
    assert seen[0].all() and np.array_equal(seen[1], EDGES[:-1] < 6000)


def test_the_centre_of_an_image_is_a_quarter_of_it():
    assert centre(Patches(1, 8, 48), 0.25).reshape(8, 8)[2:6, 2:6].all() and centre(Patches(1, 8, 48), 0.25).sum() == 16
    weights = np.ones((3, 1, 64)) + 3 * centre(Patches(1, 8, 48), 0.25)
    assert lift(weights, centre(Patches(1, 8, 48), 0.25)[None], np.ones((1, 1), bool)) == pytest.approx(4 / 1.75)


def test_examples_are_spread_over_redshift():
    z = np.random.default_rng(0).permutation(np.linspace(0, 1, 101))
    assert z[choose(z, 3)] == pytest.approx([0.1, 0.5, 0.9])
    assert len(choose(z[:2], 3)) == 2 and not len(choose(z[:0], 3))
    assert list(choose(np.array([np.nan, 0.2, np.nan]), 3)) == [1] and len(choose(np.full(3, np.nan), 3)) == 3


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A survey with token shards and an untrained AstroCLIP."""
    folder = tmp_path_factory.mktemp("world")
    survey = synthetic.survey(folder, n=(20, 5, 15), models=())
    shards = synthetic.shards(folder, survey["table"])
    torch.manual_seed(0)
    backbones = {
        "image": {"kind": "astrodino", "modality": "image", "model": {"dim": 32, "layers": 1}},
        "spectrum": {"kind": "specformer", "modality": "spectrum", "model": {"dim": 32, "layers": 1}},
    }
    network = networks.build({"kind": "astroclip", "backbones": backbones, "model": {"dim": 16, "heads": 2}})
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({"name": "mine", "config": networks.describe(network)}))
    files = [str(folder / "model.safetensors"), str(folder / "model.json")]
    tokens = {f"tokens_{modality}": [str(path) for path in paths] for modality, paths in shards.items()}
    return {"galaxies": survey["galaxies"], "splits": survey["splits"], "model_mine": files, **tokens}


def test_a_whole_run_scores_and_draws_and_repeats(world, tmp_path):
    settings = {"galaxies": 10, "shown": 1, "resamples": 100}
    first = synthetic.run("attention", world, tmp_path / "a", settings)
    found = pandas.read_csv(first["table"])
    assert set(found["modality"]) == {"image", "spectrum"} and set(found["method"]) == {"head 1", "head 2"}
    assert set(found["n"]) == {10} and found["value"].between(0, 10).all()
    assert found.loc[found["property"].isin(["CLS", "brightness", "summary"]), "value"].lt(0.5).all()
    again = synthetic.run("attention", world, tmp_path / "b", settings)
    assert all(first[role].read_bytes() == again[role].read_bytes() for role in first)
    assert all(first[f"figure_{kind}"].stat().st_size > 20_000 for kind in ("image", "spectrum"))


def test_without_test_galaxies_there_are_no_rows(world, tmp_path):
    pandas.read_parquet(world["splits"]).assign(split="train").to_parquet(tmp_path / "splits.parquet")
    out = synthetic.run("attention", world | {"splits": tmp_path / "splits.parquet"}, tmp_path / "out")
    assert pandas.read_csv(out["table"]).empty and out["figure_image"].is_file()


def test_models_without_a_pooling_query_are_refused():
    with pytest.raises(BadConfig, match="analyses.attention.models: 'specformer' pools no tokens by attention"):
        load(changed(attention={"models": ["specformer"]}))
    made = load(changed(attention={})).made
    assert {survey for _, survey in made} == {"mock"}
    roles = {"galaxies", "splits", "model_astroclip", "model_astroclip_redshift", "tokens_image", "tokens_spectrum"}
    assert set(made["attention", "mock"]) == roles
