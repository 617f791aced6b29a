"""Magnitudes of the catalogue as a modality of their own."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.tokens.magnitudes import MAGNITUDES, tokenize_magnitudes
from skyloom.tokens.statistics import merge_statistics, shard_statistics
from skyloom.tokens.store import Shards


@pytest.fixture
def survey(tmp_path):
    """Thirty galaxies in two shards; one has no z magnitude."""
    rng, targetid = np.random.default_rng(1), np.arange(100, 130)[::-1]
    values = rng.normal(19, 1, (30, 3)).astype("f4")
    values[4, 2] = np.nan
    table = {"targetid": targetid, "shard": targetid % 2, **dict(zip(MAGNITUDES, values.T, strict=True))}
    pq.write_table(pa.table(table), tmp_path / "galaxies.parquet")
    split = pa.array(np.where(targetid % 5 == 0, "test", "train"))
    order = np.argsort(targetid)
    pq.write_table(pa.table({"targetid": targetid, "split": split}).take(order), tmp_path / "splits.parquet")
    return tmp_path, targetid, values


def test_a_shard_has_the_magnitudes_of_its_galaxies(survey):
    folder, targetid, values = survey
    for shard in (0, 1):
        paths = folder / f"shard-{shard}.h5", folder / f"quarantine-{shard}.csv"
        tokenize_magnitudes(folder / "galaxies.parquet", shard, *paths)
        tokens = Shards([paths[0]])
        mine = (targetid % 2 == shard) & np.isfinite(values).all(1)
        assert sorted(tokens.targetid) == sorted(targetid[mine]) and tokens.attrs["modality"] == "magnitudes"
        rows = tokens.rows(targetid[mine])
        np.testing.assert_array_equal(tokens.read(rows)["values"], values[mine])
    (lacking,) = csv.DictReader((folder / f"quarantine-{targetid[4] % 2}.csv").open())
    assert int(lacking["targetid"]) == targetid[4] and "a magnitude is not known" in lacking["reason"]
    for shard in (0, 1):
        shard_statistics(folder / f"shard-{shard}.h5", folder / "splits.parquet", folder / f"sums-{shard}.json")
    lists = [
        [folder / f"{name}-{shard}.{end}" for shard in (0, 1)]
        for name, end in (("sums", "json"), ("quarantine", "csv"))
    ]
    merge_statistics(*lists, folder / "statistics.json", folder / "quarantine.csv")
    found = json.loads((folder / "statistics.json").read_text())["values"]
    train = (targetid % 5 != 0) & np.isfinite(values).all(1)
    assert [found[name]["mean"] for name in MAGNITUDES] == pytest.approx(values[train].mean(0).tolist(), rel=1e-5)


def test_a_catalogue_without_magnitudes_is_named(tmp_path):
    pq.write_table(pa.table({"targetid": [1], "shard": [0]}), tmp_path / "galaxies.parquet")
    with pytest.raises(BadInput, match=r"galaxies\.parquet: expected targetid, shard, mag_g, mag_r, mag_z"):
        tokenize_magnitudes(tmp_path / "galaxies.parquet", 0, tmp_path / "a.h5", tmp_path / "a.csv")
