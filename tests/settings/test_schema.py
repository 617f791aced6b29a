"""Every setting is stated once: schema, commented values, default run and code are made from the same sections."""

import re

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from skyloom.catalog import columns, cuts
from skyloom.mock.layout import MockSettings
from skyloom.settings import document, kinds
from skyloom.settings.config import Root
from skyloom.settings.models import ModelSettings
from skyloom.settings.names import MODALITIES, PROPERTIES
from skyloom.settings.section import Section
from skyloom.settings.survey import OPERATORS, SurveySettings
from skyloom.settings.training import Training
from tests.paths import ROOT

SCHEMAS = ROOT / "workflow" / "schemas"
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
KINDS = [(room, kind) for room in kinds.ROOMS for kind in kinds.own_kinds(room)]


@pytest.fixture(scope="module")
def documents():
    return document.documents()


def test_the_committed_schema_and_settings_are_those_the_code_makes(documents):
    for name, text in documents.items():
        assert (SCHEMAS / name).read_text() == text, f"run python -m skyloom.settings.document ({name})"


def test_the_schema_takes_the_default_run_and_refuses_a_typo():
    schema = document.schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert not list(validator.iter_errors(DEFAULT))
    wrong = {**DEFAULT, "surveys": {"mock": {**DEFAULT["surveys"]["mock"], "tyles": 3}}}
    assert list(validator.iter_errors(wrong))


def test_the_commented_settings_are_yaml_that_names_every_setting(documents):
    text = documents["settings.yaml"]
    yaml.safe_load(text)
    for section in sections():
        for name, field in section.model_fields.items():
            assert re.search(rf"^ *#? *{re.escape(field.alias or name)}:", text, re.MULTILINE), (section, name)


def sections() -> set[type[Section]]:
    """Every section there is."""
    found = {Root, ModelSettings, Training, *(kinds.find(room, kind, kind).settings for room, kind in KINDS)}
    todo = list(found)
    while todo:
        for field in todo.pop().model_fields.values():
            for part in _types(field.annotation):
                if part not in found:
                    found.add(part)
                    todo.append(part)
    return found


def _types(annotation) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _types(part)]


def test_every_setting_says_what_it_means():
    without = [(s.__name__, n) for s in sections() for n, field in s.model_fields.items() if not field.description]
    assert not without


@pytest.mark.parametrize(("room", "kind"), KINDS)
def test_a_kind_names_code_that_exists(room, kind):
    declared = kinds.find(room, kind, kind)
    for name in ("network", "objective", "run", "present", "fetch"):
        if getattr(declared, name, ""):
            assert callable(kinds.load(getattr(declared, name))), name


def test_default_configuration_shows_every_optional_setting_of_a_tile_with_its_default():
    mock, _ = (ROOT / "config.yaml").read_text().split("\n  desi_samples:")
    shown = dict(re.findall(r"^    (?:# )?(\w+): ([\w.]+) #", mock, re.MULTILINE))
    own = set(MockSettings.model_fields) - set(SurveySettings.model_fields) - {"targets_per_tile", "exposure"}
    for key in own:
        assert yaml.safe_load(shown[key]) == MockSettings.model_fields[key].default, key


def test_the_cuts_shown_in_the_default_configuration_are_the_usual_ones_but_for_quasars():
    block = re.search(r"^    # cuts:.*\n((?:    #   - .*\n)+)", (ROOT / "config.yaml").read_text(), re.MULTILINE)[1]
    shown = yaml.safe_load(block.replace("#", " "))
    usual = [cut["name"] for cut in cuts.DESI_GALAXIES if cut["name"] != "is_galaxy"]
    assert [cut["name"] for cut in shown if cut in cuts.DESI_GALAXIES] == usual
    assert {"name": "is_galaxy_or_quasar", "column": "SPECTYPE", "in": ["GALAXY", "QSO"]} in shown
    assert len(shown) == len(usual) + 1 and all(cuts.check_cut(cut) for cut in shown)


def test_the_words_of_the_settings_are_those_of_the_catalogue():
    assert set(cuts.OPERATORS) == set(OPERATORS)
    assert set(PROPERTIES) <= set(columns.GALAXIES)
    from skyloom.tokens.statistics import STATISTICS

    assert set(STATISTICS) == set(MODALITIES)


@pytest.mark.parametrize("name", [name for name in DEFAULT["analyses"] if DEFAULT["analyses"][name]])
def test_default_configuration_writes_out_every_key_of_an_analysis(name):
    kind = DEFAULT["analyses"][name].get("kind", name)
    keys = set(kinds.find("analysis", kind, name).settings.model_fields) - {"kind", "surveys"}
    assert set(DEFAULT["analyses"][name]) - {"kind"} == keys
