"""Queries through the workflow: one more trains nothing, and a catalogue of one's own may lack columns."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from skyloom.core.files import sha256
from tests.end_to_end.conftest import run

pytestmark = pytest.mark.end_to_end
MODEL = "results/simulated/models/mosaic/model.safetensors"


def test_a_query_of_ones_own_is_an_entry_and_a_file_and_trains_nothing(finished):
    query = {
        "given": ["lsst_r", "lsst_i", {"sed": [4000, 7000]}],
        "wanted": ["redshift", {"sfh": [0, 5]}],
        "samples": 3,
    }
    (finished / "asked.yaml").write_text(yaml.safe_dump({"models": {"mosaic": {"queries": {"own": query}}}}))
    before = sha256(finished / MODEL)
    target = "results/simulated/predictions/mosaic-own.parquet"
    done = run(finished, target, "--configfile", "tiny.yaml", "asked.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Pretrain" not in done.stdout + done.stderr and sha256(finished / MODEL) == before
    table = pq.read_table(finished / target)
    assert {"redshift", "redshift_lower", "redshift_upper", "sfh", "sfh_samples"} <= set(table.column_names)
    about = json.loads(table.schema.metadata[b"skyloom"])
    assert about["query"] == "own" and about["calibrated_on"] > 50 and about["columns"]["sfh"]["unit"] == "dex(Msun/yr)"
    assert len(table) == pq.read_metadata(finished / "results/simulated/catalog/galaxies.parquet").num_rows


def test_a_catalogue_of_ones_own_without_some_bands_and_values_is_answered(finished, tmp_path):
    rng = np.random.default_rng(0)
    columns = {name: rng.uniform(0, 60, 40) for name in ("ra", "dec")}
    columns |= {f"mag_{band}": rng.uniform(21, 25, 40) for band in "ugriz"}  # no y
    columns["mag_g"][5] = np.nan
    columns["mag_u"][7] = 99.0
    pq.write_table(pa.table(columns), tmp_path / "own.parquet")
    survey = {
        "kind": "observed_catalog",
        "files": [str(tmp_path / "own.parquet")],
        "columns": {"ra": "ra", "dec": "dec", "lsst": [f"mag_{band}" for band in "ugriz"] + [None]},
        "modalities": ["lsst"],
        "models_from": "simulated",
        "models": ["mosaic"],
        "split": {"fractions": {"train": 0.0, "validation": 0.0, "test": 1.0}},
    }
    (finished / "own.yaml").write_text(yaml.safe_dump({"surveys": {"mine": survey}}))
    target = "results/mine/predictions/mosaic-lsst.parquet"
    done = run(finished, target, "--configfile", "tiny.yaml", "own.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    table = pq.read_table(finished / target)
    assert len(table) == 40 and np.isfinite(table["redshift"].to_numpy()).all()


def test_a_wrong_query_is_one_line_before_the_first_job(finished):
    (finished / "wrong.yaml").write_text(
        yaml.safe_dump({"models": {"mosaic": {"queries": {"own": {"given": ["lsts"]}}}}})
    )
    done = run(finished, "--configfile", "tiny.yaml", "wrong.yaml", "--cores", "2", "-n")
    said = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode != 0
    assert any("models.mosaic.queries.own.given: 'lsts' is not known; did you mean 'lsst'?" in line for line in said)


def test_pictures_are_one_more_modality_and_a_model_of_another_survey_a_start(finished):
    tiny = yaml.safe_load((finished / "tiny.yaml").read_text())["models"]["mosaic"]
    entry = {"kind": "mosaic", "training": tiny["training"]}
    modalities = ["scalars", "lsst", "spherex", "sfh", "sed"]
    survey = yaml.safe_load((finished / "config.yaml").read_text())["surveys"]["simulated"]
    survey |= {"galaxies_per_part": 80, "parts": 1, "images": True, "modalities": [*modalities, "lsst_image"]}
    survey |= {"models": ["seen", "on"], "split": {"fractions": {"train": 0.5, "validation": 0.3, "test": 0.2}}}
    seen = {"model": tiny["model"] | {"patch": {"lsst_image": 192, "sed": 100}}, "modalities": survey["modalities"]}
    seen |= {"queries": {"image": {"given": ["lsst_image"], "wanted": ["redshift"]}}}
    shape = yaml.safe_load((finished / "results/simulated/models/mosaic/model.json").read_text())["config"]["model"]
    on = {"model": shape, "modalities": modalities, "queries": {"lsst": {"given": ["lsst"], "wanted": ["log_mstar"]}}}
    on |= {"starts_from": {"model": "mosaic", "survey": "simulated"}}
    config = {"surveys": {"pictured": survey}, "models": {"seen": entry | seen, "on": entry | on}}
    (finished / "pictured.yaml").write_text(yaml.safe_dump(config))
    targets = [f"results/pictured/predictions/{name}.parquet" for name in ("seen-image", "on-lsst")]
    done = run(finished, *targets, "--configfile", "tiny.yaml", "pictured.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    for path, column in zip(targets, ("redshift", "log_mstar"), strict=True):
        values = pq.read_table(finished / path)[column].to_numpy()
        assert len(values) == 80 and np.isfinite(values).all()
    cards = [
        json.loads((finished / f"results/{m}/model.json").read_text())
        for m in ("pictured/models/on", "simulated/models/mosaic")
    ]
    assert cards[0]["starts_from"] == {"name": "mosaic", "weights_sha256": cards[1]["weights_sha256"]}
