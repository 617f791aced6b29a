"""MMAE on two processes has the losses that it has on one, also in steps in which layers see no galaxy of a process."""

import json
import os
import subprocess
import sys

import pytest
import torch

from skyloom.models.mmae.objective import Objective
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from tests.models.test_mmae import IMAGE, SPECTRUM, galaxies, network
from tests.paths import ROOT

STEPS, TOTAL = 12, 8
SCRIPT = """
import json, os, sys
import torch
from torch.nn.parallel import DistributedDataParallel
from tests.models.test_mmae_processes import losses

torch.distributed.init_process_group("gloo")
found = losses(torch.distributed.get_rank(), 2, DistributedDataParallel)
total = torch.tensor(found)
torch.distributed.all_reduce(total)
if torch.distributed.get_rank() == 0:
    json.dump((total / 2).tolist(), open(sys.argv[1], "w"))
torch.distributed.barrier()
os._exit(0)  # threads of the group may still run while an interpreter ends, which then aborts
"""


def losses(rank: int, world: int, wrapped=lambda objective: objective) -> list[float]:
    """The loss of each step of a training of galaxies some of which lack image, spectrum or redshift."""
    model = network(spectra="velocity", velocity=500.0, shift=0.01, slice=4, stem=2, generator=1, alone_weight=0.5)
    objective = wrapped(Objective(model).train())
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    found = []
    for step in range(STEPS):
        rows, whole = slice(rank, TOTAL, world), galaxies(TOTAL, step)
        there = torch.arange(TOTAL) % 3
        present = {IMAGE: (there > 0)[rows], SPECTRUM: (there < 2)[rows]}
        labels = {"z": whole.labels["z"][rows], "zwarn": (torch.arange(TOTAL) == 5).float()[rows]}
        data = {m: {n: x[rows] for n, x in part.items()} for m, part in whole.data.items()}
        loss, _ = objective(Batch(data, present, labels), Draws(0, step, TOTAL, rows), step / STEPS)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        found.append(loss.item())
    return found


def test_two_processes_have_the_losses_of_one(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'workflow'}"}
    subprocess.run([*torchrun, tmp_path / "script.py", tmp_path / "two.json"], env=environment, check=True)
    assert json.loads((tmp_path / "two.json").read_text()) == pytest.approx(losses(0, 1), rel=1e-4)
