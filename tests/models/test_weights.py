"""Weights that others wrote are read, and nothing that is in their files is run."""

import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from skyloom.core.errors import BadInput
from skyloom.models.common.pickles import Call, Name, told
from skyloom.models.common.weights import Weights


class Foreign:
    """A class that a reader of the file may not have; Lightning keeps such among hyperparameters."""

    def __init__(self):
        self.inner = {"a": torch.ones(2)}


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Patient:
    """Unpickled, it is given a state, and acts then."""

    def __init__(self, path):
        self.path = str(path)

    def __setstate__(self, state):
        os.mkdir(state["path"])


def lightning(tmp_path, **more):
    base = torch.arange(24, dtype=torch.float32)
    state = {
        "a.weight": base.view(4, 6),
        "a.turned": base.view(4, 6).T,
        "a.part": base[5:9],
        "b.half": torch.randn(3, 3).bfloat16(),
        "b.count": torch.tensor(7),
        "b.none": torch.zeros(0, 3),
        "c": torch.nn.Parameter(torch.randn(2)),
        "d": torch.tensor([True, False]),
    }
    path = tmp_path / "model.ckpt"
    optimizer = [{"state": {0: {"exp_avg": torch.ones(3)}}}]
    torch.save({"epoch": 3, "state_dict": state, "optimizer_states": optimizer, **more}, path)
    return path, state


def test_a_checkpoint_of_lightning_is_read_as_torch_reads_it(tmp_path):
    path, state = lightning(tmp_path, hyper_parameters={"encoder": Foreign()}, loops=Foreign())
    weights = Weights(path)
    assert set(weights) == {f"state_dict.{name}" for name in state}
    for name, tensor in state.items():
        found = weights[f"state_dict.{name}"]
        assert found.dtype == tensor.dtype and torch.equal(found, tensor.detach())
    assert set(weights.below(["model.|a", "state_dict.|c"])) == set(state)


def test_a_state_dict_with_metadata_and_order_is_read(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    torch.save(model.state_dict(), tmp_path / "plain.pt")
    found = Weights(tmp_path / "plain.pt")
    assert list(found) == list(model.state_dict())
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())


def test_safetensors_are_read(tmp_path):
    save_file({"x.y": torch.ones(2, 2)}, tmp_path / "m.safetensors")
    assert torch.equal(Weights(tmp_path / "m.safetensors").below(["x.|y"])["y"], torch.ones(2, 2))


@pytest.mark.parametrize("kind", [Evil, Patient])
def test_what_a_malicious_pickle_asks_for_is_not_done(tmp_path, kind):
    made = tmp_path / "made"
    pickle.loads(pickle.dumps(kind(made)))
    assert made.is_dir()  # it would
    made.rmdir()
    path, state = lightning(tmp_path, hyper_parameters=kind(made), callbacks={"x": [kind(made)]})
    assert torch.equal(Weights(path)["state_dict.a.weight"], state["a.weight"]) and not made.exists()
    torch.save({"state_dict": kind(made)}, path)
    assert not len(Weights(path)) and not made.exists()
    for protocol in range(6):
        told(pickle.dumps({"a": kind(made), "b": (1, [2.5, None], {"c"}, b"d")}, protocol))
        assert not made.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_told_as_it_is(protocol):
    value = {"a": [1, 2**70, -3.5, None, True], "b": ({}, [], ()), "c": "é" * 300, (1, 2): {"d": b"e"}, "f": [[1]] * 3}
    value["again"] = value["a"]
    if protocol >= 3:  # before, bytes are made by a call
        assert told(pickle.dumps(value, protocol)) == value
    found = told(pickle.dumps({"a": Evil("x")}, protocol))["a"]
    assert isinstance(found, Call) and found.of in (Name("posix.mkdir"), Name("nt.mkdir"))


def damaged(path, change):
    """The archive with its pickle, or another member, changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    compression = change(members, pickled) or zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)


def _longer(members, pickled):
    members[pickled] = members[pickled].replace(b"K\x18", b"K\x30")  # 24 numbers are there, 48 said


def _short(members, pickled):
    members[pickled] = members[pickled][:-20]


def _beyond(members, pickled):
    members[pickled] = members[pickled].replace(b"K\x05K\x04\x85", b"K\x15K\x04\x85")  # from the 21st of 24, 4 numbers


def _missing(members, pickled):
    del members[next(name for name in members if name.endswith("/data/0"))]


def _two(members, pickled):
    members["other/data.pkl"] = b"."


def _compressed(members, pickled):
    return zipfile.ZIP_DEFLATED


@pytest.mark.parametrize(
    "change, message",
    [
        (_longer, "has 96 bytes, expected 192"),
        (_short, "pickle"),
        (_beyond, "a.part is not one that can be read"),
        (_missing, "data/0 is missing"),
        (_two, "2 pickles in the zip"),
        (_compressed, "is compressed"),
    ],
)
def test_a_damaged_checkpoint_gets_one_line(tmp_path, change, message):
    path, state = lightning(tmp_path)
    damaged(path, change)
    with pytest.raises(BadInput, match=message) as caught:
        Weights(path).below(["state_dict.|a.weight"])
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_what_is_no_file_of_weights_gets_one_line(tmp_path):
    (tmp_path / "x").write_bytes(b"<html>503</html>")
    for path, message in ((tmp_path / "x", "neither safetensors nor"), (tmp_path / "y", "no such file")):
        with pytest.raises(BadInput, match=message):
            Weights(path)
    path, _ = lightning(tmp_path)
    with pytest.raises(BadInput, match="none of teacher.cls_token is among its 8 tensors"):
        Weights(path).below(["teacher.|cls_token"])
