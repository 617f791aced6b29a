"""A model of a user's own that takes several modalities: trained, embedded by modality and jointly, and asked."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skyloom.core.errors import BadConfig
from skyloom.embedding.embed import embed_shard, predict_shard
from skyloom.embedding.parts import gather_parts
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.tokens.store import write_shard
from skyloom.training.run import train
from tests.embedding.toy import TEXT

CONFIG = {"kind": "toy_masked", "name": "toy", "modalities": ["sfh", "lsst"], "threads": 1}
FILES = {"model": "model.safetensors", "card": "model.json", "metrics": "metrics.jsonl"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two shards of 40 galaxies; every third has no history, every fifth no photometry; half the redshifts known."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "kinds").mkdir()
    (folder / "kinds" / "toy_masked.py").write_text(TEXT)
    kinds.extend([str(folder / "kinds")])
    rng = np.random.default_rng(0)
    targetid, values = rng.permutation(10**6)[:80], rng.normal(size=(80, 4)).astype("f4")
    z = np.where(np.arange(80) % 2, np.nan, values @ [1, 2, 0, -1])
    lacks = {"sfh": 3, "lsst": 5}
    for modality, every in lacks.items():
        for number in range(2):
            rows = np.array([i for i in range(40 * number, 40 * number + 40) if i % every])
            path = folder / f"{modality}-{number}.h5"
            write_shard(path, targetid[rows], {"values": values[rows]}, {"modality": modality})
    split = np.array(["train"] * 60 + ["validation"] * 10 + ["test"] * 10)
    pq.write_table(pa.table({"targetid": targetid, "split": split}), folder / "splits.parquet")
    pq.write_table(pa.table({"targetid": targetid, "z": z}), folder / "galaxies.parquet")
    tokens = {modality: [folder / f"{modality}-{number}.h5" for number in range(2)] for modality in lacks}
    out = {name: folder / "toy" / file for name, file in FILES.items()}
    arguments = (tokens, folder / "splits.parquet", out, folder / "c")
    train(CONFIG, *arguments, galaxies_path=folder / "galaxies.parquet")
    return folder, targetid, values


def parts(folder, tmp_path, ask, name, **options):
    """The joined table of an embedding or a query, from a part for each shard."""
    for number in range(2):
        tokens = {m: folder / f"{m}-{number}.h5" for m in ("sfh", "lsst")}
        ask(folder / "toy", name, tokens, folder / "splits.parquet", tmp_path / f"{number}.parquet", **options)
    gather_parts([tmp_path / f"{number}.parquet" for number in range(2)], tmp_path / "all.parquet")
    return pq.read_table(tmp_path / "all.parquet")


def test_it_learns_from_labels_with_holes_and_galaxies_with_gaps(made):
    folder, _, _ = made
    rows = [json.loads(line) for line in (folder / "toy" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["split"] == "validation"]
    assert losses[-1] < 0.5 * losses[0]
    assert rows[-1]["known"] == pytest.approx(0.5, abs=0.2)
    card = json.loads((folder / "toy" / "model.json").read_text())
    assert card["gives"] == {"embeddings": ["sfh", "lsst", "joint"], "queries": ["lsst_to_z", "rebuild"]}
    assert card["config"]["modalities"] == ["sfh", "lsst"] and card["training"]["incomplete"] == "keep"


def test_the_joint_embedding_has_every_galaxy_with_any_modality(made, tmp_path):
    folder, targetid, values = made
    table = parts(folder, tmp_path, embed_shard, "joint")
    number = np.arange(80)
    there = {"sfh": number % 3 > 0, "lsst": number % 5 > 0}
    order = np.argsort(targetid)
    order = order[(there["sfh"] | there["lsst"])[order]]
    assert table["targetid"].to_pylist() == targetid[order].tolist()
    model, _ = networks.load(folder / "toy")
    expected = sum(
        model.layers[m](torch.from_numpy(values[order])) * torch.from_numpy(there[m][order])[:, None] for m in there
    )
    assert np.stack(table["embedding"].to_numpy()) == pytest.approx(expected.numpy(), abs=1e-5)
    said = json.loads(table.schema.metadata[b"skyloom"])
    assert (said["model"], said["modality"], said["kind"]) == ("toy", "joint", "toy_masked")
    assert said["shared_space"] and said["trained"] and not said["baseline"] and not said["ordered"]
    assert len(parts(folder, tmp_path, embed_shard, "lsst")) == there["lsst"].sum()


def test_answers_are_columns_by_name_numbers_and_vectors(made, tmp_path):
    folder, targetid, values = made
    table = parts(folder, tmp_path, predict_shard, "lsst_to_z", batch_size=7)
    assert table.column_names == ["targetid", "split", "z", "z_interval", "given"]
    types = [table.schema.field(name).type for name in ("z", "z_interval", "given")]
    assert types == [pa.float32(), pa.list_(pa.float32(), 2), pa.int64()]
    order = np.argsort(targetid)
    order = order[order % 5 > 0]  # it needs photometry alone
    assert table["targetid"].to_pylist() == targetid[order].tolist()
    model, card = networks.load(folder / "toy")
    z = model.redshift(model.layers["lsst"](torch.from_numpy(values[order])))[:, 0].numpy()
    assert table["z"].to_numpy() == pytest.approx(z, abs=1e-5)
    assert np.stack(table["z_interval"].to_numpy()) == pytest.approx(np.stack([z - 1, z + 1], 1), abs=1e-5)
    said = json.loads(table.schema.metadata[b"skyloom"])
    assert (said["model"], said["query"], said["weights_sha256"]) == ("toy", "lsst_to_z", card["weights_sha256"])
    assert "modality" not in said
    assert len(parts(folder, tmp_path, predict_shard, "rebuild")) == 80 - 6  # 0, 15, 30 ... lack both


def test_a_query_needs_its_modalities_only(made, tmp_path):
    folder, _, _ = made
    arguments = (folder / "splits.parquet", tmp_path / "p.parquet")
    predict_shard(folder / "toy", "lsst_to_z", {"lsst": folder / "lsst-0.h5"}, *arguments)
    assert pq.read_metadata(tmp_path / "p.parquet").num_rows == 32
    with pytest.raises(BadConfig, match="lsst_to_z: is made of lsst, but no lsst tokens were given"):
        predict_shard(folder / "toy", "lsst_to_z", {"sfh": folder / "sfh-0.h5"}, *arguments)
    with pytest.raises(BadConfig, match="this model answers lsst_to_z, rebuild, not z"):
        predict_shard(folder / "toy", "z", {"lsst": folder / "lsst-0.h5"}, *arguments)
    with pytest.raises(BadConfig, match="this model embeds sfh, lsst, joint, not spectrum"):
        embed_shard(folder / "toy", "spectrum", {"lsst": folder / "lsst-0.h5"}, *arguments)
