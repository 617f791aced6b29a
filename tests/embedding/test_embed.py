import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.embed import embed
from skyloom.models import networks
from skyloom.tokens.store import Shards
from skyloom.training import train


@pytest.mark.parametrize(
    "kind, modality, dim",
    [
        ("specformer", "spectrum", 24),
        ("astrodino", "image", 16),
        ("astroclip", "spectrum", 8),
        ("astroclip", "image", 8),
    ],
)
def test_table_holds_the_models_embedding_of_every_galaxy(survey, tokens, trained, tmp_path, kind, modality, dim):
    out = tmp_path / "e.parquet"
    embed(trained / kind, modality, tokens[modality], survey / "splits.parquet", out, batch_size=7, threads=1)
    table = pq.read_table(out)
    assert table.column_names == ["targetid", "split", "embedding"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), dim)
    targetid = table["targetid"].to_numpy()
    assert (np.diff(targetid) > 0).all()
    splits = dict(zip(*[c.to_pylist() for c in pq.read_table(survey / "splits.parquet").columns], strict=True))
    assert [splits[i] for i in targetid] == table["split"].to_pylist()
    shards, (model, _) = Shards(tokens[modality]), networks.load(trained / kind)
    assert len(table) == len(shards)
    batch = {name: torch.from_numpy(v) for name, v in shards.read(shards.rows(targetid)).items()}
    expected = model.embed(batch, modality).numpy()
    assert np.stack(table["embedding"].to_numpy()) == pytest.approx(expected, abs=1e-5)


def test_bytes_do_not_depend_on_the_order_of_shards(survey, tokens, trained, tmp_path):
    for name, shards in (("a", tokens["image"]), ("b", tokens["image"][::-1])):
        embed(trained / "astrodino", "image", shards, survey / "splits.parquet", tmp_path / name, threads=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_row_groups_do_not_change_the_table(survey, tokens, trained, tmp_path, monkeypatch):
    arguments = (trained / "specformer", "spectrum", tokens["spectrum"], survey / "splits.parquet")
    embed(*arguments, tmp_path / "whole", threads=1)
    monkeypatch.setattr("skyloom.embedding.embed._ROWS_PER_GROUP", 10)
    embed(*arguments, tmp_path / "parts", threads=1)
    whole, parts = (pq.read_table(tmp_path / name) for name in ("whole", "parts"))
    assert pq.ParquetFile(tmp_path / "parts").num_row_groups == 5
    assert whole["targetid"] == parts["targetid"]
    values = [np.stack(table["embedding"].to_numpy()) for table in (whole, parts)]
    assert values[0] == pytest.approx(values[1], abs=1e-5)


@pytest.mark.parametrize("modality, pixels", [("spectrum", 200), ("image", 12)])
def test_a_fitted_pca_embeds_like_any_model(survey, tokens, outputs, tmp_path, modality, pixels):
    shape = {"pixels": pixels, "components": 4}
    config = {"kind": "pca", "modality": modality, "threads": 1, "model": shape}
    train(config, tokens, survey / "splits.parquet", outputs(tmp_path), tmp_path / "c")
    embed(tmp_path, modality, tokens[modality], survey / "splits.parquet", tmp_path / "e.parquet", threads=1)
    table = pq.read_table(tmp_path / "e.parquet").to_pandas()
    values = np.stack(table[table.split == "train"].embedding)
    assert np.allclose(values.mean(0), 0, atol=1e-3)  # centred on the training split
    assert (np.diff(values.std(0)) < 0).all()  # ordered
    assert np.abs(np.corrcoef(values.T) - np.eye(4)).max() < 1e-2  # uncorrelated


def test_wrong_requests_get_one_line_and_leave_nothing(survey, tokens, trained, tmp_path):
    out = tmp_path / "e.parquet"
    with pytest.raises(BadConfig, match="this model embeds spectrum, not image"):
        embed(trained / "specformer", "image", tokens["image"], survey / "splits.parquet", out)
    with pytest.raises(BadInput, match="no dataset flux; expected a spectrum shard"):
        embed(trained / "specformer", "spectrum", tokens["image"], survey / "splits.parquet", out)
    pq.write_table(pq.read_table(survey / "splits.parquet")[5:], tmp_path / "short.parquet")
    with pytest.raises(BadInput, match="short.parquet: 5 galaxies of the shards have no split"):
        embed(trained / "specformer", "spectrum", tokens["spectrum"], tmp_path / "short.parquet", out)
    assert [p.name for p in tmp_path.iterdir()] == ["short.parquet"]
