"""Embeddings by shard: every galaxy, the model's own numbers, the same bytes in any order."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.embed import embed_shard
from skyloom.embedding.parts import gather_parts
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.tokens.modalities import one_by_modality
from skyloom.tokens.store import Shards, write_shard
from skyloom.training.run import train


@pytest.fixture
def embed(survey, tokens, tmp_path):
    """A function (model folder, name) -> the joined table of all shards."""

    def embed(folder, name, given=tokens, **options):
        parts = []
        for number, path in enumerate(given[name]):
            parts.append(tmp_path / f"part-{number}.parquet")
            embed_shard(folder, name, {name: path}, survey / "splits.parquet", parts[-1], **options)
        gather_parts(parts, tmp_path / "e.parquet")
        return pq.read_table(tmp_path / "e.parquet")

    return embed


@pytest.mark.parametrize(
    "kind, modality, dim",
    [
        ("specformer", "spectrum", 64),
        ("astrodino", "image", 16),
        ("astroclip", "spectrum", 8),
        ("astroclip", "image", 8),
    ],
)
def test_table_holds_the_models_embedding_of_every_galaxy(survey, tokens, trained, embed, kind, modality, dim):
    table = embed(trained / kind, modality, batch_size=7)
    assert table.column_names == ["targetid", "split", "embedding"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), dim)
    targetid = table["targetid"].to_numpy()
    assert (np.diff(targetid) > 0).all()
    splits = dict(zip(*[c.to_pylist() for c in pq.read_table(survey / "splits.parquet").columns], strict=True))
    assert [splits[i] for i in targetid] == table["split"].to_pylist()
    shards, (model, card) = Shards(tokens[modality]), networks.load(trained / kind)
    assert len(table) == len(shards)
    read = shards.read(shards.rows(targetid))
    batch = Batch({modality: {name: torch.from_numpy(v) for name, v in read.items() if name != "targetid"}})
    expected = model.embed(batch, modality).numpy()
    assert np.stack(table["embedding"].to_numpy()) == pytest.approx(expected, abs=1e-5)
    assert json.loads(table.schema.metadata[b"skyloom"]) == {
        "model": kind,
        "modality": modality,
        "kind": kind,
        "trained": True,
        "baseline": False,
        "shared_space": kind == "astroclip",
        "ordered": False,
        "backbones": kind == "astroclip",
        "weights_sha256": card["weights_sha256"],
    }


def test_the_same_shard_gives_the_same_bytes_and_an_empty_one_a_table(survey, tokens, trained, tmp_path):
    arguments = (trained / "specformer", "spectrum", {"spectrum": tokens["spectrum"][0]}, survey / "splits.parquet")
    for name in "ab":
        embed_shard(*arguments, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    nobody = {"flux": np.zeros((0, 200)), "ivar": np.zeros((0, 200))}
    write_shard(tmp_path / "none.h5", np.zeros(0, "i8"), nobody, {"modality": "spectrum"})
    embed_shard(*arguments[:2], {"spectrum": tmp_path / "none.h5"}, arguments[3], tmp_path / "empty")
    assert pq.read_schema(tmp_path / "empty").equals(pq.read_schema(tmp_path / "a"), check_metadata=True)
    gather_parts([tmp_path / "empty", tmp_path / "a"], tmp_path / "whole")
    assert pq.read_table(tmp_path / "whole").equals(pq.read_table(tmp_path / "a"))


def test_row_groups_do_not_change_the_table(survey, trained, embed, monkeypatch):
    whole = embed(trained / "specformer", "spectrum")
    monkeypatch.setattr("skyloom.embedding.parts.ROWS_PER_PART_GROUP", 10)
    parts = embed(trained / "specformer", "spectrum")
    assert whole["targetid"] == parts["targetid"]
    values = [np.stack(table["embedding"].to_numpy()) for table in (whole, parts)]
    assert values[0] == pytest.approx(values[1], abs=1e-5)


@pytest.mark.parametrize("modality, pixels", [("spectrum", 0), ("image", 12)])
def test_a_fitted_pca_embeds_like_any_model(survey, tokens, outputs, embed, tmp_path, modality, pixels):
    shape = {"pixels": pixels, "components": 4}
    config = {"kind": "pca", "modality": modality, "threads": 1, "model": shape}
    train(config, tokens, survey / "splits.parquet", outputs(tmp_path / "pca"), tmp_path / "c")
    table = embed(tmp_path / "pca", modality).to_pandas()
    values = np.stack(table[table.split == "train"].embedding)
    assert np.allclose(values.mean(0), 0, atol=1e-3)  # centred on the training split
    assert (np.diff(values.std(0)) < 0).all()  # ordered
    assert np.abs(np.corrcoef(values.T) - np.eye(4)).max() < 1e-2  # uncorrelated
    card = json.loads((tmp_path / "pca" / "model.json").read_text())
    assert card["name"] == "pca" and card["traits"]["baseline"] and card["traits"]["ordered"]


def test_two_alignments_with_other_backbones_stand_side_by_side(
    survey, tokens, trained, configs, outputs, embed, tmp_path
):
    """PCA of images with a SpecFormer, beside the AstroDINO with the same SpecFormer."""
    shape = {"kind": "pca", "modality": "image", "threads": 1, "model": {"components": 4}}
    train(shape, tokens, survey / "splits.parquet", outputs(tmp_path / "pca_image"), tmp_path / "c")
    backbones = {"image": tmp_path / "pca_image", "spectrum": trained / "specformer"}
    other = {**configs["astroclip"], "name": "other"}
    train(other, tokens, survey / "splits.parquet", outputs(tmp_path / "other"), tmp_path / "c", backbones)
    tables = {name: embed(folder, "image") for name, folder in (("", trained / "astroclip"), ("o", tmp_path / "other"))}
    assert tables[""]["targetid"] == tables["o"]["targetid"]
    said = [json.loads(table.schema.metadata[b"skyloom"])["model"] for table in tables.values()]
    assert said == ["astroclip", "other"]
    lengths = np.linalg.norm(np.stack(tables["o"]["embedding"].to_numpy()), axis=1)
    assert lengths == pytest.approx(np.ones(len(lengths)), abs=1e-5)
    assert networks.load(tmp_path / "other")[1]["config"]["backbones"]["image"]["kind"] == "pca"


def test_wrong_requests_get_one_line_and_leave_nothing(survey, tokens, trained, tmp_path):
    out, splits, image = tmp_path / "e.parquet", survey / "splits.parquet", tokens["image"][0]
    with pytest.raises(BadConfig, match="this model embeds spectrum, not image"):
        embed_shard(trained / "specformer", "image", {"image": image}, splits, out)
    with pytest.raises(BadConfig, match="spectrum: is made of spectrum, but no spectrum tokens were given"):
        embed_shard(trained / "specformer", "spectrum", {"image": image}, splits, out)
    with pytest.raises(BadInput, match="no dataset ivar; expected a spectrum shard"):
        embed_shard(trained / "specformer", "spectrum", {"spectrum": image}, splits, out)
    spectra = tokens["spectrum"][0]
    pq.write_table(pq.read_table(splits)[5:], tmp_path / "short.parquet")
    with pytest.raises(BadInput, match="short.parquet: 5 galaxies of the shards have no split"):
        embed_shard(trained / "specformer", "spectrum", {"spectrum": spectra}, tmp_path / "short.parquet", out)
    with pytest.raises(BadInput, match="s1.h5: a second shard of spectrum"):
        one_by_modality(tokens["spectrum"])
    assert [p.name for p in tmp_path.iterdir()] == ["short.parquet"]
