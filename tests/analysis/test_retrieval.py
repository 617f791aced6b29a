"""Retrieval: ranks by hand, chance for a model that knows nothing, no praise for one that has collapsed."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.common import tables
from skyloom.analysis.common.blocks import Shown
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.retrieval import Settings, likeness, narrow, overlays, pairs, present, similarity
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
    monkeypatch.setattr(similarity.neighbours, "BLOCK", 130)
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
    found = pairs.nearest(pairing(values), 2, skip_self=True)
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


def test_ranks_within_are_those_of_each_restricted_gallery(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(2, 80, 4))
    z = np.round(0.1 + 0.1 * rng.random(80), 3)  # some the same
    z[[3, 40]] = np.nan
    expected, size = np.full(80, np.nan), np.zeros(80, int)
    for i in np.flatnonzero(np.isfinite(z)):
        inside = np.abs(z - z[i]) / (1 + z[i]) < 0.01
        own = queries[i] @ gallery[i]
        expected[i], size[i] = 1 + (gallery[inside] @ queries[i] > own + 1e-9).sum(), inside.sum()
    for block in (similarity.neighbours.BLOCK, 300):
        monkeypatch.setattr(similarity.neighbours, "BLOCK", block)
        rank, candidates = similarity.ranks_within(queries, gallery, z, 0.01)
        assert np.array_equal(rank, expected, equal_nan=True) and candidates.tolist() == size.tolist()
    everyone = similarity.ranks_within(queries, gallery, np.full(80, 0.2), 0.01)[0]
    assert np.array_equal(everyone, similarity.ranks(queries, gallery))
    point = np.ones((80, 4)) / 2  # collapsed: the middle of each gallery
    rank, candidates = similarity.ranks_within(point, point, z, 0.01)
    assert np.array_equal(rank[candidates > 0], (candidates[candidates > 0] + 1) / 2)


def metrics_of(rows):
    table = pandas.DataFrame(list(rows), columns=tables.COLUMNS)
    return table.set_index(["metric", "method"])


def test_an_embedding_of_redshift_alone_finds_no_more_than_redshift():
    rng = np.random.default_rng(1)
    n = 1500
    z = rng.uniform(0.1, 0.3, n)
    angle = 3 * z[:, None] + rng.normal(0, 0.05, (2, n, 1))  # one direction a redshift, to within 0.017
    vectors = [np.hstack([np.cos(a), np.sin(a)]) for a in angle]
    pair = pairing(*vectors, z)
    own = metrics_of(narrow.within("s", pair, settings(), 0))
    place = own.loc[("narrow_median_rank_fraction", "cosine")]
    assert place["ci_low"] < 0.5 and place["value"] == pytest.approx(0.5, abs=0.1)
    assert own.loc[("narrow_recall@10", "cosine")]["value"] == pytest.approx(
        own.loc[("narrow_recall@10", "chance")]["value"], abs=0.04
    )
    whole = (retrieval.ranks(pair.queries, pair.others) <= 10).mean()
    assert whole > 3 * 10 / n  # far beyond chance among all: it knows redshift
    found = pairs.nearest(pair, narrow.VOTING, True)
    by_z = metrics_of(narrow.by_redshift("s", pair, found, settings(), 0))
    assert whole < by_z.loc[("recall@10", "redshift")]["value"]


def test_a_blind_encoder_scores_as_chance_says_at_the_same_redshift():
    rng = np.random.default_rng(0)
    pair = pairing(rng.normal(size=(2500, 8)), rng.normal(size=(2500, 8)), rng.uniform(0.1, 0.5, 2500))
    table = metrics_of(narrow.within("s", pair, settings(), 0))
    for name in ("recall@1", "recall@5", "recall@10", "median_rank_fraction", "mean_reciprocal_rank"):
        row, chance = (table.loc[(f"narrow_{name}", method)] for method in ("cosine", "chance"))
        assert row["ci_low"] <= chance["value"] <= row["ci_high"], name
    assert table.loc[("narrow_median_gallery", "chance")]["value"] > 100


def test_queries_with_few_candidates_are_left_out():
    rng = np.random.default_rng(0)
    z = np.r_[np.full(25, 0.2), np.full(19, 0.5), [0.9, np.nan]]
    pair = pairing(rng.normal(size=(46, 4)), rng.normal(size=(46, 4)), z)
    assert set(metrics_of(narrow.within("s", pair, settings(), 0))["n"]) == {25}
    assert list(narrow.within("s", pair, settings(least=30), 0)) == []


def test_redshift_known_to_a_bin_finds_k_of_its_galaxies_and_no_more():
    z = np.r_[np.full(40, 0.2), np.full(4, 0.5), np.nan]
    pair = pairing(np.random.default_rng(0).normal(size=(45, 4)), z=z)
    found = pairs.nearest(pair, narrow.VOTING, True)
    rows = metrics_of(narrow.by_redshift("s", pair, found, settings(), 0))
    assert rows.loc[("recall@10", "redshift")]["value"] == pytest.approx((40 * 10 / 40 + 4) / 44)
    assert rows.loc[("recall@1", "redshift")]["value"] == pytest.approx((40 / 40 + 4 / 4) / 44)
    assert set(rows["n"]) == {44}
    unknown = pairing(np.random.default_rng(0).normal(size=(9, 4)), z=np.full(9, np.nan))
    assert list(narrow.by_redshift("s", unknown, pairs.nearest(unknown, 3, True), settings(), 0)) == []


def test_ranks_by_redshift_are_those_of_a_sort():
    rng = np.random.default_rng(0)
    z = np.round(rng.random(200), 2)
    estimate = np.round(z + rng.normal(0, 0.05, 200), 2)
    z[7], estimate[9] = np.nan, np.nan
    apart = np.round(np.abs(z[None] - estimate[:, None]), 6)
    own = np.diag(apart)[:, None]
    expected = 1 + (apart < own).sum(1) + ((apart == own).sum(1) - 1) / 2
    found = narrow.ranks_by_redshift(estimate, z)
    known = np.isfinite(z) & np.isfinite(estimate)
    assert np.array_equal(found[known], expected[known]) and np.isnan(found[~known]).all()
    assert narrow.voted(np.array([0.1, 0.3, np.nan]), np.array([[1, 2], [2, 2], [0, 1]])) == pytest.approx(
        [0.3, np.nan, 0.2], nan_ok=True
    )


def test_partners_are_other_galaxies_of_the_same_redshift_each_as_often():
    z = np.r_[np.full(5, 0.2), 0.9, np.nan, 0.2021]
    counts = np.zeros((8, 8))
    for seed in range(2000):
        found = likeness.partners(z, 0.01, seed)
        assert found[5] == -1 and found[6] == -1
        counts[np.arange(8), found] += found >= 0
    same = [0, 1, 2, 3, 4, 7]
    assert (np.diag(counts) == 0).all()
    inside = counts[np.ix_(same, same)][~np.eye(6, dtype=bool)]
    assert inside == pytest.approx(400, abs=90)


def test_likeness_is_the_ratio_of_median_differences():
    rng = np.random.default_rng(0)
    n = 600
    x = rng.normal(size=(n, 3))
    pair = pairing(x, x + 0.05 * rng.normal(size=x.shape), rng.uniform(0.2, 0.25, n))
    unit = pair.queries
    values = pandas.DataFrame({"seen": unit[:, 0], "not": rng.normal(size=n)}, index=pair.targetid)
    values.loc[:49, "seen"] = np.nan
    near = pairs.nearest(pair, 1, True)[:, 0]
    rows = list(likeness.alike("s", pair, near, values, settings(), 0))
    table = pandas.DataFrame(rows).set_index(["property", "metric", "method"])
    seen, other = (table.loc[(name, "likeness_ratio", "cosine")] for name in ("seen", "not"))
    assert seen["ci_high"] < 0.3 and other["ci_low"] < 1 < other["ci_high"]
    known = (near >= 50) & (np.arange(n) >= 50)
    expected = np.median(np.abs(unit[known, 0] - unit[near[known], 0]))
    assert table.loc[("seen", "median_abs_difference", "cosine")]["value"] == pytest.approx(expected)
    assert seen["n"] == known.sum() and seen["ci_low"] < seen["value"] < seen["ci_high"]
    random = table.loc[("seen", "median_abs_difference", "same_redshift")]["value"]
    assert seen["value"] == pytest.approx(expected / random)


def test_properties_are_columns_or_differences_of_two(tmp_path):
    survey = synthetic.survey(tmp_path, n=(5, 5, 5), models=())
    read = likeness.read(survey["galaxies"], ["log_mstar", "mag_g - mag_r", "shape_r", "mag_g - mag_y"])
    table = survey["table"].set_index("targetid")
    assert read["mag_g - mag_r"].to_numpy() == pytest.approx((table["mag_g"] - table["mag_r"]).to_numpy())
    assert read["log_mstar"].notna().all() and read[["shape_r", "mag_g - mag_y"]].isna().all(axis=None)
    assert likeness.called("mag_g - mag_r") == "g - r" and likeness.called("log_mstar") == "log M*"


def test_the_report_claims_what_is_found_beyond_redshift(tmp_path):
    survey = synthetic.survey(tmp_path, n=(10, 10, 200), models=MODELS)
    shards = synthetic.shards(tmp_path, survey["table"].query("split == 'test'"), size=12)
    config = {"narrow": 0.02, "likeness": ["log_mstar", "log_z_mw"], "examples": 1, "neighbours": 1}
    table, out = run(survey, tmp_path / "out", shards, config)
    shown = present.present({role: str(path) for role, path in out.items()}, settings(**config), Shown("mock"))
    claimed = [block for block in shown if block.shape == "claim"]
    same = [c for c in claimed if c.text.startswith("Among galaxies of the same redshift")]
    alike = [c for c in claimed if "physically more alike" in c.text]
    assert len(same) == 2 and len(alike) == 4 and all(c.verdict == "holds" for c in [*same, *alike])
    assert "log M*" in alike[0].numbers and "log Z_MW" in alike[0].numbers
    titles = [block.title for block in shown if block.shape == "table"]
    assert titles[1:] == ["Among galaxies of the same redshift", "Physical likeness of what is found"]
    whole = next(block for block in shown if block.shape == "table")
    assert all(line[4] and line[5] and line[6] for line in whole.lines if line[2].startswith("recall"))
    assert not {"redshift", "same_redshift"} & {c.text for c in claimed}
    assert set(table["method"]) == {"cosine", "chance", "redshift", "redshift_neighbours", "same_redshift"}


def test_a_ratio_above_one_fails_the_claim():
    row = ("mock", "m", "a->b", "cosine")
    rows = [tables.row(*row, "log_mstar", "test", "likeness_ratio", v, ci, 50) for v, ci in ((1.3, (1.1, 1.5)),)]
    rows += [tables.row(*row, "mag_g - mag_r", "test", "likeness_ratio", 0.8, (0.7, 0.9), 60)]
    (one,) = present.likeness_claims(pandas.DataFrame(rows))
    assert not one.holds and one.verdict == "fails" and "n = 50" in one.numbers


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


def test_spectra_that_were_found_lie_over_that_of_the_query(monkeypatch, tmp_path):
    wave = np.linspace(4000, 9000, 500)

    def panel(level, note, frame=""):
        data = np.stack([wave, np.full_like(wave, level), np.ones_like(wave)])
        return {"form": "spectrum", "data": data, "note": note, "frame": frame}

    image = {"form": "image", "data": np.zeros((3, 8, 8)), "note": "query", "frame": "query"}
    own, others = panel(1, "its own, rank 3", "match"), [panel(2, "#1"), panel(3, "#2")]
    crossed = {"title": "m\nimage ->\nspectrum", "panels": [image, own, *others]}
    within = {"title": "m\nspectrum ->\nspectrum", "panels": [panel(5, "query", "query"), *others]}
    of_images = {"title": "m\nimage ->\nimage", "panels": [image, {**image, "frame": ""}]}
    found = []
    monkeypatch.setattr(overlays.style, "save", lambda figure, path: found.append(figure))
    overlays.draw_overlays([crossed, of_images, within], tmp_path / "x.png")
    first, second = (axis for axis in found[0].axes if axis.lines)
    for axis, levels in ((first, [2, 3, 1]), (second, [2, 3, 5])):
        assert [np.median(line.get_ydata()) for line in axis.lines] == pytest.approx(levels)
        assert axis.lines[-1].get_color() == overlays.style.INK
    assert len(first.child_axes) == 1 and not second.child_axes
