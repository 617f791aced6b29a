"""Which galaxies a shard takes, and in which order their files are read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.tokens.galaxies import blocks, shard_rows


@pytest.fixture
def catalogue(tmp_path):
    """galaxies.parquet of 500 galaxies in three shards, in row groups of 60 with different names in each."""
    rng = np.random.default_rng(0)
    n = 500
    file = np.array(["", *(f"file-{i}.h5" for i in range(20))])[
        np.minimum(rng.integers(0, 4, n) * np.arange(n) // 60, 20)
    ]
    table = {
        "targetid": rng.permutation(n),
        "image_file": file,
        "image_row": pa.array(rng.integers(0, 1000, n), pa.int32()),
        "shard": pa.array(rng.integers(0, 3, n), pa.int32()),
    }
    pq.write_table(pa.table(table), tmp_path / "galaxies.parquet", row_group_size=60)
    return tmp_path / "galaxies.parquet"


def test_a_shard_has_its_galaxies_with_data_by_file_and_row(catalogue):
    frame = pq.read_table(catalogue).to_pandas()
    seen = 0
    for shard in range(3):
        rows = shard_rows(catalogue, shard, "image")
        expected = frame[(frame["shard"] == shard) & (frame["image_file"] != "")].sort_values(
            ["image_file", "image_row"]
        )
        assert rows["file"].to_pylist() == expected["image_file"].tolist()
        assert rows["row"].to_pylist() == expected["image_row"].tolist()
        assert set(rows["targetid"].to_pylist()) == set(expected["targetid"])
        seen += len(rows)
    assert seen == (frame["image_file"] != "").sum() > 300
    assert len(shard_rows(catalogue, 99, "image")) == 0


def test_blocks_are_of_one_file_and_together_all_rows(catalogue):
    rows = shard_rows(catalogue, 1, "image")
    paths = [f"/somewhere/file-{i}.h5" for i in range(20)]
    found = list(blocks(rows, paths, 4))
    assert all(len(targetid) <= 4 for _, targetid, _ in found)
    assert np.array_equal(np.concatenate([targetid for _, targetid, _ in found]), rows["targetid"])
    assert [path.name for path, targetid, _ in found for _ in targetid] == rows["file"].to_pylist()
    assert np.array_equal(np.concatenate([row for _, _, row in found]), rows["row"])
    with pytest.raises(BadInput, match="named in galaxies.parquet but not among the 2 input files"):
        list(blocks(rows, paths[:2], 4))
    assert list(blocks(shard_rows(catalogue, 99, "image"), paths, 4)) == []
