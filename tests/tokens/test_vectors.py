"""Vectors of simulated galaxies as shards, and the statistics that MOSAIC standardises them by."""

import csv

import numpy as np
import pytest

from skyloom.catalog.columns import SPLITS, write_table
from skyloom.catalog.simulated import build_galaxies
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.part_files import part_writer
from skyloom.tokens.store import Shards
from skyloom.tokens.vectors import tokenize_vectors
from tests.tokens.shards import gather

ROWS = 50
EDGES = np.linspace(0, 13.8, 118)


def columns(part):
    rng = np.random.default_rng(part)
    return {
        "targetid": part * 1000 + np.arange(ROWS),
        "ra": rng.uniform(0, 360, ROWS),
        "dec": rng.uniform(-60, 0, ROWS),
        "redshift": rng.uniform(0, 3, ROWS),
        "log_mhalo": rng.normal(12, 1, ROWS),
        "log_mstar": rng.normal(10, 1, ROWS),
        "sfh": rng.normal(0, 2, (ROWS, 117)) + np.arange(117) / 50,
    }


@pytest.fixture
def survey(tmp_path):
    """Two parts, the second with a galaxy whose history has a hole, one without any; galaxies.parquet with a shard a
    part. Histories say where they lie."""
    data = [columns(part) for part in range(2)]
    data[1]["sfh"][3, 100] = np.nan
    data[1]["sfh"][7] = np.nan
    paths = [tmp_path / f"simulated-{part:04d}.h5" for part in range(2)]
    for path, part in zip(paths, data, strict=True):
        with part_writer(path, {"sfh": EDGES}, {}) as writer:
            for rows in (slice(0, 20), slice(20, ROWS)):
                writer.append(**{name: values[rows] for name, values in part.items()})
    build_galaxies(paths, 2, tmp_path / "galaxies.parquet")
    return tmp_path, paths, data


def tokenize(survey, modality, shard):
    folder, paths, _ = survey
    out, quarantine = folder / f"{modality}-{shard}.h5", folder / f"{modality}-{shard}.csv"
    tokenize_vectors(folder / "galaxies.parquet", paths, modality, shard, out, quarantine)
    return out, quarantine


def test_shards_hold_the_values_of_the_parts(survey):
    out, quarantine = tokenize(survey, "scalars", 0)
    shards = Shards([out])
    values = shards.read(np.arange(ROWS))["values"]
    data = survey[2][0]
    np.testing.assert_array_equal(shards.targetid, data["targetid"])
    expected = np.stack([data[name] for name in ("redshift", "log_mhalo", "log_mstar")], axis=1)
    np.testing.assert_array_equal(values, expected.astype("f4"))
    assert len(quarantine.read_text().splitlines()) == 1 and shards.attrs["modality"] == "scalars"


def test_a_vector_with_a_hole_is_kept_and_one_without_any_number_put_aside(survey):
    out, quarantine = tokenize(survey, "sfh", 1)
    shards = Shards([out])
    assert len(shards) == ROWS - 1 and 1007 not in shards.targetid
    np.testing.assert_array_equal(shards.read([3])["values"][0], survey[2][1]["sfh"][3].astype("f4"))
    assert np.isnan(shards.read([3])["values"][0]).sum() == 1
    with open(quarantine, newline="") as file:
        assert list(csv.reader(file))[1:] == [["1007", "simulated-0001.h5", "7", "sfh: no value is finite"]]


def test_scalars_have_statistics_each_and_vectors_one(survey):
    folder, _, data = survey
    targetid = np.concatenate([part["targetid"] for part in data])
    split = np.where(targetid % 5 == 0, "test", "train")
    write_table(folder / "splits.parquet", {"targetid": targetid, "split": split}, SPLITS)
    results = {}
    for modality in ("scalars", "sfh"):
        made = [tokenize(survey, modality, shard) for shard in range(2)]
        found = gather(folder, [m[0] for m in made], [m[1] for m in made], modality)
        results[modality] = found["values"]
        assert found.get("axis") == (EDGES.tolist() if modality == "sfh" else None)
    train = split == "train"
    for name in ("redshift", "log_mhalo", "log_mstar"):
        values = np.concatenate([part[name] for part in data])[train].astype("f4").astype("f8")
        assert results["scalars"][name] == pytest.approx({"mean": values.mean(), "std": values.std()}, rel=1e-9)
    values = np.concatenate([part["sfh"] for part in data])[train].astype("f4").astype("f8")
    values = values[np.isfinite(values)]
    assert results["sfh"] == pytest.approx({"mean": values.mean(), "std": values.std()}, rel=1e-9)


def test_what_is_not_there_gets_one_line(survey):
    with pytest.raises(BadInput, match="no dataset spherex, found axis, dec"):
        tokenize(survey, "spherex", 0)
    with pytest.raises(BadConfig, match="'spectrum' is not known; allowed are scalars, lsst, spherex, sfh, sed"):
        tokenize(survey, "spectrum", 0)


def test_parts_of_different_lengths_get_one_line(survey):
    folder, paths, data = survey
    with part_writer(paths[0], {}, {}) as writer:
        writer.append(**data[0] | {"sfh": data[0]["sfh"][:, :50]})
    with pytest.raises(BadInput, match="simulated-0001.h5: sfh of 117 numbers, 50 in"):
        tokenize(survey, "sfh", 1)
