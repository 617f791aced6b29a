"""Snakemake's own report is of the run that asks for it, and unpacks to a folder with a name."""

import json
import re
import shutil
import zipfile

import pytest

from skyloom.core.errors import SkyloomError
from skyloom.report.archive import archive
from tests.end_to_end.conftest import run
from tests.paths import ROOT

SNAKEFILE = """
configfile: "config.yaml"

rule figure:
    output: report(f"results/seed{config['seed']}/{config['survey']['name']}.txt")
    params: config=config
    shell: "echo made > {output}"
"""


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """The folder of a run whose settings came from a file and, one of them, from the command line."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "config.yaml").write_text("seed: 1\nsurvey: {name: mock, tiles: 4}\n")
    shutil.copytree(ROOT / "workflow" / "profiles", tmp_path / "profiles")
    done = run(tmp_path, "results/seed2/mock.txt", "--cores", "1", "--config", "seed=2")
    assert done.returncode == 0, done.stderr[-3000:]
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_archive_is_of_the_configuration_of_the_run(finished):
    config = {"seed": 2, "survey": {"name": "mock", "tiles": 4}}
    archive("Snakefile", config, ["results/seed2/mock.txt"], "results/report.zip")
    with zipfile.ZipFile("results/report.zip") as file:
        names, page = file.namelist(), file.read("report/report.html").decode()
    assert {name.split("/")[0] for name in names} == {"report"}
    assert any(name.endswith("mock.txt") for name in names)
    assert "results/seed2/mock.txt" in page
    assert not re.search(r"\.partial-", page) and not list((finished / "results").glob(".partial-*"))
    assert json.loads((finished / ".snakemake/skyloom/config.json").read_text()) == config


def test_a_report_that_cannot_be_made_is_one_line(finished):
    with pytest.raises(SkyloomError, match="could not make its report"):
        archive("Snakefile", {"seed": 3}, ["results/seed2/mock.txt"], "results/report.zip")
    assert not (finished / "results/report.zip").exists()
