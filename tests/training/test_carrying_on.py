"""kill -9 in the middle of a step: as many processes end with the same bytes, another number with the same model."""

import signal

import pytest

from tests.training.runs import change
from tests.training.test_processes import same

WAYS = ("none", "full")


@pytest.fixture(scope="module")
def config(configs):
    """A SpecFormer with drop path, by whether its weights are sharded."""
    shape = {"drop_path": 0.4, "layers": 2}
    training = {"precision": "float32", "steps": 12, "log_every": 4, "checkpoint_every": 5, "batch_size": 12}
    return {way: change(configs["specformer"], model=shape, training={**training, "sharding": way}) for way in WAYS}


@pytest.fixture(scope="module")
def folders(config, several, tmp_path_factory):
    """(who, way) -> a model: of three processes, of three of which one was killed, of others carrying on."""
    folder = tmp_path_factory.mktemp("carried")
    jobs, expected, found = [], [], {}

    def job(who, way, checkpoints, world, *dies):
        found[who, way] = folder / f"{who}-{way}"
        jobs.append((config[way], found[who, way], folder / checkpoints, world, *dies))
        expected.append([world, *dies])

    for way in WAYS:
        job("three", way, "c", 3)
        job("killed", way, f"three-{way}", 3, (1, 8))
        job("three again", way, f"three-{way}", 3)
        job("killed", way, f"two-{way}", 2, (0, 8))
        job("one after two", way, f"two-{way}", 1)
        job("killed", way, f"one-{way}", 1, (0, 8))
        job("two after one", way, f"one-{way}", 2)
        job("one", way, "c", 1)
    for codes, (world, *dies) in zip(several(*jobs), expected, strict=True):
        if dies:  # the others lose it, or are killed too
            assert codes[dies[0][0]] == -signal.SIGKILL and all(codes)
        else:
            assert codes == [0] * world
    assert several.said.count("continuing from the checkpoint of step 5") == 2 * (3 + 1 + 2)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_as_many_processes_end_with_the_same_bytes(folders, contents, way):
    assert not folders["killed", way].exists()
    assert contents(folders["three again", way]) == contents(folders["three", way])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["one after two", "two after one"])
def test_another_number_of_processes_carries_on(folders, who, way):
    same(folders["one", way], folders[who, way])


@pytest.mark.parametrize("way", WAYS)
def test_three_processes_train_as_one_does(folders, way):
    """Of the 8 validation galaxies three can share 6: losses of training are compared."""
    same(folders["one", way], folders["three", way], "train")
