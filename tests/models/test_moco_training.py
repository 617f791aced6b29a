"""MoCo in the training engine: the same bytes again and after a break, one process or two, and an embedding."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.embedding.embed import embed_shard
from skyloom.nn.nights import NOISE
from skyloom.tokens.store import write_shard
from skyloom.training.run import train
from skyloom.training.trainer import Trainer
from tests.training.conftest import FILES, environment  # noqa: F401 (a fixture)
from tests.training.runs import change, in_processes, rows

CONFIG = {
    "kind": "moco",
    "name": "moco",
    "modality": "image",
    "threads": 1,
    "model": {"image_size": 16, "blocks": [1, 1], "width": 4, "dim": 8, "queue": 28},
    "training": {"steps": 12, "batch_size": 8, "warmup": 2, "log_every": 3, "validate_every": 6, "checkpoint_every": 5},
}


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """48 galaxies with images and their reddening, one of which is not known."""
    folder, rng = tmp_path_factory.mktemp("moco"), np.random.default_rng(0)
    targetid = 39627000000000000 + rng.permutation(1000)[:48].astype("i8")
    place = np.arange(24) - 11.5
    width = rng.uniform(1.5, 3.5, (48, 1, 1, 1))
    light = rng.lognormal(-2, 1, (48, 3, 1, 1)) * np.exp(-(place**2 + place[:, None] ** 2) / (2 * width**2))
    flux = light + np.reshape(NOISE[0][2], (3, 1, 1)) * rng.normal(size=light.shape)
    write_shard(folder / "i.h5", targetid, {"flux": flux.astype("f4")}, {"modality": "image"})
    split = np.array(["train"] * 32 + ["validation"] * 8 + ["test"] * 8)
    pq.write_table(pa.table({"targetid": targetid, "split": split}), folder / "splits.parquet")
    ebv = rng.uniform(0.01, 0.1, 48)
    ebv[3] = np.nan
    pq.write_table(pa.table({"targetid": targetid, "ebv": ebv}), folder / "galaxies.parquet")
    return folder


def arguments(survey, folder, config=CONFIG):
    """What `train` is given; the model comes into `folder`."""
    out = {name: str(folder / file) for name, file in FILES.items()}
    tokens = {"image": [str(survey / "i.h5")]}
    checkpoints, galaxies = str(folder / "checkpoints"), str(survey / "galaxies.parquet")
    return config, tokens, str(survey / "splits.parquet"), out, checkpoints, {}, galaxies


@pytest.fixture(scope="module")
def trained(survey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train(*arguments(survey, folder))
    return folder


def contents(folder):
    return [(folder / file).read_bytes() for file in FILES.values()]


def test_the_same_config_gives_the_same_bytes(survey, trained, tmp_path):
    train(*arguments(survey, tmp_path / "again"))
    assert contents(tmp_path / "again") == contents(trained)
    train(*arguments(survey, tmp_path / "other", {**CONFIG, "seed": 1}))
    assert contents(tmp_path / "other")[0] != contents(trained)[0]


def test_a_broken_off_run_ends_with_the_same_bytes(survey, trained, tmp_path, monkeypatch, caplog):
    """The queue, where it is, whose keys it holds and the network that makes them come out of the checkpoint."""
    advance = Trainer.advance

    def breaks(self, *given):
        if self.step == 7:
            raise KeyboardInterrupt
        advance(self, *given)

    monkeypatch.setattr(Trainer, "advance", breaks)
    with pytest.raises(KeyboardInterrupt):
        train(*arguments(survey, tmp_path))
    monkeypatch.undo()
    with caplog.at_level("INFO"):
        train(*arguments(survey, tmp_path))
    assert "continuing from the checkpoint of step 5" in caplog.text
    assert contents(tmp_path) == contents(trained)


def test_two_processes_train_as_one_does(survey, environment, tmp_path):  # noqa: F811
    """Batch norms see the batch of both, the queue holds the keys of both in one order; weights whole or in shards."""
    config = change(CONFIG, training={"precision": "float32"})
    train(*arguments(survey, tmp_path / "one", config))
    sharded = change(config, training={"sharding": "full"})
    ways = {"two": config, "sharded": sharded}
    jobs = [{"arguments": arguments(survey, tmp_path / way, c), "world": 2, "dies": None} for way, c in ways.items()]
    assert in_processes(jobs, tmp_path, environment)[0] == [[0, 0]] * 2
    one = rows(tmp_path / "one")
    for way in ways:
        two = rows(tmp_path / way)
        assert len(one) == len(two) == 7
        for ours, theirs in zip(one, two, strict=True):
            ours = {name: value for name, value in ours.items() if name != "split"}
            assert theirs.pop("split") and theirs == pytest.approx(ours, rel=1e-4, abs=1e-5)


def test_the_first_loss_is_against_galaxies(trained):
    first, *_, last = rows(trained, "validation")
    assert first["step"] == 0 and first["found"] < 1 and last["step"] == 12


def test_reddening_is_asked_of_the_catalogue_unless_it_is_not_needed(survey, tmp_path):
    *given, _ = arguments(survey, tmp_path, change(CONFIG, training={"steps": 1}))
    with pytest.raises(BadInput, match="this model learns from ebv of galaxies.parquet, which was not given"):
        train(*given)
    config = change(CONFIG, training={"steps": 1}, model={"augment": {"extinction": False}})
    train(config, *given[1:])
    assert (tmp_path / "model.safetensors").is_file()


def test_galaxies_are_embedded_by_the_pooled_features(survey, trained, tmp_path):
    embed_shard(trained, "image", {"image": survey / "i.h5"}, survey / "splits.parquet", tmp_path / "e.parquet")
    embedding = np.stack(pq.read_table(tmp_path / "e.parquet")["embedding"].to_numpy())
    assert embedding.shape == (48, 8) and embedding.std(0).max() > 0
