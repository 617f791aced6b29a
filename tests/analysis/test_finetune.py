"""What fine-tuning gains: scores on the same galaxies, planted models, classes by name, surveys without labels."""

import json

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.analysis.common.blocks import Claim, Shown
from skyloom.analysis.finetune import KIND, Settings, compare, methods, present
from skyloom.core.errors import BadConfig
from skyloom.settings.analysis import Job, Lacking

N = 600
TARGETID = np.arange(N, dtype="i8") + 10**15


def said(path, **columns):
    """A table of answers, with what stands in its metadata."""
    about = columns.pop("about")
    table = pa.table({"targetid": columns.pop("targetid", TARGETID), "split": ["x"] * len(columns["split"]), **columns})
    pq.write_table(table.replace_schema_metadata({b"skyloom": json.dumps(about)}), path)


@pytest.fixture
def survey(tmp_path):
    """Colours that say a redshift and a class to some degree; a model that says them better, and one that guesses."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=N)
    place = (truth > 0).astype(int)
    split = np.repeat(["train", "validation", "test"], N // 3)
    z = np.where(np.arange(N) % 10 == 9, np.nan, truth)
    kind = np.array(["S", "E"], object)[place]
    kind[::10] = ""
    pandas.DataFrame({"targetid": TARGETID, "split": split}).to_parquet(tmp_path / "splits.parquet")
    magnitudes = {"mag_g": truth + rng.normal(size=N) * 0.7, "mag_r": rng.normal(size=N) * 0.1}
    pandas.DataFrame({"targetid": TARGETID, "z": z, **magnitudes}).to_parquet(tmp_path / "galaxies.parquet")
    mine = pandas.DataFrame({"targetid": TARGETID[::-1], "kind": kind[::-1]}).iloc[: N - 50]
    mine.to_csv(tmp_path / "mine.csv", index=False)
    for name, error, unfrozen, steps in (("blocks", 0.3, 1, 9), ("head", 0.6, 0, 9), ("scratch", 2.0, "all", 0)):
        number = truth + error * rng.normal(size=N)
        columns = {"z": number, "z_lower": number - 1.645 * error, "z_upper": number + 1.645 * error, "split": split}
        rows = slice(0, N - 5) if name == "head" else slice(0, N)
        of_rows = {key: value[rows] for key, value in columns.items()}
        about = {"modalities": ["spectrum"], "level": 0.9}
        said(tmp_path / f"{name}.parquet", targetid=TARGETID[rows], about=about, **of_rows)
        card = {"name": name, "config": {"model": {"labels": ["z"], "unfrozen": unfrozen, "level": 0.9}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
        (tmp_path / f"{name}-encoder.json").write_text(json.dumps({"name": f"of {name}", "steps": steps}))
    chance = np.where(truth + 0.3 * rng.normal(size=N) > 0, 0.9, 0.1)
    columns = {"kind": (chance > 0.5).astype(int), "kind_probability": np.full(N, 0.9)}
    columns |= {"kind_probabilities": pa.array(np.stack([1 - chance, chance], 1).tolist()), "split": split}
    said(tmp_path / "kinds.parquet", about={"modalities": ["image"], "classes": ["S", "E"]}, **columns)
    model = {"labels": ["kind"], "unfrozen": 2, "level": 0.9, "table": str(tmp_path / "mine.csv")}
    (tmp_path / "kinds.json").write_text(json.dumps({"name": "kinds", "config": {"model": model}}))
    (tmp_path / "kinds-encoder.json").write_text(json.dumps({"name": "eyes", "steps": 9}))
    return tmp_path


def job(folder, names=("blocks", "head", "scratch", "kinds"), **settings):
    inputs = {"galaxies": [str(folder / "galaxies.parquet")], "splits": [str(folder / "splits.parquet")]}
    for role, ending in (("predictions", ".parquet"), ("cards", ".json"), ("encoders", "-encoder.json")):
        inputs[role] = [str(folder / f"{name}{ending}") for name in names]
    outputs = {role: str(folder / "out" / name) for role, name in KIND.outputs.items()}
    (folder / "out").mkdir(exist_ok=True)
    section = Settings(**{"photometry": ["mag_g", "mag_r"], "trees": 30, "resamples": 200, **settings})
    return Job("mock", inputs, outputs, section, 1)


def test_every_way_is_scored_on_the_same_galaxies_and_the_better_one_is_said_to_be(survey):
    given = job(survey)
    compare.compare(given)
    table = pandas.read_csv(given.outputs["table"])
    r2 = table[table["metric"] == "r2"].set_index("model")
    assert list(r2.index) == ["blocks", "head", "scratch", "photometry"]
    assert list(r2["method"]) == ["last 1 block", "head alone", "from scratch", "boosting"]
    assert set(r2["n"]) == {176}  # of 200: 20 without a label, 5 that the head says nothing of, one of them both
    assert set(r2["learned_from"]) == {180}
    assert r2["value"]["blocks"] == pytest.approx(1 - 0.3**2, abs=0.05) and 0.3 < r2["value"]["photometry"] < 0.8
    coverage = table[table["metric"] == "coverage"].set_index("model")["value"]
    assert coverage["blocks"] == pytest.approx(0.9, abs=0.06) and coverage["photometry"] == pytest.approx(0.9, abs=0.1)
    gain = table[(table["metric"] == "delta_r2") & (table["model"] == "blocks - head")].iloc[0]
    assert gain["ci_low"] > 0 and gain["value"] == pytest.approx(r2["value"]["blocks"] - r2["value"]["head"], abs=1e-5)
    frame = pandas.read_parquet(given.outputs["predictions"])
    assert set(frame["targetid"]) <= set(TARGETID[400:]) and (frame["model"] == "photometry").sum() > 300
    claims = [
        block for block in present.present(given.outputs, given.settings, Shown("mock")) if isinstance(block, Claim)
    ]
    verdict = {block.text: block.holds for block in claims}
    assert verdict["redshift: the last 1 block of blocks beat the head alone of head"]
    assert verdict["redshift: pretraining helps: head (head alone) beats scratch (from scratch)"]
    assert not verdict["redshift: scratch (from scratch) beats photometry"]


def test_classes_are_told_by_name_and_how_sure_they_are(survey):
    given = job(survey, ["kinds"])
    compare.compare(given)
    table = pandas.read_csv(given.outputs["table"]).set_index(["model", "metric"])
    frame = pandas.read_parquet(given.outputs["predictions"])
    frame = frame[frame["model"] == "kinds"]
    right = (frame["truth"] == frame["prediction"]).mean()
    assert set(frame["truth"]) == {"S", "E"} and len(frame) == 180
    assert table["value"]["kinds", "accuracy"] == pytest.approx(right, abs=1e-5) and right > 0.8
    shares = [(part["prediction"] == name).mean() for name, part in frame.groupby("truth")]
    assert table["value"]["kinds", "balanced_accuracy"] == pytest.approx(np.mean(shares), abs=1e-5)
    assert table["value"]["kinds", "overconfidence"] == pytest.approx(0.9 - right, abs=1e-5)
    assert table["value"]["kinds", "accuracy"] > table["value"]["photometry", "accuracy"] > 0.6
    assert len(present.present(given.outputs, given.settings, Shown("mock"))) == 4


def test_too_few_labels_give_tables_with_columns_and_no_rows(survey):
    given = job(survey, least=1000)
    compare.compare(given)
    assert list(pandas.read_csv(given.outputs["table"]).columns) == compare.COLUMNS
    assert not len(pandas.read_parquet(given.outputs["predictions"]))
    (block,) = present.present(given.outputs, given.settings, Shown("mock"))
    assert block.warns


def test_the_baseline_is_left_out_where_nothing_teaches_it(survey):
    given = job(survey, ["blocks"], photometry=["mag_u"])
    compare.compare(given)
    assert set(pandas.read_csv(given.outputs["table"])["model"]) == {"blocks"}


@pytest.mark.parametrize(
    ("unfrozen", "pretrained", "words"),
    [
        (0, True, "head alone"),
        (3, True, "last 3 blocks"),
        ("all", True, "whole network"),
        ("all", False, "from scratch"),
    ],
)
def test_what_learned_is_said_in_words(unfrozen, pretrained, words):
    assert methods.way(unfrozen, pretrained) == words


def test_scores_by_hand():
    truth, guess = np.array([0, 0, 0, 1.0]), np.array([0, 0, 1, 1.0])
    assert compare.accuracy(truth, guess) == 0.75 and compare.balanced(truth, guess) == pytest.approx((2 / 3 + 1) / 2)
    assert compare.balanced(truth[None, :3], guess[None, :3]) == pytest.approx(2 / 3)


def test_it_takes_the_models_that_learn_labels_and_their_tables():
    import copy

    from skyloom.settings.config import load
    from tests.analysis.test_kinds import DEFAULT

    config = copy.deepcopy(DEFAULT)
    config["analyses"] = {"finetune": {}}
    made = load(config).made
    assert set(made) == {("finetune", "mock")}
    assert made["finetune", "mock"]["predictions"] == ["results/mock/predictions/specformer_probe-properties.parquet"]
    assert made["finetune", "mock"]["encoders"] == ["results/mock/models/specformer/model.json"]
    config["analyses"]["finetune"]["models"] = ["specformer"]
    with pytest.raises(BadConfig, match="finetune.models: 'specformer' learns no labels; those that do are"):
        load(config)
    assert issubclass(Lacking, Exception)
