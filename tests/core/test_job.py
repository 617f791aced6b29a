"""What a user sees of a job: one line on the terminal, the rest in the log."""

import hashlib
import json
import platform
import subprocess
import sys
import textwrap
from importlib.metadata import version

from skyloom.core import provenance
from skyloom.core.job import errors, lock_path, only_run, progress
from skyloom.core.locks import waiting_lock
from tests.events import wait_until
from tests.paths import LIBRARY

SCRIPT = """
import os, sys, time
from types import SimpleNamespace
sys.path.insert(0, {library!r})
from skyloom.core.job import job
from skyloom.core.errors import BadInput
snakemake = SimpleNamespace(
    rule="crossmatch", wildcards={{"survey": "mock"}}, log=["results/mock/logs/x.log"], input=["in.txt"],
    output=["results/mock/out.txt"], params={{"code": "abc"}}, config={{"seed": 7}},
)
with job(snakemake):
    print("from python")
{body}
"""


def start(folder, body):
    (folder / "in.txt").write_text("input")
    code = SCRIPT.format(library=str(LIBRARY), body=textwrap.indent(textwrap.dedent(body), "    "))
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=-1, stderr=-1, text=True)


def test_error_is_one_line_and_the_traceback_is_in_the_log(tmp_path):
    process = start(tmp_path, "raise BadInput('coadd-1.fits: no HDU B_FLUX')")
    out, err = process.communicate()
    assert process.returncode == 1
    assert out == "" and err == "crossmatch: coadd-1.fits: no HDU B_FLUX\n"
    log = (tmp_path / "results/mock/logs/x.log").read_text()
    assert "from python" in log and "Traceback" in log and "survey=mock" in log


def test_success_leaves_a_provenance_record(tmp_path, monkeypatch):
    process = start(tmp_path, "open('results/mock/out.txt', 'w').write('result')")
    process.communicate()
    assert process.returncode == 0
    monkeypatch.chdir(tmp_path)
    record = provenance.read("results/mock/out.txt")
    assert record["seed"] == 7 and record["params"] == {"code": "abc"}
    assert record["sha256"] == provenance.sha256("results/mock/out.txt")
    assert record["inputs"] == {"in.txt": provenance.sha256("in.txt")}
    assert "seconds" not in json.dumps(record)


def test_a_job_waits_for_a_leftover_of_itself(tmp_path):
    body = """
        open("results/mock/out.txt", "a").write("a")
        while not os.path.exists("go"):
            time.sleep(0.02)
        open("results/mock/out.txt", "a").write("b")
    """
    out = tmp_path / "results/mock/out.txt"
    first = start(tmp_path, body)
    wait_until(lambda: out.exists() and out.read_text() == "a", "the first job begins")
    second = start(tmp_path, body)
    assert "waiting for an earlier run" in second.stderr.readline()
    (tmp_path / "go").touch()
    assert first.wait() == 0 and second.wait() == 0
    assert out.read_text() == "abab"
    first.communicate(), second.communicate()


def test_a_leftover_whose_log_was_deleted_is_waited_for(tmp_path):
    held = tmp_path / lock_path("results/mock/logs/x.log")
    with waiting_lock(held, print):
        process = start(tmp_path, "open('results/mock/out.txt', 'w').write('result')")
        assert "waiting for an earlier run" in process.stderr.readline()
        assert not (tmp_path / "results/mock/out.txt").exists()
    assert process.wait() == 0
    process.communicate()


def test_an_input_that_changes_while_the_job_runs_is_named_and_not_recorded_as_read(tmp_path, monkeypatch):
    process = start(tmp_path, "open('results/mock/out.txt', 'w').write('x'); open('in.txt', 'w').write('other')")
    assert "in.txt changed while this job read it" in process.communicate()[1]
    monkeypatch.chdir(tmp_path)
    before = hashlib.sha256(b"input").hexdigest()
    assert provenance.read("results/mock/out.txt")["inputs"] == {"in.txt": before}


def test_a_record_names_the_packages_that_the_code_imports(tmp_path, monkeypatch):
    process = start(tmp_path, "import skyloom.formats.provabgs; open('results/mock/out.txt', 'w').write('x')")
    process.communicate()
    monkeypatch.chdir(tmp_path)
    found = provenance.read("results/mock/out.txt")["packages"]
    assert found["h5py"] == version("h5py") and found["numpy"] == version("numpy")
    assert found["python"] == platform.python_version()
    assert "pytest" not in found and "snakemake" not in found


def test_progress_is_a_line_of_the_job_at_most_so_often(tmp_path):
    process = start(
        tmp_path,
        """
        from skyloom.core.job import progress
        progress("step 1"); progress("step 2"); progress("step 3", every=0)
        open("results/mock/out.txt", "w").write("x")
        """,
    )
    assert process.communicate()[1] == "crossmatch mock: step 1\ncrossmatch mock: step 3\n"


def test_progress_outside_a_job_says_nothing(capfd):
    progress("step 1")
    assert capfd.readouterr() == ("", "")


def test_error_lines_are_kept_until_the_next_run(tmp_path):
    (tmp_path / ".snakemake").mkdir()
    start(tmp_path, "raise BadInput('coadd-1.fits: no HDU')").communicate()
    folder = str(tmp_path / ".snakemake")
    assert errors(folder) == ["crossmatch mock: coadd-1.fits: no HDU (log: results/mock/logs/x.log)"]
    with only_run(folder):
        assert errors(folder) == []
