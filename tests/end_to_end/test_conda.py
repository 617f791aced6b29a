"""``--sdm conda`` with a stand-in for conda that builds environments by venv and pip: paths, imports, pins, hashing.

It does not solve as conda-forge does, and nothing here says that conda-forge has these packages. The stand-in is no
part of the project: a folder with an executable `conda`, named by SKYLOOM_CONDA_STAND_IN or lying beside the project.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import snakemake
from tests.end_to_end.small import SCRIPT, project
from tests.paths import ROOT

pytestmark = pytest.mark.end_to_end
BESIDE = ROOT.parent / "shared" / "cluster" / "conda-shim" / "bin"
STAND_IN = Path(os.environ.get("SKYLOOM_CONDA_STAND_IN", BESIDE))
ENVIRONMENT = """
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python =3.11
  - tabulate {versions}
"""
INSIDE = """
import sys
import tabulate
with open("used.txt", "a") as file:
    file.write(f"{sys.prefix} {tabulate.__file__} {tabulate.__version__}\\n")
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """The small workflow, its first rule in an environment with one package."""
    if not (STAND_IN / "conda").exists():
        pytest.skip(f"no stand-in for conda at {STAND_IN} (SKYLOOM_CONDA_STAND_IN)")
    made = project(tmp_path / "project", SCRIPT + INSIDE)
    snakefile = made / "Snakefile"
    snakefile.write_text(snakefile.read_text().replace("    threads: 8\n", '    threads: 8\n    conda: "env.yaml"\n'))
    (made / "env.yaml").write_text(ENVIRONMENT.format(versions=">=0.9"))
    return made


def ran(folder: Path) -> tuple[list[str], list[str]]:
    """What a run with environments made, and what its scripts said of theirs."""
    for name in ("ran.txt", "used.txt"):
        (folder / name).unlink(missing_ok=True)
    path = os.pathsep.join([str(STAND_IN), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = snakemake(folder, "--cores", "1", "--sdm", "conda")
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=1800, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [
        (folder / name).read_text().splitlines() if (folder / name).exists() else [] for name in ("ran.txt", "used.txt")
    ]
    return sorted(found[0]), found[1]


def test_a_rule_runs_in_its_environment_and_again_only_when_that_changes(folder):
    made, used = ran(folder)
    assert made == ["results/joined.txt", "results/parts/a.txt", "results/parts/b.txt"]
    environments = folder / ".snakemake" / "conda"
    inside = [line.split() for line in used if line.startswith(str(environments))]
    assert len(inside) == 2 and all(module.startswith(prefix) for prefix, module, _ in inside)
    assert ran(folder) == ([], [])
    (folder / "env.yaml").write_text(ENVIRONMENT.format(versions="==0.9.0"))
    made, used = ran(folder)
    assert "results/parts/a.txt" in made and "results/parts/b.txt" in made
    assert [line.split()[2] for line in used if line.startswith(str(environments))] == ["0.9.0", "0.9.0"]
