"""The script for a GPU does on a CPU, with tiny networks, what it does there; its numbers are those of closed forms."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from skyloom.models.specformer import PUBLISHED
from tests.gpu import measure, spectra, steps, subjects
from tests.paths import ROOT

CPU = steps.Device.found("cpu", 1, tiny=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run with tiny networks, without what compiles."""
    folder = tmp_path_factory.mktemp("measured")
    command = [sys.executable, ROOT / "tests/gpu/measure.py", "--tiny", "--no-compile", "--device", "cpu"]
    # nothing of the checkout is told where it is: the script finds it
    subprocess.run([*command, "--out", folder], check=True, capture_output=True, cwd=folder, env={"PATH": "/usr/bin"})
    return folder


def test_every_kind_of_model_is_measured_and_written_down(made):
    found = json.loads((made / "measure.json").read_text())
    assert list(found["models"]) == subjects.NAMES and found["tiny"]
    for row in found["models"].values():
        assert row["samples/s"] > 0 and 0 < row["of matrix products"] < 1 and row["activations, MiB a sample"] > 0
        assert row["largest batch"] == "8 or more" and row["note"] is None
    lines = (made / "measure.md").read_text().splitlines()
    assert found["date"] in lines[0] and found["device"] in lines[0] and "measure nothing" in lines[0]
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:] == subjects.NAMES
    assert found["training"]["steps"] >= 10 and "R2 of the redshift" in lines[-1]


def test_what_was_measured_on_another_device_does_not_stay(tmp_path):
    path = tmp_path / "measure.json"
    found = measure.known(path, "one", True) | {"models": {"moco": {}}}
    path.write_text(json.dumps(found))
    assert measure.known(path, "one", True)["models"] == {"moco": {}}
    assert measure.known(path, "other", True)["models"] == {} == measure.known(path, "one", False)["models"]


def test_operations_are_those_of_the_matrix_products():
    """Of a block 24 d^2 a token and, in attention, 4 T d; three times that with the backward pass."""
    subject = subjects.subject("specformer", tiny=True)
    config, tokens, width = subject.config["model"], subject.tokens, PUBLISHED["size"] + 2
    dim = config["dim"]
    blocks = config["layers"] * (24 * dim**2 + 4 * tokens * dim) * tokens
    ends = 2 * tokens * dim * width * (2 + 3)  # of the first layer's input no gradient is asked
    assert steps.operations(subject, CPU) == pytest.approx(3 * blocks + ends, rel=0.01)


def test_activations_are_what_the_backward_pass_needs(monkeypatch):
    """A ReLU keeps its output; it counts once, though the layer after it keeps it too."""

    class Toy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(8, 1000), nn.ReLU(), nn.Linear(1000, 1))

    toy = Toy()

    class Stub:
        objective = toy

        def advance(self, objective, batch):
            objective.layers(batch).sum().backward()

    monkeypatch.setattr(steps, "trainer_for", lambda *given: Stub())
    monkeypatch.setattr(steps, "batch_of", lambda subject, device, size: torch.randn(size, 8))
    subject = subjects.subject("specformer", tiny=True)
    assert steps.activations(subject, CPU) == 4 * (8 + 1000)


def test_the_largest_batch_is_found_to_an_eighth(monkeypatch):
    room = 77

    def trainer_for(subject, device, size):
        if size > room:
            raise torch.OutOfMemoryError
        return type("Stub", (), {"advance": lambda *given: None, "objective": None})()

    monkeypatch.setattr(steps, "trainer_for", trainer_for)
    monkeypatch.setattr(steps, "batch_of", lambda *given: None)
    monkeypatch.setattr(steps, "release", lambda device: None)
    gpu = steps.Device("cuda", "", 1, 1, 1, 1)
    assert room * 7 / 8 <= steps.largest_batch(None, gpu, 65536) <= room
    assert steps.largest_batch(None, gpu, 50) == 50


def test_what_does_not_compile_is_said(monkeypatch):
    def fails(self):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(nn.Module, "compile", fails)
    row = steps.measured(subjects.subject("specformer", tiny=True), CPU, 2, compiles=True)
    assert row["note"] == "torch.compile failed, RuntimeError: no compiler"
    assert row["compiled: samples/s"] is None and row["samples/s"] > 0


def test_generated_spectra_have_lines_where_their_redshift_puts_them():
    found, z = spectra.generated(64, torch.Generator().manual_seed(0))
    wavelength = 3600 + 0.8 * torch.arange(7781)
    near = (wavelength / (1 + z[:, None]) / 6564.6 - 1).abs() < 0.0005
    beside = (wavelength / (1 + z[:, None]) / 6564.6 - 1.005).abs() < 0.0005
    reached = near.any(1) & beside.any(1)
    mean = [
        torch.stack([flux[at].mean() for flux, at in zip(found["flux"][reached], place[reached], strict=True)])
        for place in (near, beside)
    ]
    assert reached.sum() > 30 and (mean[0] > mean[1]).float().mean() > 0.8
    assert torch.equal(found["flux"], spectra.generated(64, torch.Generator().manual_seed(0))[0]["flux"])


def test_what_is_lacking_is_one_line(monkeypatch):
    monkeypatch.setattr(measure.importlib.util, "find_spec", lambda name: None if name == "pydantic" else name)
    with pytest.raises(SystemExit, match="^measure.py: pydantic cannot be imported; install pydantic and start again$"):
        measure.main()
