"""Every galaxy has one shard, whose job reads the part that the galaxy is in."""

import numpy as np
import pytest

from skyloom.settings.sharding import parts_of_shard, shard_of


@pytest.mark.parametrize(("parts", "shards"), [(7, 3), (3, 3), (1, 4), (3, 8), (2, 5)])
def test_every_row_goes_to_a_shard_that_reads_its_part_and_shards_are_alike_in_size(parts, shards):
    rows, sizes = 40, np.zeros(shards, int)
    for part in range(parts):
        found = np.broadcast_to(shard_of(part, np.arange(rows), rows, parts, shards), rows)
        assert (np.diff(found) >= 0).all()  # in stretches: a shard reads rows that lie together
        for shard in np.unique(found):
            assert part in parts_of_shard(parts, shards, shard)
        sizes += np.bincount(found, minlength=shards)
    assert sizes.sum() == parts * rows and sizes.min() >= rows // -(-shards // parts)
