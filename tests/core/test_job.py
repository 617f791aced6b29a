"""What a user sees of a job: one line on the terminal, the rest in the log."""

import json
import subprocess
import sys
import textwrap
import time

from skyloom.core import provenance
from tests.paths import LIBRARY

SCRIPT = """
import sys, time
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
    code = SCRIPT.format(library=str(LIBRARY), body=textwrap.dedent(body))
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
    body = "open('results/mock/out.txt', 'a').write('a'); time.sleep(2); open('results/mock/out.txt', 'a').write('b')"
    first = start(tmp_path, body)
    log = tmp_path / "results/mock/logs/x.log"
    while not (log.exists() and "from python" in log.read_text()):
        time.sleep(0.05)
    second = start(tmp_path, body)
    assert "waiting for an earlier run" in second.communicate()[1]
    first.communicate()
    assert (tmp_path / "results/mock/out.txt").read_text() == "abab"
