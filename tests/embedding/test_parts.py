"""Parts of tables joined: the order, the bytes, and what is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.embedding import parts
from skyloom.embedding.parts import gather_parts, write_part


@pytest.fixture
def made(tmp_path):
    """1,000 galaxies in three parts, the last of them without any; a function that writes part `number`."""
    rng = np.random.default_rng(0)
    targetid = rng.permutation(10**7)[:1000].astype("i8")
    values = rng.normal(size=(1000, 3)).astype("f4")
    owner = rng.integers(0, 2, 1000)
    split = rng.choice(["train", "validation", "test"], 1000)
    pq.write_table(pa.table({"targetid": targetid, "split": split}), tmp_path / "splits.parquet")

    def write(number, metadata=None, rows=None):
        rows = np.flatnonzero(owner == number) if rows is None else rows
        rows = rows[np.argsort(targetid[rows])]
        path = tmp_path / f"{number}.parquet"
        blank = {"embedding": np.zeros((1, 3), "f4"), "count": np.zeros(1, "i8")}
        write_part(
            path,
            targetid[rows],
            tmp_path / "splits.parquet",
            lambda places: {"embedding": values[rows[places]], "count": rows[places]},
            blank,
            metadata or {"model": "m"},
        )
        return path

    return write, targetid, values, split, [write(number) for number in range(3)]


def test_the_whole_holds_every_galaxy_once_by_rising_targetid(made, tmp_path, monkeypatch):
    _, targetid, values, split, paths = made
    monkeypatch.setattr(parts, "ROWS_PER_GROUP", 300)
    gather_parts(paths, tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    order = np.argsort(targetid)
    assert table["targetid"].to_pylist() == targetid[order].tolist()
    assert table["split"].to_pylist() == split[order].tolist()
    assert table["count"].to_pylist() == order.tolist()
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), values[order])
    assert table.schema.metadata[b"skyloom"] == b'{"model": "m"}'
    file = pq.ParquetFile(tmp_path / "all.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [300, 300, 300, 100]
    assert pq.read_metadata(paths[2]).num_rows == 0


def test_bytes_do_not_depend_on_the_order_of_parts_nor_on_their_row_groups(made, tmp_path, monkeypatch):
    write, *_, paths = made
    gather_parts(paths, tmp_path / "a")
    monkeypatch.setattr(parts, "ROWS_PER_PART_GROUP", 17)
    again = [write(number) for number in (2, 0, 1)]
    gather_parts(again, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_one_row_group_of_each_part_is_in_memory(made, tmp_path, monkeypatch):
    write, *_ = made
    monkeypatch.setattr(parts, "ROWS_PER_PART_GROUP", 10)
    monkeypatch.setattr(parts, "ROWS_PER_GROUP", 20)
    paths, most, take = [write(number) for number in range(3)], [], parts._Part.take

    def watched(part, count):
        taken = take(part, count)
        most.append(len(part._held))
        return taken

    monkeypatch.setattr(parts._Part, "take", watched)
    gather_parts(paths, tmp_path / "all.parquet")
    assert max(most) < 10 and len(most) > 50


def test_parts_that_do_not_belong_together_are_refused(made, tmp_path):
    write, targetid, *_, paths = made
    both = np.flatnonzero(np.isin(targetid, pq.read_table(paths[0])["targetid"].to_numpy()))[:1]
    write(1, rows=both)
    with pytest.raises(BadInput, match=f"0.parquet: targetid {targetid[both[0]]} is in .*1.parquet too"):
        gather_parts(paths, tmp_path / "all.parquet")
    write(1, {"model": "another"})
    with pytest.raises(BadInput, match="1.parquet: not of the model, or not of the columns, of .*0.parquet"):
        gather_parts(paths, tmp_path / "all.parquet")
    paths[1].write_bytes(paths[0].read_bytes()[:-200])
    with pytest.raises(BadInput, match="1.parquet: cannot be read as Parquet"):
        gather_parts(paths, tmp_path / "all.parquet")
    pq.write_table(pa.table({"targetid": [1]}), paths[1])
    with pytest.raises(BadInput, match="1.parquet: does not say which model it is of"):
        gather_parts(paths, tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()
