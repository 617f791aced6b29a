"""Several processes train as one does: same samples, masks, dropped branches and losses; one may carry on for another.

`tests.training.test_launch` starts them by torchrun.
"""

import pytest
import torch
from safetensors.torch import load_file

from tests.training.runs import KINDS, change, rows

WAYS = {"whole": {}, "sharded": {"sharding": "full"}, "parts": {"accumulate": 2}}
WAYS["sharded-parts"] = {**WAYS["sharded"], **WAYS["parts"]}
MADE = [(kind, way) for kind in KINDS for way in WAYS if kind != "astroclip" or "parts" not in way]


@pytest.fixture(scope="module")
def changed(configs):
    """(kind, way) -> a configuration: two layers with drop path, weights whole or sharded, a batch in parts or not."""
    found = {}
    for kind, way in MADE:
        shape = {} if kind == "astroclip" else {"drop_path": 0.4, "layers": 2}
        shape |= {"ibot": 1.0} if kind == "astrodino" else {}  # each process hides other patches
        training = {"precision": "float32", "steps": 12, "log_every": 4, "checkpoint_every": 5, **WAYS[way]}
        found[kind, way] = change(configs[kind], model=shape, training=training)
    return found


@pytest.fixture(scope="module")
def ones(changed, survey, tokens, trained, outputs, tmp_path_factory):
    """(kind, way) -> the folder of a model that one process trains when it is first asked for."""
    from skyloom.training.run import train

    folder = tmp_path_factory.mktemp("one")
    backbones = {"image": trained / "astrodino", "spectrum": trained / "specformer"}

    def ones(*key):
        made = folder / "-".join(key)
        if not made.exists():
            train(changed[key], tokens, survey / "splits.parquet", outputs(made), folder / "c", backbones)
        return made

    return ones


@pytest.fixture(scope="module")
def twos(changed, several, tmp_path_factory):
    """(kind, way) -> the folder of a model that two processes trained."""
    folder = tmp_path_factory.mktemp("two")
    found = {key: folder / "-".join(key) for key in MADE}
    assert several(*((changed[key], found[key], folder / "c", 2) for key in MADE)) == [[0, 0]] * len(MADE)
    return found


def same(one, two, split=None):
    """Two models have the same losses (of one split) and weights, up to sums of float32 in another order."""
    for ours, theirs in zip(rows(one, split), rows(two, split), strict=True):
        assert ours.pop("split") == theirs.pop("split")
        assert theirs == pytest.approx(ours, rel=1e-5)  # 2e-6 was seen
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, two))
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: tensor.shape for n, tensor in theirs.items()}
    ours, theirs = (torch.cat([tensor.flatten() for tensor in state.values()]) for state in (ours, theirs))
    # all together: biases of keys change nothing, so that AdamW makes steps of what rounding leaves of their gradients
    assert (theirs - ours).norm() < 1e-3 * ours.norm()


@pytest.mark.parametrize("kind, way", MADE)
def test_two_processes_train_as_one_does(twos, ones, kind, way):
    assert len(rows(ones(kind, way))) == 6
    same(ones(kind, way), twos[kind, way])


def test_a_batch_in_parts_is_a_step_of_the_whole_batch(ones):
    same(ones("specformer", "whole"), ones("specformer", "parts"), "train")  # masks of validation go by its batches


@pytest.mark.parametrize("kind", ["specformer", "astrodino"])
def test_weights_in_shards_are_the_weights(ones, twos, kind):
    same(ones(kind, "whole"), twos[kind, "sharded"])
