import pytest
import torch

from skyloom.training.checkpoints import Checkpoints, digest


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(3, 4, generator=generator),
        "b": torch.arange(5),
        "c": torch.tensor(1.5),
        "d": torch.zeros(0),
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path, tensors):
    store = Checkpoints(tmp_path / "c", "run")
    assert store.load() is None
    store.save(7, tensors, {"rows": [{"loss": 0.1 + 0.2}]})
    found, state = store.load()
    assert digest(found) == digest(tensors)
    assert state == {"rows": [{"loss": 0.1 + 0.2}], "step": 7}


def test_the_newest_two_are_kept_and_nothing_else(tmp_path, tensors):
    store = Checkpoints(tmp_path, "run")
    for step in (5, 10, 15):
        store.save(step, tensors, {})
    assert names(tmp_path / "run") == ["step-00000010.safetensors", "step-00000015.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "text"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path, tensors, damage, caplog):
    store = Checkpoints(tmp_path, "run")
    for step in (5, 10):
        store.save(step, tensors, {})
    newest = tmp_path / "run" / "step-00000010.safetensors"
    whole = newest.read_bytes()
    flipped = bytearray(whole)
    flipped[-30] ^= 1
    newest.write_bytes({"cut": whole[:-9], "empty": b"", "flipped": bytes(flipped), "text": b"no tensors here"}[damage])
    assert store.load()[1]["step"] == 5
    assert "step-00000010.safetensors: the checkpoint is damaged" in caplog.text
    store.save(8, tensors, {})  # the damaged one must not push out good ones
    assert names(tmp_path / "run") == ["step-00000005.safetensors", "step-00000008.safetensors"]


def test_a_run_neither_uses_nor_removes_the_checkpoints_of_another(tmp_path, tensors, caplog):
    other = Checkpoints(tmp_path / "c", "other")
    other.save(10, tensors, {})
    store = Checkpoints(tmp_path / "c", "run")
    with caplog.at_level("INFO"):
        assert store.load() is None
    assert "also of 1 runs with another config, data or code, which stay" in caplog.text
    for step in (5, 15, 25):
        store.save(step, tensors, {})
    store.remove()
    assert names(tmp_path / "c") == ["other"] and other.load()[1]["step"] == 10
    other.remove()
    assert not (tmp_path / "c").exists()


def test_keys_that_begin_alike_do_not_mix(tmp_path, tensors, caplog):
    one, two = (Checkpoints(tmp_path, 16 * "a" + end) for end in "bc")
    one.save(10, tensors, {})
    assert two.load() is None and "it is of another run" in caplog.text
    assert one.load()[1]["step"] == 10
