"""What a user reads at the end of a run that failed, and while a long job works."""

from tests.end_to_end.small import project, run

FAILING = """
from skyloom.core.errors import BadInput
from skyloom.core.job import job, progress

with job(snakemake):
    progress("step 100 of 2000")
    raise BadInput("raw/a.txt: no HDU B_FLUX")
"""


def test_the_line_of_a_failed_job_stands_at_the_very_end(tmp_path):
    folder = project(tmp_path / "project", FAILING)
    failed = run(folder, "results/parts/a.txt")
    assert failed.returncode != 0
    lines = failed.stderr.strip().splitlines()
    assert lines[-2:] == ["What went wrong:", "  part a: raw/a.txt: no HDU B_FLUX (log: results/logs/part-a.log)"]
    assert "part a: step 100 of 2000" in lines


def test_errors_of_an_earlier_run_are_not_shown_again(tmp_path):
    folder = project(tmp_path / "project", FAILING)
    run(folder, "results/parts/a.txt")
    again = run(folder, "results/parts/b.txt")
    assert "part b: raw/a.txt" in again.stderr and "part a" not in again.stderr.split("What went wrong:")[1]
