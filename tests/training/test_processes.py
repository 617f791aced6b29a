"""Several processes (torchrun) train as one does: same samples, masks, dropped branches and losses."""

import subprocess
import sys

import pytest

from tests.training.runs import KINDS, change, rows

SCRIPT = """
import torch
from skyloom.training.run import train

torch.distributed.init_process_group("gloo")
for arguments in {calls!r}:
    train(*arguments)
torch.distributed.destroy_process_group()
"""


def test_two_processes_train_as_one_does(configs, survey, tokens, trained, run, outputs, environment, tmp_path):
    """All kinds in one torchrun: starting it takes longer than training."""
    changed = {kind: change(configs[kind], training={"precision": "float32"}) for kind in KINDS}
    for kind in ("specformer", "astrodino"):
        changed[kind] = change(changed[kind], model={"drop_path": 0.4, "layers": 2})
    changed["astrodino"] = change(changed["astrodino"], model={"ibot": 1.0})  # each hides others
    backbones = {"image": str(trained / "astrodino"), "spectrum": str(trained / "specformer")}
    shards = {modality: list(map(str, paths)) for modality, paths in tokens.items()}
    calls = []
    for kind in KINDS:
        out = {name: str(path) for name, path in outputs(tmp_path / f"two-{kind}").items()}
        calls.append((changed[kind], shards, str(survey / "splits.parquet"), out, str(tmp_path / "c"), backbones))
    (tmp_path / "script.py").write_text(SCRIPT.format(calls=calls))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, tmp_path / "script.py"], env=environment, check=True, capture_output=True)
    for kind in KINDS:
        one, two = rows(run(changed[kind], f"one-{kind}")), rows(tmp_path / f"two-{kind}")
        assert len(one) == len(two) == 10
        for ours, theirs in zip(one, two, strict=True):
            assert ours.pop("split") == theirs.pop("split")
            assert theirs == pytest.approx(ours, rel=1e-5)  # sums of float32 in another order: 2e-6 was seen
