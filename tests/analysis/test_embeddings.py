"""Embedding files: what is written is read, what is broken is named."""

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from skyloom.analysis.common.embeddings import common_galaxies, read_embedding, write_embedding
from skyloom.core.errors import BadInput

SPLIT = np.array(["train", "test", "train"])


def test_round_trip_sorted_by_targetid(tmp_path):
    values = np.arange(12, dtype="f4").reshape(3, 4)
    write_embedding(tmp_path / "pca_image-image.parquet", [30, 10, 20], SPLIT, values)
    got = read_embedding(tmp_path / "pca_image-image.parquet")
    assert (got.model, got.modality, got.name) == ("pca_image", "image", "pca_image-image")
    assert got.targetid.tolist() == [10, 20, 30] and got.split.tolist() == ["test", "train", "train"]
    assert np.array_equal(got.values, values[[1, 2, 0]])
    assert np.array_equal(got.of(np.array([30, 20])), values[[0, 2]])
    with pytest.raises(BadInput, match="targetid 31"):
        got.of(np.array([31]))


def test_common_galaxies_are_in_every_table(tmp_path):
    write_embedding(tmp_path / "a-image.parquet", [1, 2, 3], SPLIT, np.ones((3, 2)))
    write_embedding(tmp_path / "b-image.parquet", [2, 3, 4], SPLIT, np.ones((3, 2)))
    embeddings = [read_embedding(tmp_path / f"{m}-image.parquet") for m in "ab"]
    assert common_galaxies(embeddings, pandas.DataFrame(index=[5, 3, 2, 1])).tolist() == [2, 3]
    with pytest.raises(BadInput, match="a-image, b-image"):
        common_galaxies(embeddings, pandas.DataFrame(index=[9]))


def broken(kind, path):
    values = np.ones((3, 2), dtype="f4")
    if kind == "nan":
        values[1, 0] = np.nan
    write_embedding(path, [7, 7, 8] if kind == "duplicate" else [7, 8, 9], SPLIT, values)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    if kind == "column":
        pyarrow.parquet.write_table(pyarrow.table({"targetid": [1]}), path)
    if kind == "list":
        table = {"targetid": [1], "split": ["test"], "embedding": pyarrow.array([[1.0, 2.0]])}
        pyarrow.parquet.write_table(pyarrow.table(table), path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "targetid 8 is not finite"),
        ("duplicate", "targetid 7 occurs more than once"),
        ("truncated", "Parquet"),
        ("column", "split"),
        ("list", "fixed-size list"),
    ],
)
def test_a_broken_file_is_named(tmp_path, kind, message):
    path = tmp_path / "specformer-spectrum.parquet"
    broken(kind, path)
    with pytest.raises(BadInput, match=f"specformer-spectrum.parquet.*{message}"):
        read_embedding(path)


def test_a_name_without_modality_is_refused(tmp_path):
    with pytest.raises(BadInput, match="MODEL-MODALITY"):
        read_embedding(tmp_path / "embedding.parquet")
