"""The configuration: a wrong value gives one line with the user's value and what is allowed."""

import copy
from pathlib import Path

import pytest
import yaml

from skyloom import layout
from skyloom.config import validate
from skyloom.errors import BadConfig

ROOT = Path(__file__).parents[1]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(path: str, value: object) -> dict:
    """The default configuration with one value set (or removed, for Ellipsis)."""
    config = copy.deepcopy(DEFAULT)
    *parents, last = path.split(".")
    section = config
    for key in parents:
        section = section[key]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return config


def test_default_configuration_is_valid():
    validate(DEFAULT)


@pytest.mark.parametrize("preset", sorted((ROOT / "resources/presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_are_valid_on_top_of_the_default(preset):
    def merge(base, over):
        return {**base, **{k: merge(base[k], v) if isinstance(v, dict) and k in base else v for k, v in over.items()}}

    validate(merge(copy.deepcopy(DEFAULT), yaml.safe_load(preset.read_text())))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("surveys.mock.tiles", 0, ["surveys.mock.tiles", "0 is not allowed", "at least 1"]),
        ("surveys.mock.tiles", "many", ["surveys.mock.tiles", "'many'", "expected integer"]),
        ("surveys.mock.kind", "moc", ["surveys.mock.kind", "'moc'", "allowed are", "mock"]),
        ("surveys.mock.tyles", 4, ["surveys.mock", "unknown key 'tyles: 4'", "did you mean 'tiles'"]),
        ("surveys.mock.split.fractions.train", 0.7, ["add up to 0.9", "must add up to 1"]),
        ("surveys.mock.models", ["specformer", "specformr"], ["'specformr' is not a model", "specformer"]),
        ("surveys.desi_samples.models_from", "mok", ["'mok' is not a survey", "mock"]),
        ("surveys.mock.modalities", ["spectrum", "radio"], ["'radio' is not a modality", "hsc_image"]),
        ("surveys.mock.modalities", [1], ["surveys.mock.modalities.0", "expected string"]),
        ("surveys.mock.crossmatch.require", ["spectrum"], ["crossmatch.require.0", "allowed are image, hsc_image"]),
        ("models.pca_hsc_image.modality", "lsst", ["models.pca_hsc_image.modality", "'lsst'", "hsc_image"]),
        ("report", "sdss", ["'sdss' is not a survey"]),
        ("seed", -1, ["seed", "-1", "at least 0"]),
        ("seed", ..., ["top level", "'seed' is missing"]),
        ("models.specformer.model.layers", 2.5, ["models.specformer.model.layers", "2.5", "integer"]),
        ("models.astroclip.backbones.image", "astrodyno", ["'astrodyno' is not a model of this modality"]),
        ("models.specformer.training.steps", -5, ["models.specformer.training.steps", "-5", "at least 0"]),
        ("analyses.regression.k", [], ["analyses.regression.k", "[]", "at least 1 entries"]),
        ("analyses.umapp", {}, ["unknown key 'umapp: {}'", "did you mean 'umap'"]),
    ],
)
def test_a_wrong_value_is_one_line(path, value, words):
    with pytest.raises(BadConfig) as error:
        validate(changed(path, value))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_model_of_a_modality_that_the_survey_lacks_is_neither_embedded_nor_reported():
    for modalities, expected in ((["spectrum", "image", "hsc_image"], True), (["spectrum", "image"], False)):
        config = changed("surveys.mock.modalities", modalities)
        cards = layout.report_files("mock", config)["cards"]
        assert ("results/mock/models/pca_hsc_image/model.json" in cards) == expected
        assert ("pca_hsc_image-hsc_image" in layout.embeddings("mock", config)) == expected
        assert "results/mock/models/astroclip/model.json" in cards
