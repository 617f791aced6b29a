"""A workflow of two rules around the real `job` and `start.smk`: what surrounds every rule, tested in seconds."""

import shutil
import subprocess
from pathlib import Path

from tests.end_to_end.conftest import ROOT, snakemake

SNAKEFILE = """
import os, sys
library = {library!r}
sys.path.insert(0, library)
os.environ.update(PYTHONPATH=library)
from skyloom.core.code import code_hash

config.setdefault("seed", 1)
config.setdefault("names", ["a", "b"])
config.setdefault("scale", 1)

include: {start!r}

rule all:
    default_target: True
    input: "results/joined.txt"

rule part:
    input: "raw/{{name}}.txt"
    output: "results/parts/{{name}}.txt"
    log: "results/logs/part-{{name}}.log"
    benchmark: "results/benchmarks/part-{{name}}.tsv"
    params:
        seed=config["seed"],
        settings=dict(scale=config["scale"]),
        cores=lambda wildcards, threads: threads,
        code=code_hash("make.py"),
    threads: 8
    script: "make.py"

rule joined:
    input: [f"results/parts/{{name}}.txt" for name in config["names"]]
    output: "results/joined.txt"
    log: "results/logs/joined.log"
    benchmark: "results/benchmarks/joined.tsv"
    params: code=code_hash("make.py")
    script: "make.py"
"""
SCRIPT = """
from pathlib import Path
from skyloom.core.job import job

with job(snakemake):
    text = " ".join(Path(path).read_text().strip() for path in snakemake.input)
    Path(snakemake.output[0]).write_text(f"{text} {snakemake.params.get('seed', 'joined')}")
    with open("ran.txt", "a") as file:
        file.write(f"{snakemake.output[0]}\\n")
"""


def project(folder: Path, script: str = SCRIPT) -> Path:
    """Write the workflow and its raw files into `folder`, with the profile of Skyloom."""
    workflow = ROOT / "workflow"
    (folder / "raw").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"raw/{name}.txt").write_text(f"raw {name}\n")
    start = str(workflow / "rules" / "start.smk")
    (folder / "Snakefile").write_text(SNAKEFILE.format(library=str(workflow), start=start))
    (folder / "make.py").write_text(script)
    shutil.copytree(workflow / "profiles", folder / "profiles")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run it to its end; Snakemake is to take no checksums, as for the large files of a survey."""
    command = snakemake(folder, "--cores", "1", "--max-checksum-file-size", "0", *arguments)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3600)


def ran(folder: Path, *arguments: str) -> tuple[list[str], str]:
    """The outputs that a run made, sorted, and what it told the terminal. Raises AssertionError if the run failed."""
    (folder / "ran.txt").unlink(missing_ok=True)
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    made = folder / "ran.txt"
    return sorted(made.read_text().split()) if made.exists() else [], done.stderr
