"""A step in parts is the step in one."""

import pytest
import torch

from skyloom.core.errors import BadConfig
from skyloom.nn.batch import Batch
from skyloom.settings.training import Training
from skyloom.training import accumulation
from tests.training.runs import change, rows


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_train_as_the_whole_does(configs, run, trained, parts):
    """Same galaxies, masks and dropped branches (drop_path is .1), the same mean of gradients."""
    config = change(configs["specformer"], training={"precision": "float32"})
    whole, split = run(config, "whole"), run(change(config, training={"accumulate": parts}), "split")
    for ours, theirs in zip(rows(whole, "train"), rows(split, "train"), strict=True):
        assert ours.pop("split") == theirs.pop("split")
        assert theirs == pytest.approx(ours, rel=1e-4)


def test_parts_of_all_processes_are_the_batch_once():
    seen = []
    for rank in range(2):
        own = Batch({"image": {"rgb": torch.arange(24)[rank::2, None]}}, labels={"z": torch.arange(24.0)[rank::2]})
        for place, part, _ in accumulation.parts(torch.nn.Identity(), own, 3, rank, 2):
            assert part["image"]["rgb"][:, 0].tolist() == list(range(24))[place] == part.labels["z"].tolist()
            assert len(part) == 4 and part.present["image"].shape == (4,)
            seen += part["image"]["rgb"][:, 0].tolist()
    assert sorted(seen) == list(range(24))


def test_a_batch_that_cannot_be_shared_out_is_refused():
    settings = Training(batch_size=12, accumulate=2)
    assert accumulation.batch_size(settings, 1000, 3) == 12 and accumulation.batch_size(settings, 11, 2) == 8
    with pytest.raises(BadConfig, match="batch_size: 12 is not a multiple of the 4 processes times accumulate 2"):
        accumulation.batch_size(settings, 1000, 4)
    with pytest.raises(BadConfig, match="batch_size: 12 is not a multiple of the 5 processes$"):
        accumulation.batch_size(Training(batch_size=12), 1000, 5)


def test_means_are_over_parts_with_the_loss_first():
    found = [{"pooled": torch.tensor(x), "loss": torch.tensor(x + 1)} for x in (1.0, 3.0)]
    values = accumulation.means(found, torch.tensor(7.0))
    assert list(values) == ["loss", "grad_norm", "pooled"] and [float(v) for v in values.values()] == [3, 7, 2]
