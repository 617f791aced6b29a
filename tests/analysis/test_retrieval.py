"""Retrieval: ranks by hand, chance for a model that knows nothing, no praise for one that has collapsed."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.common import tables
from skyloom.analysis.common.embeddings import write_embedding
from skyloom.analysis.retrieval import ranks as retrieval
from skyloom.core.errors import BadInput

from . import synthetic

MODELS = ("astroclip-image", "astroclip-spectrum")


def test_ranks_by_hand():
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    queries = np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.1]])
    assert retrieval.ranks(queries, gallery).tolist() == [2.5, 1, 2]  # 0.5, 0.5, 0.7: two tie for the second place


def test_blocks_do_not_change_ranks(monkeypatch):
    queries, gallery = np.random.default_rng(0).normal(size=(2, 60, 4))
    whole = retrieval.ranks(queries, gallery)
    monkeypatch.setattr(retrieval.neighbours, "BLOCK", 130)
    assert np.array_equal(retrieval.ranks(queries, gallery), whole)


def test_a_collapsed_encoder_gets_the_middle_rank():
    point = np.ones((41, 8)) / 8**0.5
    assert (retrieval.ranks(point, point) == 21).all()


def test_a_blind_encoder_scores_as_chance_says():
    rng = np.random.default_rng(0)
    rank = retrieval.ranks(rng.normal(size=(3000, 16)), rng.normal(size=(3000, 16)))
    n = len(rank)
    table = pandas.DataFrame(
        retrieval.chance("s", "m", np.arange(n), rng.random(n), {"top": [300], "split": "test", "seed": 0})
    )
    expected = table.query("modality == 'image->spectrum' and property == 'identity'").set_index("metric")["value"]
    assert (rank <= 300).mean() == pytest.approx(expected["recall@300"], rel=0.15)
    assert np.median(rank) == pytest.approx(expected["median_rank"], rel=0.1)
    assert (1 / rank).mean() == pytest.approx(expected["mean_reciprocal_rank"], rel=0.5)


def test_a_galaxy_is_never_its_own_neighbour_even_with_twins():
    values = np.repeat(np.random.default_rng(0).normal(size=(20, 6)), 4, axis=0)  # every galaxy has three twins
    found = retrieval._nearest(values, values, 2, skip_self=True)
    assert found.shape == (80, 2)
    assert (found != np.arange(80)[:, None]).all()
    assert (found // 4 == np.arange(80)[:, None] // 4).all()


def run(survey, folder, shards, config=None):
    out = {
        "table": folder / "retrieval.csv",
        "figure": folder / "retrieval.png",
        "figure_recall": folder / "recall.png",
    }
    retrieval.retrieve(
        "mock", survey["galaxies"], survey["embeddings"], shards, out, {"resamples": 100, **(config or {})}
    )
    return pandas.read_csv(out["table"]), out


def test_aligned_embeddings_find_their_counterpart(tmp_path):
    survey = synthetic.survey(tmp_path, n=(10, 10, 60), models=MODELS)
    shards = synthetic.shards(tmp_path, survey["table"].query("split == 'test'"))
    table, out = run(survey, tmp_path, shards)
    assert list(table) == tables.COLUMNS
    rows = table.query("metric == 'recall@10'").set_index(["modality", "method"])["value"]
    assert rows["image->spectrum", "chance"] == pytest.approx(10 / 60, abs=1e-5)
    assert rows["image->spectrum", "cosine"] > 0.8 and rows["spectrum->image", "cosine"] > 0.8
    assert set(table.query("metric == 'median_abs_dz' and method == 'cosine'")["modality"]) == {
        f"{a}->{b}" for a, b in retrieval.PAIRINGS
    }
    first = {name: path.read_bytes() for name, path in out.items()}
    run(survey, tmp_path, shards)
    assert {name: path.read_bytes() for name, path in out.items()} == first


def test_bad_input_is_named(tmp_path):
    survey = synthetic.survey(tmp_path, n=(5, 5, 20), models=MODELS)
    with pytest.raises(BadInput, match="mosaic needs the files mosaic-image.parquet and mosaic-spectrum.parquet"):
        run(survey, tmp_path, {}, {"models": ["mosaic"]})
    t = survey["table"]
    write_embedding(tmp_path / "astroclip-image.parquet", t["targetid"], t["split"], np.ones((len(t), 5)))
    with pytest.raises(BadInput, match="astroclip-image has 5 dimensions, astroclip-spectrum 32"):
        run(survey, tmp_path, {})
