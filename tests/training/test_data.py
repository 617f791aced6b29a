"""Samples: what a batch holds, which galaxies there are, and which of them validate."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.tokens.splits import read_splits
from skyloom.tokens.store import write_shard
from skyloom.training.data import Samples

INPUTS = {"spectrum": ("flux", "ivar"), "image": ("rgb",)}


@pytest.fixture
def two(tmp_path):
    """Three modalities with datasets of the same name; some galaxies lack one."""
    have = {"spectrum": range(0, 30), "hsc_image": range(5, 30), "lsst": range(10, 35)}
    tokens = {}
    for number, (modality, galaxies) in enumerate(have.items()):
        targetid = np.array(galaxies)[::-1] * 7
        name = "values" if modality == "lsst" else "flux"
        values = np.full((len(targetid), 2 + number), 100.0 * number) + targetid[:, None]
        tokens[modality] = [tmp_path / f"{modality}.h5"]
        write_shard(tokens[modality][0], targetid, {name: values}, {"modality": modality})
    split = np.array(["train", "validation", "test"] * 12)[:36]
    pq.write_table(pa.table({"targetid": np.arange(36) * 7, "split": split}), tmp_path / "splits.parquet")
    inputs = {"spectrum": ("flux",), "hsc_image": ("flux",), "lsst": ("values",)}
    return tokens, inputs, tmp_path / "splits.parquet"


@pytest.mark.parametrize("resident", [True, False])
def test_datasets_of_one_name_in_several_modalities_stay_apart(two, resident):
    samples = Samples(*two, resident=resident)
    assert samples.targetid.tolist() == [7 * i for i in range(10, 30)]  # the strict intersection
    indices = samples.of("train")[:3]
    batch = samples.batch(indices)
    assert batch.targetid.tolist() == samples.targetid[indices].tolist() and len(batch) == 3
    for number, (modality, name) in enumerate((("spectrum", "flux"), ("hsc_image", "flux"), ("lsst", "values"))):
        expected = (samples.targetid[indices] + 100.0 * number)[:, None] * np.ones(2 + number)
        np.testing.assert_array_equal(batch[modality][name].numpy(), expected)
        assert batch.present[modality].all()


@pytest.mark.parametrize("resident", [True, False])
def test_a_galaxy_that_lacks_a_modality_can_stay(two, resident, caplog):
    with caplog.at_level("INFO"):
        samples = Samples(*two, resident=resident, incomplete="keep")
    assert samples.targetid.tolist() == [7 * i for i in range(35)]
    assert "25 with hsc_image, 25 with lsst, 30 with spectrum; 35 used (incomplete: keep)" in caplog.text
    indices = samples.learnt()
    batch = samples.batch(indices)
    for modality, galaxies in (("spectrum", range(0, 30)), ("hsc_image", range(5, 30)), ("lsst", range(10, 35))):
        there = np.isin(indices, galaxies)
        assert batch.present[modality].tolist() == there.tolist()
        for tensor in batch[modality].values():
            assert not tensor[~there].any() and tensor[there].any(1)[1:].all()
    streamed = next(samples.shuffled(indices, 8, 0, 3, 4, 0, 1))
    assert (
        streamed.targetid.tolist()
        == samples.batch(np.searchsorted(samples.targetid, streamed.targetid)).targetid.tolist()
    )


def test_with_galaxies_kept_a_modality_may_have_no_shard_at_all(two):
    tokens, inputs, splits = two
    batch = Samples({"spectrum": tokens["spectrum"]}, inputs, splits, incomplete="keep").batch(np.arange(2) * 3)
    assert "lsst" not in batch and batch.present["spectrum"].all()
    with pytest.raises(BadInput, match="no hsc_image tokens were given"):
        Samples({"spectrum": tokens["spectrum"]}, inputs, splits)
    with pytest.raises(BadInput, match="tokens were given, but this model needs them"):
        Samples({}, inputs, splits, incomplete="keep")


def test_a_galaxy_that_is_not_held_is_an_error(two):
    """A test galaxy: only training and validation are held. It gave the last galaxy held."""
    samples = Samples(*two, resident=True)
    test = samples.of("test")[0]
    with pytest.raises(BadInput, match=f"targetid {samples.targetid[test]}: not among the training and validation"):
        samples.batch(np.array([samples.of("train")[0], test]))
    assert Samples(*two, resident=False).batch(np.array([test])).targetid == samples.targetid[test]


def test_labels_and_statistics_are_part_of_a_sample(two, tmp_path):
    galaxies, statistics = tmp_path / "galaxies.parquet", tmp_path / "statistics.json"
    targetid = np.arange(40)[::-1] * 7
    z = np.where(targetid % 2, np.nan, targetid / 100)
    pq.write_table(
        pa.table({"targetid": targetid, "z": z, "n": targetid, "name": ["x"] * 40, "gap": pa.array([None] * 40, "f8")}),
        galaxies,
    )
    statistics.write_text(json.dumps({"modality": "lsst", "values": {"mean": 3.5}}))
    options = {"galaxies_path": galaxies, "statistics": {"lsst": statistics, "sed": "not read"}}
    samples = Samples(*two, resident=True, labels=("z", "n", "gap"), **options)
    batch = next(samples.shuffled(samples.of("train"), 5, 0, 0, 1, 0, 1))
    expected = np.where(batch.targetid % 2 == 1, np.nan, batch.targetid / 100).astype("f4")
    np.testing.assert_array_equal(batch.labels["z"].numpy(), expected)
    np.testing.assert_array_equal(batch.labels["n"].numpy(), batch.targetid.numpy())
    assert batch.labels["gap"].isnan().all() and batch.statistics == {"lsst": json.loads(statistics.read_text())}
    assert samples.content != Samples(*two).content  # they decide the result
    with pytest.raises(BadInput, match="galaxies.parquet: no column mass, which this model learns from; it has targ"):
        Samples(*two, labels=("mass",), galaxies_path=galaxies)
    with pytest.raises(BadInput, match="'x' of column name is neither a number nor one of GALAXY"):
        Samples(*two, labels=("name",), galaxies_path=galaxies)
    with pytest.raises(BadInput, match="learns from z of galaxies.parquet, which was not given"):
        Samples(*two, labels=("z",))


def strips(count):
    """Galaxies in the order of the sky: neighbours have neighbouring identifiers."""
    return 39627000000000000 + np.arange(count) * 100


def survey_of(tmp_path, targetid):
    write_shard(tmp_path / "s.h5", targetid, {"values": np.zeros((len(targetid), 1))}, {"modality": "lsst"})
    split = np.where(np.arange(len(targetid)) % 10 < 9, "validation", "train")
    pq.write_table(pa.table({"targetid": targetid, "split": split}), tmp_path / "splits.parquet")
    return Samples({"lsst": [tmp_path / "s.h5"]}, {"lsst": ("values",)}, tmp_path / "splits.parquet")


def test_galaxies_that_choose_the_best_step_are_spread_over_the_sky(tmp_path):
    samples = survey_of(tmp_path, strips(4000))
    chosen = samples.chosen("validation", 400)
    assert len(set(chosen.tolist())) == 400 and set(chosen.tolist()) <= set(samples.of("validation").tolist())
    in_tenths = np.bincount(chosen // 400, minlength=10)
    assert in_tenths.min() >= 22  # 40 +- 6 expected; the first 400 would all be in two of ten
    assert len(samples.chosen("validation", 10**6)) == 3600


def test_they_stay_when_the_survey_grows(tmp_path):
    small = survey_of(tmp_path, strips(2000))
    before = set(small.targetid[small.chosen("validation", 200)].tolist())
    large = survey_of(tmp_path, strips(2200))  # by a tenth
    after = set(large.targetid[large.chosen("validation", 200)].tolist())
    assert len(before & after) > 160 and all(t >= small.targetid[-1] for t in after - before)


def test_splits_are_those_of_the_table(tmp_path):
    rng = np.random.default_rng(0)
    targetid = rng.permutation(5000)
    split = rng.choice(["train", "test", "validation", "other"], 5000)
    pq.write_table(pa.table({"targetid": targetid, "split": split}), tmp_path / "s.parquet", row_group_size=600)
    splits = read_splits(tmp_path / "s.parquet")
    for name in ("train", "test", "validation", "other", "none"):
        assert splits.targetid[splits.of(name)].tolist() == sorted(targetid[split == name].tolist())
    pq.write_table(pa.table({"targetid": targetid[:0], "split": split[:0]}), tmp_path / "s.parquet")
    assert len(read_splits(tmp_path / "s.parquet").of("train")) == 0


def test_pairs_are_galaxies_with_every_modality(survey, tokens):
    assert len(Samples(tokens, INPUTS, survey / "splits.parquet").targetid) == 46
    alone = Samples(tokens, {"spectrum": ("flux",)}, survey / "splits.parquet")
    assert len(alone.targetid) == 48 and torch.is_tensor(alone.batch(np.arange(1))["spectrum"]["flux"])
