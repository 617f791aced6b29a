"""UMAP keeps apart what is apart, and the seed decides the rest."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.umap import projection
from skyloom.core.errors import BadConfig

from . import synthetic


def test_two_clouds_stay_apart_and_the_seed_decides():
    rng = np.random.default_rng(0)
    values = np.vstack([rng.normal(size=(60, 8)), rng.normal(8, size=(60, 8))]).astype("f4")
    config = {**projection.DEFAULTS, "n_epochs": 50, "n_neighbors": 10}
    first, second = (projection.umap(values, config) for _ in range(2))
    assert np.array_equal(first, second)
    distance = np.linalg.norm(first[:, None] - first[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert ((np.argmin(distance, axis=1) < 60) == (np.arange(120) < 60)).all()


def test_a_survey_is_projected(tmp_path):
    survey = synthetic.survey(tmp_path, n=(40, 10, 30), models=("specformer-spectrum", "astrodino-image"))
    out = {"table": tmp_path / "umap.parquet", "figure": tmp_path / "umap.png"}
    config = {"split": "test", "n_epochs": 20, "embeddings": ["specformer-spectrum"]}
    projection.project("mock", survey["galaxies"], survey["embeddings"], out, config)
    table = pandas.read_parquet(out["table"])
    assert list(table) == ["survey", "model", "modality", "targetid", "split", "x", "y"]
    assert len(table) == 30 and set(table["split"]) == {"test"} and np.isfinite(table[["x", "y"]]).all(axis=None)
    with pytest.raises(BadConfig, match="umap: embeddings: 'mmae-image' is not there; allowed: astrodino-image, specf"):
        projection.project("mock", survey["galaxies"], survey["embeddings"], out, {"embeddings": ["mmae-image"]})
