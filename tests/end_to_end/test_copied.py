"""Times alone rerun nothing, other content or settings always do, wherever the results have been copied from."""

import os
import shutil
import subprocess
import time

import pytest

from skyloom.core import provenance
from tests.end_to_end.small import project, ran, run

pytestmark = pytest.mark.end_to_end
ALL = ["results/joined.txt", "results/parts/a.txt", "results/parts/b.txt"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a finished run."""
    folder = project(tmp_path_factory.mktemp("made") / "project")
    assert ran(folder)[0] == ALL
    return folder


WAYS = {
    "cp -a": ["cp", "-a"],
    "cp -r": ["cp", "-r"],
    "rsync -a": ["rsync", "-a"],
    "mv": ["mv"],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_was_copied_or_moved_has_nothing_to_do_and_says_what_other_settings_made(made, tmp_path, way):
    if not shutil.which(WAYS[way][0]):
        pytest.skip(f"{WAYS[way][0]} is not installed")
    original, folder = tmp_path / "original", tmp_path / "deep" / "elsewhere"
    subprocess.run(["cp", "-a", made, original], check=True)  # one of its own, since it may be moved
    folder.parent.mkdir()
    source = f"{original}/" if way == "rsync -a" else str(original)
    subprocess.run([*WAYS[way], source, str(folder)], check=True)
    before = {path: path.read_bytes() for path in folder.rglob("results/**/*") if path.is_file()}
    plan = run(folder, "--dry-run")
    assert "Nothing to be done" in plan.stdout + plan.stderr
    assert ran(folder)[0] == []
    assert {path: path.read_bytes() for path in before} == before and len(before) > 6
    other, terminal = ran(folder, "--config", "seed=2")
    assert other == ALL and "results/parts/a.txt: seed was 1, is 2" in terminal


@pytest.fixture(params=["with notes", "without .snakemake"])
def copied(made, tmp_path, request):
    """A copy of all, or without what Snakemake noted."""
    return aged_copy(made, tmp_path / "elsewhere", request.param == "with notes")


@pytest.fixture
def bare(made, tmp_path):
    """A copy without what Snakemake noted, which could tell by itself what has changed."""
    return aged_copy(made, tmp_path / "elsewhere", False)


def aged_copy(made, folder, notes: bool):
    """A copy in another folder where what comes later in the workflow is older: scripts are the newest."""
    subprocess.run(["cp", "-r", made, folder], check=True)
    if not notes:
        shutil.rmtree(folder / ".snakemake")
    now = time.time()
    for age, pattern in enumerate(("*.py", "raw/*", "results/parts/*", "results/*.txt", "results/benchmarks/*")):
        for path in folder.glob(pattern):
            os.utime(path, (now - 100 * age, now - 100 * age))
    return folder


def test_a_copy_has_nothing_to_do(copied):
    made, terminal = ran(copied, "--cores", "2")
    assert made == [] and "Nothing to be done" in terminal
    assert "made again" not in terminal


def test_a_touched_raw_file_reruns_nothing(copied):
    assert ran(copied)[0] == []
    (copied / "raw/a.txt").touch()
    assert ran(copied)[0] == []


def test_other_content_reruns_what_depends_on_it_however_old_and_large_it_is(copied):
    raw = copied / "raw/a.txt"
    assert len("raw A\n") == raw.stat().st_size
    raw.write_text("raw A\n")
    os.utime(raw, (1e9, 1e9))  # as `rsync -a` brings it
    made, terminal = ran(copied)
    assert made == ["results/joined.txt", "results/parts/a.txt"]
    assert "results/parts/a.txt: raw/a.txt has changed" in terminal
    assert (copied / "results/joined.txt").read_text() == "raw A 1 raw b 1 joined"
    assert ran(copied)[0] == []


def test_another_setting_reruns_what_it_made_and_is_named(copied):
    made, terminal = ran(copied, "--config", "seed=2", "scale=3")
    assert made == ALL
    assert "results/parts/a.txt: seed was 1, is 2; settings.scale was 1, is 3" in terminal
    assert (copied / "results/joined.txt").read_text() == "raw a 2 raw b 2 joined"


def test_fewer_inputs_rerun_what_was_made_of_more(bare):
    made, terminal = ran(bare, "--config", "names=['a']")
    assert made == ["results/joined.txt"]
    assert "made from other files (results/parts/b.txt)" in terminal


def test_edited_code_reruns_what_it_made(bare):
    script = bare / "make.py"
    script.write_text(script.read_text().replace("{text}", "{text.upper()}"))
    made, terminal = ran(bare)
    assert made == ALL and "results/parts/a.txt: its code has changed" in terminal


def test_a_result_that_is_not_what_was_recorded_is_made_again(bare):
    (bare / "results/parts/b.txt").write_text("by hand")
    assert "results/parts/b.txt" in ran(bare)[0]


def test_touch_accepts_results_of_other_settings_and_keeps_what_made_them(bare, monkeypatch):
    arguments = ("--config", "seed=2")
    accepted = run(bare, "--touch", *arguments)
    assert accepted.returncode == 0 and "accepted as they are" in accepted.stderr
    assert ran(bare, *arguments)[0] == []
    monkeypatch.chdir(bare)
    assert provenance.read("results/parts/a.txt")["params"]["seed"] == 1


def test_a_dry_run_says_what_a_run_would_do(bare):
    plan = run(bare, "--dry-run", "--config", "seed=2")
    assert "seed was 1, is 2" in plan.stderr and "part" in plan.stdout + plan.stderr
    assert ran(bare)[0] == []
