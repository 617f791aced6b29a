"""Snakemake's own report: every figure and table with the rule, code and parameters that made it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from skyloom.core.errors import SkyloomError
from skyloom.core.files import atomic, write_json

CONFIG = Path(".snakemake", "skyloom", "config.json")  # the report names it: always the same


def archive(
    snakefile: str | os.PathLike, config: Mapping, targets: Sequence[str | os.PathLike], path: str | os.PathLike
) -> None:
    """Write the report (zip) of the finished workflow behind `targets`.

    It is made while the workflow runs: all that leads to them is finished by then. It holds times and run times, so
    unlike other results its bytes differ between runs.

    Parameters
    ----------
    config
        All of this run, from files and from `--config`: the Snakemake that writes the report has to plan the same jobs.

    Raises
    ------
    SkyloomError : Snakemake could not make it.
    """
    write_json(CONFIG, config)
    with atomic(path) as temporary:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--nolock", "--cores", "1"]
        command += ["--configfile", str(CONFIG), "--report", str(temporary), "--", *map(str, targets)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout)
        if done.returncode:
            raise SkyloomError(f"{path}: Snakemake could not make its report; its messages are above in the log")
