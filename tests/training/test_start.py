"""A training that starts from a trained model: its weights, its card, what cannot be."""

import json

import pytest
import torch
from safetensors.torch import load_file

from skyloom.core.errors import BadConfig
from skyloom.training.run import train
from tests.training.runs import change, rows


@pytest.fixture
def started(configs, outputs, survey, tokens, trained, tmp_path):
    """A function (changes of the training and model) -> folder of a specformer that started from the trained one."""

    def started(name="started", **parts):
        config = change(configs["specformer"], **parts)
        given = {"spectrum": tokens["spectrum"]}, survey / "splits.parquet", outputs(tmp_path / name), tmp_path / "c"
        train(config, *given, start=trained / "specformer")
        return tmp_path / name

    return started


def test_it_starts_with_the_weights_of_another_and_its_card_says_so(started, trained):
    there = load_file(trained / "specformer" / "model.safetensors")
    here = load_file(started(training={"steps": 0}) / "model.safetensors")
    assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in there)
    folder = started("on", training={"steps": 10})
    card = json.loads((folder / "model.json").read_text())
    other = json.loads((trained / "specformer" / "model.json").read_text())
    assert card["starts_from"] == {"name": "specformer", "weights_sha256": other["weights_sha256"]}
    assert card["run"] != other["run"]
    assert not torch.equal(load_file(folder / "model.safetensors")["head.weight"], there["head.weight"])
    # the same galaxies under the same masks; what the objective has besides the network begins anew
    losses = [rows(where, "validation")[0]["loss"] for where in (folder, trained / "specformer")]
    assert losses[0] < losses[1] - 0.2


def test_another_network_is_no_start(started):
    with pytest.raises(BadConfig, match="starts_from: .*specformer is another network: .* there, .* here") as caught:
        started(model={"dim": 32})
    assert "\n" not in str(caught.value)
