"""Several processes (torchrun) train as one does: same samples, masks, dropped branches and losses.

All trainings of several processes are made by one torchrun: starting it takes longer than training.
"""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.training.runs import KINDS, change, rows

SCRIPT = """
import json, sys, torch
from skyloom.training.run import train

torch.distributed.init_process_group("gloo")
for arguments in json.load(open(sys.argv[1])):
    train(*arguments)
torch.distributed.destroy_process_group()
"""
WAYS = {"whole": {}, "sharded": {"sharding": "full"}, "parts": {"accumulate": 2}}
WAYS["sharded-parts"] = {**WAYS["sharded"], **WAYS["parts"]}


@pytest.fixture(scope="module")
def changed(configs):
    """(kind, way) -> a configuration: two layers with drop path, weights whole or sharded, a batch in parts or not."""
    found = {}
    for kind in KINDS:
        shape = {} if kind == "astroclip" else {"drop_path": 0.4, "layers": 2}
        for way, training in WAYS.items():
            training = {"precision": "float32", "steps": 12, **training}
            found[kind, way] = change(configs[kind], model=shape, training=training)
    return found


@pytest.fixture(scope="module")
def of_two(changed, survey, tokens, trained, outputs, torchrun, tmp_path_factory):
    """(kind, way) -> the folder of a model that two processes trained."""
    folder = tmp_path_factory.mktemp("two")
    backbones = {"image": str(trained / "astrodino"), "spectrum": str(trained / "specformer")}
    shards = {modality: list(map(str, paths)) for modality, paths in tokens.items()}
    calls, folders = [], {key: folder / "-".join(key) for key in changed}
    for key, config in changed.items():
        out = {name: str(path) for name, path in outputs(folders[key]).items()}
        calls.append((config, shards, str(survey / "splits.parquet"), out, str(folder / "c"), backbones))
    torchrun(2, SCRIPT, json.dumps(calls))
    return folders


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_one_does(of_two, changed, run, kind, way):
    folder = run(changed[kind, way])
    one, two = rows(folder), rows(of_two[kind, way])
    assert len(one) == len(two) == 6
    for ours, theirs in zip(one, two, strict=True):
        assert ours.pop("split") == theirs.pop("split")
        assert theirs == pytest.approx(ours, rel=1e-5)  # sums of float32 in another order: 2e-6 was seen
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, of_two[kind, way]))
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: tensor.shape for n, tensor in theirs.items()}
    ours, theirs = (torch.cat([tensor.flatten() for tensor in state.values()]) for state in (ours, theirs))
    # all together: biases of keys change nothing, so that AdamW makes steps of what rounding leaves of their gradients
    assert (theirs - ours).norm() < 1e-4 * ours.norm()
