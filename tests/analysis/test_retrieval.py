"""Retrieval: ranks by hand, chance for a model that knows nothing, no praise for one that has collapsed."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.common import tables
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.retrieval import Settings, present
from skyloom.analysis.retrieval import ranks as retrieval
from skyloom.analysis.retrieval.present import claims
from skyloom.core.errors import BadInput
from skyloom.settings.section import parse

from . import synthetic

MODELS = ("astroclip-image", "astroclip-spectrum")
PAIRINGS = {"spectrum->image", "image->spectrum", "spectrum->spectrum", "image->image"}


def settings(**given):
    return parse(Settings, given, "analyses.retrieval")


def pairing(queries, others=None, z=None, query="a", gallery="b"):
    """A pairing of unit vectors."""
    n = len(queries)
    z = np.linspace(0.1, 0.5, n) if z is None else z
    vectors = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, queries if others is None else others)]
    return retrieval.Pairing("m", query, gallery, np.arange(n), z, *vectors)


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
    pair = pairing(rng.normal(size=(3000, 16)), rng.normal(size=(3000, 16)), rng.random(3000))
    rank = retrieval.ranks(pair.queries, pair.others)
    table = pandas.DataFrame(retrieval.chance("s", pair, settings(top=[300]), 0))
    expected = table.query("property == 'identity'").set_index("metric")["value"]
    assert (rank <= 300).mean() == pytest.approx(expected["recall@300"], rel=0.15)
    assert np.median(rank) == pytest.approx(expected["median_rank"], rel=0.1)
    assert (1 / rank).mean() == pytest.approx(expected["mean_reciprocal_rank"], rel=0.5)


def test_a_galaxy_is_never_its_own_neighbour_even_with_twins():
    values = np.repeat(np.random.default_rng(0).normal(size=(20, 6)), 4, axis=0)  # every galaxy has three twins
    found = retrieval._nearest(pairing(values), 2, skip_self=True)
    assert found.shape == (80, 2)
    assert (found != np.arange(80)[:, None]).all()
    assert (found // 4 == np.arange(80)[:, None] // 4).all()


def run(survey, folder, shards, config=None):
    inputs = {"galaxies": survey["galaxies"], "embeddings": survey["embeddings"]}
    inputs |= {f"tokens_{modality}": paths for modality, paths in shards.items()}
    out = synthetic.run("retrieval", inputs, folder, config)
    return pandas.read_csv(out["table"]), out


def test_aligned_embeddings_find_their_counterpart(tmp_path):
    survey = synthetic.survey(tmp_path, n=(10, 10, 60), models=MODELS)
    shards = synthetic.shards(tmp_path, survey["table"].query("split == 'test'"))
    table, out = run(survey, tmp_path / "out", shards)
    assert list(table) == tables.COLUMNS
    rows = table.query("metric == 'recall@10'").set_index(["modality", "method"])["value"]
    assert rows["image->spectrum", "chance"] == pytest.approx(10 / 60, abs=1e-5)
    assert rows["image->spectrum", "cosine"] > 0.8 and rows["spectrum->image", "cosine"] > 0.8
    assert set(table.query("metric == 'median_abs_dz' and method == 'cosine'")["modality"]) == PAIRINGS
    first = {name: path.read_bytes() for name, path in out.items()}
    run(survey, tmp_path / "out", shards)
    assert {name: path.read_bytes() for name, path in out.items()} == first


def test_any_modalities_are_paired_on_the_galaxies_that_both_have(tmp_path):
    survey = synthetic.survey(tmp_path, n=(5, 5, 40), models=("astroclip-image",))
    e = read_embedding(survey["embeddings"][0])
    test = e.targetid[e.split == "test"]
    traits, has = {"kind": "foo", "shared_space": True}, {}
    for k, modality in enumerate(("sfh", "lsst", "sed")):  # each lacks some galaxies of the test split
        rows = ~np.isin(e.targetid, test[10 * k : 10 * k + 4 * k])
        has[modality] = set(test) & set(e.targetid[rows])
        synthetic.embed(tmp_path / f"foo-{modality}.parquet", e.targetid[rows], e.split[rows], e.values[rows], traits)
    paths = sorted(tmp_path.glob("foo-*.parquet"))
    values = np.random.default_rng(0).random((len(test), 7))
    shards = {}
    for modality in ("sfh", "lsst", "sed"):
        shards[modality] = [tmp_path / f"{modality}.h5"]
        synthetic.write_shard(shards[modality][0], test, {"values": values})
    table, _ = run({**survey, "embeddings": paths}, tmp_path / "out", shards)
    cross = table.query("metric == 'median_rank' and method == 'cosine'").set_index("modality")["n"]
    assert len(cross) == 6 and len(set(table["modality"])) == 9
    assert set(cross) == {36, 32, 28}
    for name, n in cross.items():
        query, gallery = name.split("->")
        assert n == len(has[query] & has[gallery])


def test_a_handful_of_galaxies_gives_an_empty_table_and_says_so(tmp_path):
    survey = synthetic.survey(tmp_path, n=(5, 5, 1), models=MODELS)
    shards = synthetic.shards(tmp_path, survey["table"])
    table, out = run(survey, tmp_path / "out", shards)
    assert list(table) == tables.COLUMNS and not len(table)
    assert out["figure"].read_bytes().startswith(b"\x89PNG") and out["figure_recall"].exists()
    assert present.retrieval_table(table).lines == []


def test_bad_input_is_named(tmp_path):
    survey = synthetic.survey(tmp_path, n=(5, 5, 20), models=MODELS)
    t = survey["table"]
    synthetic.embed(tmp_path / "astroclip-image.parquet", t["targetid"], t["split"], np.ones((len(t), 5)))
    shards = synthetic.shards(tmp_path, t)
    with pytest.raises(BadInput, match="astroclip-spectrum has 32 dimensions, astroclip-image 5"):
        run(survey, tmp_path / "out", shards)
    t["targetid"] += 1000000
    survey = synthetic.survey(tmp_path, n=(5, 5, 20), models=MODELS)
    with pytest.raises(BadInput, match="has an embedding but no spectrum in the token shards"):
        run(survey, tmp_path / "out", synthetic.shards(tmp_path, t))


def recall(value, k=10, chance=0.025, n=400):
    row, ci = ("mock", "m", "a->b"), (value - 0.01, value + 0.01)
    found = tables.row(*row, "cosine", "identity", "test", f"recall@{k}", value, ci, n)
    return pandas.DataFrame([found, tables.row(*row, "chance", "identity", "test", f"recall@{k}", chance, n=n)])


def test_recall_is_claimed_against_chance():
    found = [next(claims(recall(value), 10)) for value in (0.3, 0.2, 0.255)]
    assert [c.holds for c in found] == [True, False, True]
    assert [c.verdict for c in found] == ["holds", "fails", "holds, within the uncertainty"]
    assert "at least 10 times chance" in found[0].text and "12.0 times" in found[0].numbers
    few = next(claims(recall(0.4, chance=0.5, n=20), 10))  # ten times chance would be more than one
    assert "above chance" in few.text and not few.holds


def test_every_row_of_examples_says_whose_it_is():
    class Nothing:
        form = "image"

        def need(self, targetid):
            return np.zeros((3, 4, 4))

    pair = pairing(np.random.default_rng(0).normal(size=(8, 4)))
    rows = retrieval.example_rows(pair, None, {"a": Nothing(), "b": Nothing()}, settings(examples=2, neighbours=2))
    assert [row["title"] for row in rows] == ["m\na ->\nb"] * 2
