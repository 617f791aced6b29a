"""Records against settings and contents: what is stale, why, and what times have to do with it (nothing)."""

import os
from types import SimpleNamespace

import pytest

from skyloom.core import digests, plan, provenance
from skyloom.core.plan import Planned

TABLE, RAW = "results/mock/galaxies.csv", "raw/coadd.fits"
PARAMS = {"seed": 1, "cuts": ("a", "b"), "model": {"dim": 32, "heads": [2, 4]}, "code": "abc"}


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    """A table made of a raw file, with its record."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("raw")
    os.makedirs("results/mock")
    write(RAW, "raw")
    job = SimpleNamespace(
        input=[RAW], output=[TABLE], params=PARAMS, wildcards={}, rule="crossmatch", config={"seed": 1}
    )
    inputs = provenance.inputs_of(job)
    write(TABLE, "table")
    assert provenance.record(job, inputs) == []


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def stale(params=PARAMS, inputs=(RAW,), say=lambda line: None):
    return plan.stale({TABLE: Planned(params, inputs)}, say)


def test_what_was_made_as_planned_is_not_stale():
    assert stale() == {}
    assert stale(params={**PARAMS, "cuts": ["a", "b"]}) == {}  # a record knows no tuples


@pytest.mark.parametrize(
    "change, why",
    [
        ({"seed": 2}, "seed was 1, is 2"),
        ({"seed": None}, "seed was 1, is absent"),
        ({"depth": 3}, "depth was absent, is 3"),
        ({"model": {"dim": 64, "heads": [2, 4]}}, "model.dim was 32, is 64"),
        ({"model": {"dim": 32}}, "model.heads was [2, 4], is absent"),
        ({"code": "def"}, "its code has changed"),
        ({"cuts": ["a"], "seed": 2}, 'cuts was ["a", "b"], is ["a"]; seed was 1, is 2'),
        ({"text": "x" * 100}, 'text was absent, is "' + "x" * 36 + "..."),
    ],
)
def test_another_setting_is_named_with_both_values(change, why):
    assert stale(params=PARAMS | change) == {TABLE: why}


def test_other_inputs_are_named():
    write("raw/new.fits", "raw")
    assert stale(inputs=(RAW, "raw/new.fits")) == {TABLE: "made from other files (raw/new.fits)"}
    assert stale(inputs=()) == {TABLE: f"made from other files ({RAW})"}


def test_other_content_is_seen_at_the_same_size_and_an_older_time():
    write(RAW, "war")
    os.utime(RAW, (0, 0))
    assert stale() == {TABLE: f"{RAW} has changed"}


def test_an_input_that_is_gone_is_no_reason():
    os.remove(RAW)
    assert stale() == {}


def test_a_result_without_a_record_or_that_is_absent_is_left_alone():
    os.remove(provenance.record_path(TABLE))
    assert stale(params={}) == {}
    os.remove(TABLE)
    assert stale(params={}) == {}


def test_times_of_what_is_not_stale_follow_its_inputs():
    os.utime(TABLE, (100, 100))
    os.utime(RAW, (200, 200))
    planned = {TABLE: Planned(PARAMS, (RAW,))}
    plan.settle(planned, [TABLE])
    assert os.stat(TABLE).st_mtime == 100
    assert digests.digest(TABLE)
    plan.settle(planned, [])
    assert os.stat(TABLE).st_mtime == 200
    os.utime(RAW, (50, 50))
    plan.settle(planned, [])
    assert os.stat(TABLE).st_mtime == 200


def test_times_that_only_another_user_may_set_are_told_instead(monkeypatch):
    def refuse(path, ns):
        raise PermissionError(path)

    os.utime(TABLE, (100, 100))
    os.utime(RAW, (200, 200))
    monkeypatch.setattr(plan.os, "utime", refuse)
    assert plan.settle({TABLE: Planned(PARAMS, (RAW,))}, []) == {TABLE: 200 * 10**9}
    assert os.stat(TABLE).st_mtime == 100


def test_much_to_read_is_announced(monkeypatch):
    said = []
    os.utime(RAW, (100, 100))
    os.utime(TABLE, (100, 100))
    stale(say=said.append)
    assert said == []
    os.utime(RAW, (200, 200))
    monkeypatch.setattr(plan, "LARGE", 2)
    stale(say=said.append)
    assert len(said) == 1 and "against the records of the results" in said[0]


def test_a_message_names_five_and_counts_the_rest():
    lines = plan.message({f"results/{n}.csv": "seed was 1, is 2" for n in range(7)}, "Title:").splitlines()
    assert lines[0] == "Title:" and lines[1] == "  results/0.csv: seed was 1, is 2"
    assert len(lines) == 7 and lines[-1] == "  and 2 more"


def test_accepted_results_are_not_stale_and_their_records_tell_both():
    planned = {TABLE: Planned(PARAMS | {"seed": 2}, (RAW,))}
    plan.accept(planned, plan.stale(planned, print))
    assert plan.stale(planned, print) == {}
    assert stale() == {TABLE: "seed was 2, is 1"}
    record = provenance.read(TABLE)
    assert record["params"]["seed"] == 1 and record["accepted"]["params"]["seed"] == 2
