"""A copy of the project in an empty folder, run as a user would, on a tiny configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

TINY = ROOT / "tests" / "end_to_end" / "tiny.yaml"
PARTS = ("Snakefile", "config.yaml", "profiles", "workflow", "envs", "resources", "requirements.lock", "LICENSE")


def snakemake(folder: Path, *arguments: str) -> list[str]:
    """The command line of a run in `folder`, with the Snakemake of the environment the tests run in."""
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--directory",
        str(folder),
        "--snakefile",
        str(folder / "Snakefile"),
        *arguments,
    ]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the workflow in `folder` to its end."""
    return subprocess.run(snakemake(folder, *arguments), cwd=folder, capture_output=True, text=True, timeout=3600)


def copy_project(folder: Path) -> Path:
    """Copy what a run needs; the tiny configuration becomes the default one."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    shutil.copy(TINY, folder / "tiny.yaml")
    return folder
