"""Embedding files: what is written is read, what is broken is named."""

import json
import subprocess
import sys

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from skyloom.analysis.common.embeddings import (
    common_galaxies,
    open_embedding,
    open_embeddings,
    read_embedding,
    selected,
    write_embedding,
)
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
    for embedding in (got, open_embedding(tmp_path / "pca_image-image.parquet")):
        with pytest.raises(BadInput, match="pca_image-image: no embedding for targetid 31"):
            embedding.of(np.array([31]))


@pytest.fixture
def large(tmp_path):
    """20,000 galaxies in row groups of 700, not sorted; and their values by targetid."""
    rng = np.random.default_rng(4)
    targetid = rng.permutation(40_000)[:20_000]
    values = rng.normal(size=(20_000, 5)).astype("f4")
    path = tmp_path / "net-image.parquet"
    write_embedding(path, targetid, np.array(["train", "test"])[targetid % 2], values)
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path), path, row_group_size=700)
    return path, dict(zip(targetid.tolist(), values, strict=True))


def test_galaxies_are_read_in_the_order_asked_for_without_the_others(large):
    path, values = large
    asked = np.random.default_rng(5).choice(list(values), 3000)  # with repeats
    file = open_embedding(path)
    assert file.width == 5 and np.array_equal(file.targetid, sorted(values))
    assert np.array_equal(file.of(asked), [values[t] for t in asked.tolist()])
    assert file.of(asked).dtype == np.float32
    some = read_embedding(path, np.unique(asked))
    assert np.array_equal(some.targetid, np.unique(asked))
    assert np.array_equal(some.values, [values[t] for t in some.targetid.tolist()])
    assert np.array_equal(some.split == "test", some.targetid % 2 == 1)
    assert np.array_equal(read_embedding(path).values, [values[t] for t in sorted(values)])
    assert file.of(asked[:0]).shape == (0, 5)


def test_a_broken_row_hurts_only_who_asks_for_it(tmp_path):
    path = tmp_path / "net-image.parquet"
    write_embedding(path, [1, 2, 3], SPLIT, np.array([[1, 2], [np.inf, -np.inf], [3e38, 3e38]]))
    assert np.isfinite(read_embedding(path, [1, 3]).values).all()
    with pytest.raises(BadInput, match="targetid 2 is not finite"):
        read_embedding(path, [1, 2])


def test_what_the_metadata_say_of_the_model_counts_more_than_the_name(tmp_path):
    path = tmp_path / "any-name.parquet"
    write_embedding(path, [1, 2, 3], SPLIT, np.ones((3, 2)))
    table = pyarrow.parquet.read_table(path)
    assert read_embedding(path).traits == {"model": "any", "modality": "name"}
    said = {"model": "astro-clip", "modality": "spectrum", "trained": True, "shared_space": ["image", "spectrum"]}
    pyarrow.parquet.write_table(table.replace_schema_metadata({"skyloom": json.dumps(said)}), path)
    got = read_embedding(path)
    assert (got.name, got.model, got.modality, got.traits) == ("astro-clip-spectrum", *list(said.values())[:2], said)
    pyarrow.parquet.write_table(table.replace_schema_metadata({"skyloom": "{"}), path)
    with pytest.raises(BadInput, match="any-name.parquet: metadata skyloom is not JSON"):
        read_embedding(path)


def test_only_the_embeddings_chosen_are_read(tmp_path):
    write_embedding(tmp_path / "a-image.parquet", [1, 2, 3], SPLIT, np.ones((3, 2)))
    write_embedding(tmp_path / "b-image.parquet", [1, 2, 3], SPLIT, np.full((3, 2), np.nan))
    paths = [tmp_path / f"{m}-image.parquet" for m in "ab"]
    assert [e.name for e in selected(paths, ["a-image"], "umap")] == ["a-image"]
    assert [e.name for e in open_embeddings(paths)] == ["a-image", "b-image"]
    assert len(common_galaxies(open_embeddings(paths), pandas.DataFrame(index=[1, 2]))) == 2


def test_values_are_held_once(tmp_path):
    path = tmp_path / "net-image.parquet"
    rng = np.random.default_rng(0)
    write_embedding(path, np.arange(60_000), np.full(60_000, "train"), rng.random((60_000, 256), "f4"))
    code = f"""
import resource, numpy
from skyloom.analysis.common.embeddings import open_embedding
file = open_embedding({str(path)!r})
file.of(file.targetid[:10])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
file.read()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 1.6 * 60_000  # KiB: a row of values is 1 KiB


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


def test_a_name_without_modality_and_a_file_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(BadInput, match="net-image.parquet: no such file"):
        read_embedding(tmp_path / "net-image.parquet")
    write_embedding(tmp_path / "embedding.parquet", [1, 2, 3], SPLIT, np.ones((3, 2)))
    with pytest.raises(BadInput, match="MODEL-MODALITY"):
        read_embedding(tmp_path / "embedding.parquet")
