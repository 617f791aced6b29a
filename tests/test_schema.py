"""The schema, the default configuration and the code know the same keys: none can drift from the others."""

from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

from skyloom.analysis import clusters, projection, redshift, regression, retrieval
from skyloom.models import KINDS
from skyloom.surveys import registry
from skyloom.training.settings import Settings

ROOT = Path(__file__).parents[1]
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


def test_schema_of_training_has_the_keys_of_the_settings():
    assert set(COMMON["$defs"]["model"]["properties"]["training"]["properties"]) == set(get_type_hints(Settings))


@pytest.mark.parametrize("name", ANALYSES)
def test_default_configuration_writes_out_every_key_of_an_analysis(name):
    keys = set(ANALYSES[name].DEFAULTS) - {"seed"}  # one seed for the whole run
    assert set(DEFAULT["analyses"][name]) == keys
    assert set(COMMON["properties"]["analyses"]["properties"][name]["properties"]) == keys
