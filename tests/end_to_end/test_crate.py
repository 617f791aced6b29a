"""The RO-Crate of a whole run: complete, with the terms of every survey, without traces of the machine."""

import hashlib
import zipfile

import pytest
from rocrate.rocrate import ROCrate

from tests.end_to_end.conftest import run

pytestmark = pytest.mark.end_to_end
CRATE = "results/mock/crate.zip"
LICENCES = {
    "mock": "https://spdx.org/licenses/BSD-3-Clause",
    "mock_spectra": "https://spdx.org/licenses/BSD-3-Clause",
    "mock_grism": "https://spdx.org/licenses/BSD-3-Clause",
    "desi_samples": "https://spdx.org/licenses/CC-BY-4.0",
    "euclid_samples": "https://www.cosmos.esa.int/web/esdc/terms-and-conditions",
    "sdss_samples": "https://www.sdss.org/collaboration/image-use-policy/",
}


@pytest.fixture(scope="module")
def packed(finished):
    """The crate of the finished run."""
    done = run(finished, CRATE, "--configfile", "tiny.yaml", "--cores", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    return finished / CRATE


def test_the_crate_of_a_run_holds_what_the_report_shows_and_is_true_to_it(packed, finished):
    crate, members = ROCrate(packed), zipfile.ZipFile(packed)
    files = {entity.id: entity for entity in crate.data_entities}
    assert set(files) == set(members.namelist()) - {"ro-crate-metadata.json"}
    for name, entity in files.items():
        content = members.read(name)
        assert entity["sha256"] == hashlib.sha256(content).hexdigest(), name
        if name.startswith("results/"):
            assert content == (finished / name).read_bytes(), name
    for end in (".png", ".csv", ".parquet", ".safetensors", "report.html", "cuts.csv", "manifest.csv"):
        assert any(name.startswith("results/mock/") and name.endswith(end) for name in files), end
    (action,) = crate.get_by_type("CreateAction")
    assert {entity.id for entity in action["result"]} == {name for name in files if name.startswith("results/")}
    assert {"bagpipes 1.3.6", "fastspecfit 3.6.1"} <= {entity["name"] for entity in action["object"]}


def test_the_crate_of_a_run_states_the_licence_of_every_survey(packed):
    crate = ROCrate(packed)
    for survey, licence in LICENCES.items():
        entity = crate.get(f"#survey-{survey}")
        assert entity["license"].id == licence and entity["citation"], survey
    assert {entity.id for entity in crate.license} == set(LICENCES.values())


def test_the_crate_of_a_run_names_no_folder_of_this_machine(packed, finished):
    members = zipfile.ZipFile(packed)
    for name in members.namelist():
        assert str(finished).encode() not in members.read(name), name


def test_a_survey_without_licence_is_refused_before_the_first_job(finished):
    mine = finished / "mine.yaml"
    mine.write_text("surveys: {sdss_samples: {licence: null}}\n")
    command = (CRATE, "--configfile", "tiny.yaml", "mine.yaml", "--cores", "1", "-n")
    refused = run(finished, *command)
    assert refused.returncode != 0
    assert "surveys.sdss_samples.licence: the key is missing" in refused.stdout + refused.stderr
