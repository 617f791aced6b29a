"""Embeddings for embedding-atlas and hyrax: what those read is what went in."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from skyloom.core.errors import BadInput
from skyloom.explore import atlas
from skyloom.explore.index import build_index, open_index
from skyloom.explore.lance_results import write_lance
from skyloom.explore.scan import Scan
from tests.explore.toy import N, embeddings


def values(results) -> np.ndarray:
    return np.stack(pq.read_table(results[0] / "toy/embeddings/clip-image.parquet")["embedding"].to_numpy())


@pytest.fixture(scope="module")
def made(results, tmp_path_factory):
    """The file for embedding-atlas, with a map of all galaxies."""
    folder, root = tmp_path_factory.mktemp("atlas"), results[0] / "toy"
    targetid = results[1]["targetid"]
    places = {"x": np.arange(N, dtype="f4"), "y": -np.arange(N, dtype="f4")}
    own = pa.table({"model": ["clip"] * N, "modality": ["image"] * N, "targetid": targetid[::-1].copy(), **places})
    other = pa.table({"model": ["net"] * N, "modality": ["image"] * N, "targetid": targetid, **places})
    pq.write_table(pa.concat_tables([other, own]), folder / "umap.parquet")
    table, shard = root / "embeddings/clip-image.parquet", root / "tokens/image/shard-0000.h5"
    build_index(table, folder / "i.usearch")
    index, galaxies = open_index(folder / "i.usearch", table), root / "catalog/galaxies.parquet"
    atlas.write_atlas(galaxies, table, index, folder / "umap.parquet", [shard], folder / "a.parquet")
    atlas.write_atlas(galaxies, table, Scan(table), None, [], folder / "plain.parquet")
    return folder


def test_vectors_places_neighbours_and_pictures(results, made):
    table = pq.read_table(made / "a.parquet")
    vectors = np.stack(table["vector"].to_numpy())
    np.testing.assert_array_equal(vectors, values(results))
    np.testing.assert_array_equal(table["x"].to_numpy(), np.arange(N)[::-1])
    assert table["z"].to_pylist() == results[1]["z"].tolist()
    unit = vectors / np.linalg.norm(vectors.astype("f8"), axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit.T), axis=1)[:, : atlas.NEIGHBOURS]
    found = table["neighbors"].to_pylist()
    ids = np.array([entry["ids"] for entry in found])
    assert (ids[:, 0] == np.arange(N)).all() and (ids == order).mean() > 0.95
    distances = np.array([entry["distances"] for entry in found])
    assert (np.diff(distances, axis=1) >= 0).all() and (distances[:, 0] == 0).all()
    from skyloom.tokens.store import Shards

    rgb = Shards([results[0] / "toy/tokens/image/shard-0000.h5"]).read(np.array([3]), ["rgb"])["rgb"][0]
    picture = np.asarray(Image.open(io.BytesIO(table["image"][3].as_py()["bytes"])))
    np.testing.assert_allclose(picture, 255 * np.moveaxis(rgb, 0, -1)[::-1], atol=0.51)


def test_without_a_map_and_pictures_there_are_principal_components(made):
    table = pq.read_table(made / "plain.parquet")
    assert "image" not in table.column_names
    x, y = (table[name].to_numpy() for name in "xy")
    assert x.std() >= y.std() > 0 and abs(np.corrcoef(x, y)[0, 1]) < 1e-3


def test_pictures_are_averaged():
    image = np.random.default_rng(0).random((3, 97, 97))
    assert atlas.smaller(image, 48).shape == (3, 48, 48) and atlas.smaller(image, 200).shape == (3, 97, 97)
    np.testing.assert_allclose(atlas.smaller(image, 48)[:, 0, 0], image[:, :2, :2].mean(axis=(1, 2)))


def test_embeddings_of_other_galaxies_are_refused(results, tmp_path):
    other = embeddings(tmp_path / "clip-image.parquet", np.ones((3, 8), "f4"))
    with pytest.raises(BadInput, match="not of the galaxies"):
        atlas.write_atlas(results[0] / "toy/catalog/galaxies.parquet", other, Scan(other), None, [], tmp_path / "a")


def test_embedding_atlas_opens_it(made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = pytest.importorskip("embedding_atlas.data_source")
    from embedding_atlas.utils import load_pandas_data

    frame = load_pandas_data(str(made / "a.parquet"))
    columns = {"x": "x", "y": "y", "neighbors": "neighbors", "image": "image", "vector": "vector"}
    assert set(columns) <= set(frame.columns) and len(frame) == N
    opened = source.DataSource("toy", frame, {"props": {"data": columns}})
    opened.export_to_folder(str(tmp_path), str(tmp_path / "site"))
    back = pq.read_table(tmp_path / "site/data/dataset.parquet")
    assert back["neighbors"][0].as_py()["ids"][0] == 0 and back["image"][0].as_py()["bytes"][:4] == b"\x89PNG"


def test_lance_opens_what_hyrax_would(results, tmp_path):
    lance = pytest.importorskip("lance")
    table = results[0] / "toy/embeddings/clip-image.parquet"
    for _ in range(2):  # a second time it replaces the first
        assert write_lance(table, tmp_path / "out/manifest.csv") == N
    found = lance.dataset(str(tmp_path / "out/lance_db/results.lance"))
    assert found.count_rows() == N and found.schema.names == ["object_id", "data"]
    told = json.loads(found.schema.metadata[b"data"])
    assert told == {"tensor_shape": [8], "tensor_dtype": "float32"}
    np.testing.assert_array_equal(np.stack(found.to_table()["data"].to_numpy()), values(results))
    assert "lance_db/results.lance/" in (tmp_path / "out/manifest.csv").read_text()


def test_hyrax_opens_it(results, tmp_path):
    pytest.importorskip("lance")
    hyrax = pytest.importorskip("hyrax.datasets.result_dataset")
    write_lance(results[0] / "toy/embeddings/clip-image.parquet", tmp_path / "manifest.csv")
    opened = hyrax.ResultDataset({}, tmp_path)
    assert len(opened) == N and opened.ids() == [str(10 + i) for i in range(N)]
    np.testing.assert_array_equal(opened[5]["data"], values(results)[5])
    np.testing.assert_array_equal(opened.get_data(7), values(results)[7])
