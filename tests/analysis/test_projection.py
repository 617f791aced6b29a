"""UMAP keeps apart what is apart, and the seed decides the rest."""

import numpy as np
import pandas

from skyloom.analysis.common import tables
from skyloom.analysis.common.projection import flattened
from skyloom.analysis.umap import Settings
from skyloom.settings.section import parse

from . import synthetic


def test_two_clouds_stay_apart_and_the_seed_decides():
    rng = np.random.default_rng(0)
    values = np.vstack([rng.normal(size=(60, 8)), rng.normal(8, size=(60, 8))]).astype("f4")
    settings = parse(Settings, {"n_epochs": 50, "n_neighbors": 10}, "umap")
    first, second = (flattened(values, settings.n_neighbors, settings.min_dist, settings.n_epochs, 0) for _ in range(2))
    assert np.array_equal(first, second)
    distance = np.linalg.norm(first[:, None] - first[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert ((np.argmin(distance, axis=1) < 60) == (np.arange(120) < 60)).all()


def test_a_survey_is_projected(tmp_path):
    survey = synthetic.survey(tmp_path, n=(40, 10, 30), models=("specformer-spectrum", "astrodino-image"))
    inputs = {"galaxies": survey["galaxies"], "embeddings": survey["embeddings"]}
    out = synthetic.run("umap", inputs, tmp_path / "out", {"split": "test", "n_epochs": 20})
    table = pandas.read_parquet(out["table"])
    assert list(table) == ["survey", "model", "modality", "targetid", "split", "x", "y"]
    assert len(table) == 60 and set(table["split"]) == {"test"} and np.isfinite(table[["x", "y"]]).all(axis=None)
    assert list(dict.fromkeys(table["model"])) == ["specformer", "astrodino"]
    asked = {"split": "test", "n_epochs": 20, "embeddings": ["astrodino-image", "specformer-spectrum"]}
    inputs["embeddings"] = survey["embeddings"][::-1]  # as the workflow gives them: in the order asked for
    out = synthetic.run("umap", inputs, tmp_path / "out", asked)
    assert list(dict.fromkeys(pandas.read_parquet(out["table"])["model"])) == ["astrodino", "specformer"]


def test_too_few_galaxies_make_an_empty_table(tmp_path, caplog):
    survey = synthetic.survey(tmp_path, n=(3, 0, 0), models=("specformer-spectrum",))
    galaxies = survey["table"][["targetid", "ra", "dec"]]  # a survey that knows no property, not even a redshift
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    inputs = {"galaxies": tmp_path / "galaxies.parquet", "embeddings": survey["embeddings"]}
    with caplog.at_level("INFO"):
        out = synthetic.run("umap", inputs, tmp_path / "out")
    assert not len(pandas.read_parquet(out["table"])) and "3 galaxies in split all: left out" in caplog.text
    assert out["figure"].read_bytes().startswith(b"\x89PNG")
