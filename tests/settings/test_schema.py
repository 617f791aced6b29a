"""The schema, the default configuration and the code know the same keys: none can drift from the others."""

import re
from typing import get_type_hints

import pytest
import yaml

from skyloom.analysis.clusters import clusters
from skyloom.analysis.redshift import neighbours as redshift
from skyloom.analysis.regression import scores as regression
from skyloom.analysis.retrieval import ranks as retrieval
from skyloom.analysis.umap import projection
from skyloom.catalog import cuts
from skyloom.mock import layout as mock_layout
from skyloom.mock.instruments.spectrograph.instrument import EXPOSURES
from skyloom.models import KINDS
from skyloom.settings import registry
from skyloom.surveys import simulated as simulated_layout
from skyloom.training.settings import Settings
from tests.paths import ROOT

SCHEMAS = ROOT / "workflow" / "schemas"
COMMON = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
ANALYSES = {
    "regression": regression,
    "retrieval": retrieval,
    "umap": projection,
    "clusters": clusters,
    "redshift": redshift,
}


@pytest.mark.parametrize("kind", KINDS)
def test_schema_of_a_model_has_the_keys_of_its_config(kind):
    schema = yaml.safe_load((SCHEMAS / "models" / f"{kind}.yaml").read_text())
    keys = set(get_type_hints(KINDS[kind][0].Config)) - {"modality"}  # stated once, beside `model`
    assert set(schema["properties"]["model"]["properties"]) == keys


def test_every_kind_of_model_and_survey_has_a_schema_and_no_other():
    assert {path.stem for path in (SCHEMAS / "models").glob("*.yaml")} == set(KINDS)
    for path in (SCHEMAS / "surveys").glob("*.yaml"):
        survey = {"kind": path.stem, "tiles": 1, "parts": 1, "files": ["catalogue.parquet"]}
        assert any(registry.raw_files(path.stem, survey).values())


def survey_keys(kind):
    return set(yaml.safe_load((SCHEMAS / "surveys" / f"{kind}.yaml").read_text())["properties"])


def test_schemas_of_generated_surveys_have_the_settings_of_their_jobs():
    assert survey_keys("mock") == {*mock_layout.TILE_KEYS, "tiles"}
    assert survey_keys("simulated") == {*simulated_layout.SETTINGS, "parts"}


def test_default_configuration_shows_every_optional_setting_of_a_tile_with_its_default():
    mock, _ = (ROOT / "config.yaml").read_text().split("\n  desi_samples:")
    shown = dict(re.findall(r"^    (?:# )?(\w+): ([\w.]+) #", mock, re.MULTILINE))
    for key, value in (mock_layout.DEFAULTS | {"exposure": EXPOSURES["bright"]}).items():
        assert yaml.safe_load(shown[key]) == value, key


def test_the_cuts_shown_in_the_default_configuration_are_the_usual_ones_but_for_quasars():
    block = re.search(r"^    # cuts:.*\n((?:    #   - .*\n)+)", (ROOT / "config.yaml").read_text(), re.MULTILINE)[1]
    shown = yaml.safe_load(block.replace("#", " "))
    assert [cut["name"] for cut in shown if cut in cuts.DESI_GALAXIES] == [
        *("is_target", "fibre_ok", "redshift_ok", "best_spectrum")
    ]
    assert shown[3] == {"name": "is_galaxy_or_quasar", "column": "SPECTYPE", "in": ["GALAXY", "QSO"]}
    assert len(shown) == 5 and all(cuts.check_cut(cut) for cut in shown)


def test_default_configuration_writes_out_every_key_of_the_validation():
    keys = COMMON["properties"]["analyses"]["properties"]["mock_validation"]["properties"]
    assert set(DEFAULT["analyses"]["mock_validation"]) == set(keys)


def test_schema_of_training_has_the_keys_of_the_settings():
    assert set(COMMON["$defs"]["model"]["properties"]["training"]["properties"]) == set(get_type_hints(Settings))


@pytest.mark.parametrize("name", ANALYSES)
def test_default_configuration_writes_out_every_key_of_an_analysis(name):
    keys = set(ANALYSES[name].DEFAULTS) - {"seed"}  # one seed for the whole run
    assert set(DEFAULT["analyses"][name]) == keys
    assert set(COMMON["properties"]["analyses"]["properties"][name]["properties"]) == keys
