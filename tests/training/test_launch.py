"""As many processes as a job has GPUs, and one line when one of them fails."""

import pytest

from skyloom.core.errors import SkyloomError
from skyloom.training.launch import asked, launch, processes
from tests.training.runs import change, rows


@pytest.mark.parametrize(
    "visible, asked, expected", [("0,1", 2, 2), ("0,1", 1, 1), ("3", 4, 1), ("", 2, 1), ("-1", 2, 1), ("0,1,2,3", 3, 3)]
)
def test_there_is_a_process_for_each_gpu_that_was_asked_for_and_is_there(monkeypatch, visible, asked, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert processes(asked) == expected


def test_a_machine_that_says_nothing_of_gpus_has_those_that_torch_sees(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert [processes(asked) for asked in (0, 1, 2, 8)] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "resources, expected",
    [
        ({"gpu": 4}, 4),
        ({"gpu": 0}, 0),
        ({}, 0),
        ({"gpu": 0, "gres": "gpu"}, 1),
        ({"gpu": 0, "gres": "gpu:2"}, 2),
        ({"gpu": 0, "gres": "gpu:a100.40gb:4"}, 4),
        ({"gpu": 1, "gres": "gpu:1"}, 1),
        ({"gpu": 0, "gres": "lustre:1"}, 0),
    ],
)
def test_gpus_are_counted_as_a_scheduler_is_asked_for_them(resources, expected):
    assert asked(resources) == expected


@pytest.fixture
def request_of(configs, survey, tokens, outputs, tmp_path, environment, monkeypatch):
    """The arguments of a training of a SpecFormer."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def make(name, **training):
        config = change(configs["specformer"], training={"precision": "float32", **training})
        shards = {modality: list(paths) for modality, paths in tokens.items()}
        out = outputs(tmp_path / name)
        splits = survey / "splits.parquet"
        return {"config": config, "tokens": shards, "splits_path": splits, "out": out, "checkpoints": tmp_path / "c"}

    return make


def test_two_processes_of_a_job_train_as_one_does(request_of, tmp_path):
    """By torchrun; weights in shards there (whole ones: test_processes.py)."""
    launch(2, **request_of("two", sharding="full"))
    launch(1, **request_of("one"))
    for ours, theirs in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert ours.pop("split") == theirs.pop("split")
        assert theirs == pytest.approx(ours, rel=1e-5)


def test_what_is_wrong_in_one_of_several_processes_is_one_line(request_of, tmp_path):
    wrong = request_of("wrong", batch_size=3)
    with pytest.raises(SkyloomError) as caught:
        launch(2, **wrong)
    assert str(caught.value) == "training.batch_size: 3 is not a multiple of the 2 processes"
