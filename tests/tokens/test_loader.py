"""Batches: an order that is a function of (seed, step) alone, whatever the ranks, the restarts and the cache."""

import itertools
import threading

import numpy as np
import pytest

from skyloom.core.errors import BadConfig, BadInput
from skyloom.tokens.loader import Cached, batches, step_samples
from skyloom.tokens.store import Shards, write_shard


@pytest.fixture
def shards(tmp_path):
    paths = [tmp_path / f"{i}.h5" for i in range(3)]
    for i, path in enumerate(paths):
        targetid = 100 * i + np.arange(7 + i)
        write_shard(
            path, targetid, {"flux": targetid[:, None] + np.arange(5) / 10, "ivar": np.ones((len(targetid), 5))}
        )
    return Shards(paths)


INDICES = np.array([0, 2, 3, 5, 8, 9, 13, 14, 20, 21, 23])


def targetids(shards, **options):
    options = {"batch_size": 4, "seed": 1, "steps": 12} | options
    return [batch["targetid"].tolist() for batch in batches(shards, INDICES, ["flux"], **options)]


def test_batches_are_the_samples_they_name(shards):
    batch = next(batches(shards, INDICES, ["flux", "ivar"], batch_size=4, seed=0))
    assert set(batch) == {"flux", "ivar", "targetid"}
    assert batch["flux"].dtype == np.float32 and batch["targetid"].dtype == np.int64
    np.testing.assert_allclose(batch["flux"], batch["targetid"][:, None] + np.arange(5) / 10, rtol=1e-6)
    assert np.isin(batch["targetid"], shards.targetid[INDICES]).all()


def test_every_sample_is_seen_once_an_epoch_also_when_batches_straddle_epochs(shards):
    order = list(itertools.chain(*targetids(shards, steps=11)))  # 44 = 4 epochs of 11
    epochs = [order[start : start + 11] for start in range(0, 44, 11)]
    for epoch in epochs:
        assert sorted(epoch) == sorted(shards.targetid[INDICES])
    assert len({tuple(epoch) for epoch in epochs}) == 4  # every epoch has its own order


def test_a_batch_larger_than_the_split_goes_on_into_the_next_epochs():
    counts = np.bincount(step_samples(5, 23, seed=0, step=2), minlength=5)
    assert counts.sum() == 23 and set(counts) <= {4, 5}


def test_restarting_at_a_step_continues_the_same_order(shards):
    whole = targetids(shards)
    assert targetids(shards, start_step=5, steps=7) == whole[5:]
    assert targetids(shards, prefetch=0) == whole


def test_seeds_differ_and_repeat(shards):
    assert targetids(shards) == targetids(shards)
    assert targetids(shards) != targetids(shards, seed=2)


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_the_batch_of_one_process_without_overlap(shards, world_size):
    whole = targetids(shards)
    parts = [targetids(shards, rank=rank, world_size=world_size) for rank in range(world_size)]
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        assert all(len(share) == 4 // world_size for share in shares)
        assert sorted(itertools.chain(*shares)) == sorted(batch)


def test_without_a_number_of_steps_batches_never_end(shards):
    endless = batches(shards, INDICES, ["flux"], batch_size=4, seed=0)
    assert len(list(itertools.islice(endless, 50))) == 50
    endless.close()


def test_the_reading_thread_ends_with_the_batches(shards):
    running = threading.active_count()
    endless = batches(shards, INDICES, ["flux"], batch_size=4, seed=0)
    next(endless)
    assert threading.active_count() == running + 1
    endless.close()
    assert threading.active_count() == running


def test_an_error_while_reading_ahead_is_raised_where_batches_are_used(shards):
    shards.paths[1].write_bytes(b"")
    with pytest.raises(BadInput, match="1.h5: the shard is damaged"):
        list(batches(shards, INDICES, ["flux"], batch_size=4, seed=0, steps=10))


@pytest.mark.parametrize(("batch_size", "world_size"), [(0, 1), (5, 2), (2, 4)])
def test_a_batch_that_ranks_cannot_share_is_refused(shards, batch_size, world_size):
    with pytest.raises(BadConfig, match=f"batch_size: {batch_size} is not a positive multiple of the {world_size}"):
        batches(shards, INDICES, ["flux"], batch_size=batch_size, seed=0, world_size=world_size)


def test_an_empty_split_is_refused(shards):
    with pytest.raises(BadInput, match="the split is empty"):
        batches(shards, np.zeros(0, "i8"), ["flux"], batch_size=4, seed=0)


def test_the_cache_gives_the_same_batches_without_the_shards(shards, tmp_path):
    whole = [batch["flux"] for batch in batches(shards, INDICES, ["flux"], batch_size=4, seed=1, steps=6)]
    cached = Cached(shards, tmp_path / "cache", ["flux"])
    shards.close()
    for path in shards.paths:
        path.unlink()
    again = [batch["flux"] for batch in batches(cached, INDICES, ["flux"], batch_size=4, seed=1, steps=6)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))
    assert len(cached) == len(shards) and cached.shapes == {"flux": (5,)}
    assert cached.content_sha256 == shards.content_sha256
    np.testing.assert_array_equal(cached.rows(np.array([101, -5])), [8, -1])


def test_the_cache_is_made_once_and_anew_when_cut_short_or_when_a_shard_changed(shards, tmp_path):
    folder = tmp_path / "cache"
    Cached(shards, folder, ["flux"])
    (copy,) = folder.iterdir()
    stamp, content = copy.stat().st_mtime_ns, copy.read_bytes()
    Cached(shards, folder, ["flux"])
    assert copy.stat().st_mtime_ns == stamp
    copy.write_bytes(content[:-8])
    Cached(shards, folder, ["flux"])
    assert copy.read_bytes() == content
    write_shard(shards.paths[0], np.arange(7), {"flux": np.full((7, 5), 9.0), "ivar": np.ones((7, 5))})
    changed = Cached(Shards(shards.paths), folder, ["flux"])
    assert len(list(folder.iterdir())) == 2
    assert (changed.read(np.array([3]))["flux"] == 9).all()


def test_the_cache_names_what_it_does_not_hold(shards, tmp_path):
    with pytest.raises(BadInput, match="no dataset rgb; the shard holds flux, ivar"):
        Cached(shards, tmp_path, ["rgb"])
    with pytest.raises(BadInput, match="no dataset ivar in the cache, which holds flux"):
        Cached(shards, tmp_path, ["flux"]).read(np.array([0]), ["ivar"])
