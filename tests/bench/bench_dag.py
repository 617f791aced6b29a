"""What it costs to look at a workflow: a dry run with nothing made, and a run with nothing to do.

Run: ``PYTHONPATH=workflow:. python tests/bench/bench_dag.py [--tiles 700 --shards 60] [--repeat 3]``

The jobs are those of the default configuration with a larger mock survey. For the run with nothing to do every result
is made up: a file of a few bytes with the record that its job would have written.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import yaml

from tests.end_to_end.conftest import copy_project, snakemake


def made_up(scheduler) -> bool:
    """In place of running the jobs: their outputs and records, and what Snakemake notes of them."""
    from skyloom.core import provenance

    provenance.packages = dict
    for level in scheduler.workflow.dag.toposorted():
        for job in level:
            for path in map(Path, [*job.output, *([job.benchmark] if job.benchmark else [])]):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"made up: {path}\n")
            if not job.rule.norun:
                config = scheduler.workflow.config
                made = SimpleNamespace(rule=job.rule.name, wildcards=job.wildcards, params=job.params, config=config)
                made.input, made.output = job.input, [path for path in job.output if os.path.exists(path)]
                provenance.record(made, provenance.inputs_of(made))
                scheduler.workflow.async_run(scheduler.workflow.persistence.finished(job))
    return True


def make(arguments: list[str]) -> None:
    """A process that makes up what a run with these arguments would make."""
    from snakemake.cli import main
    from snakemake.scheduling.job_scheduler import JobScheduler

    JobScheduler.schedule = made_up
    main(["--dry-run", *arguments])


def timed(folder: Path, repeat: int, *arguments: str) -> tuple[str, str]:
    """The best wall time, its CPU time and the peak memory of a run, as text; and what the last one said."""
    best = None
    for _ in range(repeat):
        with open(folder / "said.txt", "w+") as said:
            start = time.perf_counter()
            process = subprocess.Popen(snakemake(folder, *arguments), cwd=folder, stdout=said, stderr=said)
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            said.seek(0)
            text = said.read()
        assert status == 0, text[-3000:]
        found = (wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
        best = min(best or found, found)
    return "{:.1f} s, {:.1f} s of CPU, {:.0f} MiB".format(*best), text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", type=int, default=700)
    parser.add_argument("--shards", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = copy_project(Path(name, "skyloom"))
        config = {"surveys": {"mock": {"tiles": chosen.tiles, "shards": chosen.shards}}}
        (folder / "large.yaml").write_text(yaml.safe_dump(config))
        arguments = ("all", "--cores", "1", "--configfile", "large.yaml")
        dry, said = timed(folder, chosen.repeat, *arguments, "--dry-run", "--quiet", "rules")
        jobs = re.search(r"^total +(\d+)$", said, re.MULTILINE)[1]
        print(f"{chosen.tiles} tiles in {chosen.shards} shards, {jobs} jobs, {os.cpu_count()} cores")
        print(f"dry run, nothing made: {dry}")
        command = [sys.executable, "-m", "tests.bench.bench_dag", "--make-up", *snakemake(folder, *arguments)[3:]]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=-3, env=environment)
        for what, more in (("run", ()), ("dry run", ("--dry-run",))):
            idle, said = timed(folder, chosen.repeat, *arguments, *more)
            assert "Nothing to be done" in said, said[-3000:]
            print(f"{what}, nothing to do: {idle}")


if __name__ == "__main__":
    make(sys.argv[2:]) if sys.argv[1:2] == ["--make-up"] else main()
