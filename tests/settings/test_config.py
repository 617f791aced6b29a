"""The configuration: a wrong value gives one line with the user's value and what is allowed."""

import copy
import json
import re

import jsonschema
import pytest
import yaml

from skyloom.core.errors import BadConfig, SkyloomError
from skyloom.models import mmae
from skyloom.settings import layout
from skyloom.settings.config import load as validate
from skyloom.settings.section import Section, parse, setting, with_defaults
from tests.paths import ROOT

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
COMMON = ("modalities", "models", "shards", "compression", "require_properties", "split")


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


def merged(base: dict, over: dict) -> dict:
    """A configuration on top of another, as Snakemake puts them together."""
    return {**base, **{k: merged(base[k], v) if isinstance(v, dict) and k in base else v for k, v in over.items()}}


WITH_REDSHIFT = merged(DEFAULT, {"models": {"redshift": {"kind": "redshift", "modality": "spectrum"}}})


@pytest.mark.parametrize("preset", sorted((ROOT / "resources/presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_are_valid_on_top_of_the_default(preset, tmp_path, monkeypatch):
    given = yaml.safe_load(preset.read_text())
    monkeypatch.chdir(tmp_path)
    for survey in filter(None, given["surveys"].values()):
        for path in survey.get("files", ()):  # what the user brings
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).touch()
    validate(merged(DEFAULT, given))


def test_presets_of_mmae_are_the_published_network_in_the_same_training():
    presets = (ROOT / f"resources/presets/{name}.yaml" for name in ("mmae", "galaxiesml_spectra"))
    configs = (merged(DEFAULT, yaml.safe_load(path.read_text())) for path in presets)
    mock, published = (validate(config).models["mmae"] for config in configs)
    assert mock.settings == published.settings and mock.training == published.training
    expected = parse(mmae.Config, mmae.PUBLISHED, "published").plain()
    without = ("velocity", "continuum", "components")  # of spectra and redshifts that are not the published ones
    assert {k: v for k, v in published.settings.plain().items() if k not in without} == {
        k: v for k, v in expected.items() if k not in without
    }


@pytest.mark.parametrize(("page", "count"), [("README.md", 8), ("workflow/skyloom/surveys/README.md", 4)])
def test_configurations_shown_are_valid(page, count, tmp_path, monkeypatch):
    for name in (
        "spectra.fits",
        "list.csv",
        "DESI_HSC_64x64_v2.hdf5",
        "stein/north/a.h5",
        "stein/south/a.h5",
        "hats/hsc_cosmos/hats.properties",
    ):
        path = tmp_path / "my" / name  # the reader's own
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text()
    shown = [
        *re.findall(r"```yaml\n(.*?)```", text, re.DOTALL),
        *re.findall(r"^echo '(.*)' > mine.yaml", text, re.MULTILINE),
        *re.findall(r"^cat > mine.yaml <<END\n(.*?)^END", text, re.MULTILINE | re.DOTALL),
    ]
    assert len(shown) == count
    for lines in shown:
        validate(merged(WITH_REDSHIFT, yaml.safe_load(lines)))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("surveys.mock.tiles", 0, ["surveys.mock.tiles", "0 is not allowed", "at least 1"]),
        ("surveys.mock.tiles", "7", ["surveys.mock.tiles", "'7'", "expected integer, this is text", "use a file"]),
        ("surveys.mock.tiles", "7e0", ["expected integer", "wants a point", "write 7"]),
        ("surveys.mock.tiles", "many", ["surveys.mock.tiles", "'many'", "expected integer"]),
        ("surveys.mock.kind", "moc", ["surveys.mock.kind", "'moc'", "allowed are", "mock"]),
        ("surveys.mock.tyles", 4, ["surveys.mock", "unknown key 'tyles: 4'", "did you mean 'tiles'"]),
        ("surveys.mock.split.fractions.train", 0.7, ["add up to 0.9", "must add up to 1"]),
        (
            "surveys.mock.models",
            ["specformer", "specformr"],
            ["'specformr' is not a model", "did you mean 'specformer'"],
        ),
        ("surveys.desi_samples.models_from", "mok", ["'mok' is not a survey", "did you mean 'mock'"]),
        ("surveys.mock.modalities", ["spectrum", "radio"], ["'radio' is not a modality", "hsc_image"]),
        ("surveys.mock.modalities", [1], ["surveys.mock.modalities.0", "expected string"]),
        ("surveys.mock.crossmatch.require", ["spectrum"], ["crossmatch.require.0", "allowed are image, hsc_image"]),
        ("models.specformer.modality", "image", ["models.specformer.modality", "'image'", "allowed are spectrum"]),
        (
            "surveys.mock.modalities",
            ["spectrum", "scalars"],
            ["surveys.mock.modalities: 'scalars' is not a modality of kind mock", "are spectrum, image, hsc_image"],
        ),
        (
            "surveys.simulated.modalities",
            ["spectrum"],
            ["'spectrum' is not a modality of kind simulated; allowed are scalars"],
        ),
        (
            "surveys.desi_samples.modalities",
            ["image"],
            ["'image' is not a modality of kind desi_samples; allowed are spectrum"],
        ),
        ("surveys.mock.targets_per_tile", {"bgs": 0}, ["surveys.mock.targets_per_tile", "{'bgs': 0}", "above 0"]),
        ("report", "sdss", ["'sdss' is not a survey"]),
        (
            "models.astroclip.model",
            {"keep": {"hsc_image": 1.0}},
            ["models.astroclip.model.keep.hsc_image: not a modality of the model; allowed are image, spectrum"],
        ),
        ("models.astroclip.model", {"heads_by": {"hsc_image": "dense"}}, ["heads_by.hsc_image: not a modality"]),
        ("models.astroclip.model", {"unfrozen": {"hsc_image": 1}}, ["unfrozen.hsc_image: not a modality"]),
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


PAIRS = "results/{}/catalog/DESI_HSC_64x64.hdf5"


@pytest.mark.parametrize(
    ("survey", "more", "words"),
    [
        ("mock", {}, None),
        ("mok", {}, "cannot be made: 'mok' is not another survey; there are mock, mock_spectra, desi_samples"),
        ("pairs", {}, "cannot be made: 'pairs' is not another survey"),
        ("mock_grism", {}, "'mock_grism' has not both DESI's coadds and HSC images, but spectrum"),
        ("simulated", {}, "'simulated' has not both"),
        ("mock", {"hsc_size": 127}, r"HSC images of 'mock' have 127 pixels \(surveys.mock.hsc_size\)"),
    ],
)
def test_pairs_that_another_survey_makes_need_not_be_there(survey, more, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imaged = {"modalities": ["spectrum", "image", "hsc_image"]}
    config = merged(DEFAULT, {"surveys": {"mock": imaged | more}})
    config["surveys"]["pairs"] = {"kind": "galaxiesml_spectra", "files": [PAIRS.format(survey)]}
    if words is None:
        assert validate(config).surveys["pairs"].samples["spectrum"] == [PAIRS.format("mock")]
        return
    with pytest.raises(BadConfig, match=f"surveys.pairs.files: '.*{words}") as error:
        validate(config)
    assert "\n" not in str(error.value)


def test_pairs_that_are_there_are_files_like_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / PAIRS.format("earlier")
    path.parent.mkdir(parents=True)
    path.touch()
    entry = {"kind": "galaxiesml_spectra", "files": [PAIRS.format("earlier")]}
    assert validate(merged(DEFAULT, {"surveys": {"pairs": entry}})).surveys["pairs"].samples


def test_an_image_that_is_needed_must_be_among_the_modalities():
    config = changed("surveys.mock.modalities", ["spectrum", "image"])
    config["surveys"]["mock"]["crossmatch"]["require"] = ["hsc_image"]
    with pytest.raises(BadConfig, match="mock.crossmatch.require: 'hsc_image' is not among the survey's modalities"):
        validate(config)
    config["surveys"]["mock"]["crossmatch"]["require"] = ["image"]
    validate(config)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"column": "mass", "factor": "1e9"}, "log_mstar.factor: '1e9' is not allowed; expected number"),
        ({"column": 3}, "log_mstar.column: 3 is not allowed; expected string"),
        ({"factor": 2}, "log_mstar: the key 'column' is missing"),
        ({"column": "mass", "log": True}, "log_mstar: unknown key 'log: True'; did you mean 'log10'"),
        (["mass_1", "mass_2"], r"log_mstar: \['mass_1', 'mass_2'\] is not allowed; expected string or object"),
    ],
)
def test_a_column_of_a_catalogue_of_ones_own_has_a_checked_form(entry, words):
    columns = dict.fromkeys(("ra", "dec", "redshift", "log_mhalo", "log_mstar"), "name")
    columns |= {"lsst": ["u", "g"], "sfh": {"column": "rate", "log10": True, "floor": -4}}
    own = {"kind": "simulated_catalog", "files": ["own.h5"], "columns": columns}
    shared = {key: value for key, value in DEFAULT["surveys"]["simulated"].items() if key in COMMON}
    config = changed("surveys.own", own | shared)
    validate(config)
    config["surveys"]["own"]["columns"] = columns | {"log_mstar": entry}
    with pytest.raises(BadConfig, match=f"^config: surveys.own.columns.{words}"):
        validate(config)


def test_a_model_of_a_modality_that_the_survey_lacks_is_neither_embedded_nor_reported():
    for modalities, expected in ((["spectrum", "image", "hsc_image"], True), (["spectrum", "image"], False)):
        config = changed("surveys.mock.modalities", modalities)
        config["surveys"]["mock"]["models"] = [*config["surveys"]["mock"]["models"], "pca_hsc_image"]
        config = validate(config)
        cards = layout.report_files("mock", config)["cards"]
        assert ("results/mock/models/pca_hsc_image/model.json" in cards) == expected
        assert ("pca_hsc_image-hsc_image" in layout.embeddings("mock", config)) == expected
        assert "results/mock/models/astroclip/model.json" in cards


def test_a_report_shows_the_surveys_it_names_and_goes_on_without_those_taken_out():
    loaded = validate(DEFAULT)
    assert {"euclid_samples", "sdss_samples"} <= set(loaded.shown("mock")) and not loaded.notices
    assert "mock_grism" not in loaded.shown("mock")  # only what is named
    without = validate(changed("surveys.euclid_samples", None))
    assert "euclid_samples" not in without.shown("mock") and "sdss_samples" in without.shown("mock")
    assert any("report_with: 'euclid_samples' is not a survey" in notice for notice in without.notices)
    own = changed("surveys.mock", None)
    own["surveys"]["desi_samples"] = None
    alone = validate(own | {"report": ["euclid_samples"], "analyses": {"redshift": {}}})
    assert ("redshift", "euclid_samples") in alone.made


def test_a_place_may_be_given_by_its_name_alone_in_the_schema_too():
    schema = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    columns = {"flux": "FLUX", "error": {"column": "ERR", "hdu": 1}, "identifier": ["A", "B"]}
    config = copy.deepcopy(DEFAULT)
    config["surveys"]["mine"] = {"kind": "spectra", "files": ["x.fits"], "columns": columns}
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(config))
    config["surveys"]["mine"]["columns"] = {"flux": 5}
    assert list(validator.iter_errors(config))


def test_a_probe_stands_on_one_model_and_an_alignment_on_two():
    config = changed(
        "models.mine", {"kind": "finetune", "backbones": {"spectrum": "specformer"}, "model": {"labels": ["z"]}}
    )
    config["surveys"]["mock"] |= {"models": ["specformer", "mine"], "models_from": None}
    config["analyses"] = {"regression": {}}
    loaded = validate(config)
    assert [model.name for model in loaded.models_of("mock")] == ["specformer", "mine"]
    assert set(layout.embeddings("mock", loaded)) == {"specformer-spectrum"}
    asked = ["results/mock/predictions/mine-properties.parquet"]
    assert layout.predictions("mock", loaded) == loaded.made["regression", "mock"]["predictions"] == asked
    with pytest.raises(BadConfig, match="astroclip.backbones: {'spectrum': 'specformer'} is not .* at least 2"):
        validate(changed("models.astroclip.backbones", {"spectrum": "specformer"}))


def test_what_a_model_takes_it_must_have_to_answer():
    config = changed(
        "models.mine", {"kind": "finetune", "backbones": {"image": "astrodino"}, "model": {"labels": ["z"]}}
    )
    config["surveys"]["mock"] |= {"models": ["astrodino", "mine"], "modalities": ["spectrum"], "models_from": None}
    config["analyses"] = {}
    loaded = validate(config)
    assert not loaded.models_of("mock") and not layout.predictions("mock", loaded)


def test_a_model_starts_from_another_of_its_kind_trained_on_a_survey():
    config = changed(
        "models.on", {"kind": "specformer", "modality": "spectrum", "starts_from": {"model": "specformer"}}
    )
    config["surveys"]["mock"] |= {"models": ["specformer", "on"], "models_from": None}
    config["analyses"] = {}
    assert validate(config).models["on"].starts_from.survey is None
    start = config["models"]["on"]["starts_from"]
    for values, words in (
        ({"model": "astrodino"}, "'astrodino' is not another model of this kind; allowed are .*specformer"),
        ({"model": "on"}, "'on' is not another model of this kind"),
        ({"model": "specformer", "survey": "simulated"}, "'specformer' is not trained on 'simulated'; it is on mock$"),
    ):
        start.clear()
        start |= values
        with pytest.raises(BadConfig, match=f"models.on.starts_from.*{words}"):
            validate(config)
    config["models"]["on"]["model"] = {"dim": 64}
    start.clear()
    start |= {"model": "specformer"}
    with pytest.raises(BadConfig, match="'specformer' is another network: its model.dim is 128, not 64"):
        validate(config)
    config["models"]["on"]["model"] = config["models"]["specformer"]["model"]
    config["surveys"]["desi_samples"] |= {"models": ["on"], "models_from": {"on": "mock"}}
    start |= {"survey": "typo"}
    with pytest.raises(BadConfig, match="'specformer' is not trained on 'typo'"):
        validate(config)
    config["models"]["specformer"]["starts_from"] = {"model": "on"}
    start |= {"model": "specformer", "survey": "mock"}
    with pytest.raises(BadConfig, match="starts from .* in its turn"):
        validate(config)
    with pytest.raises(BadConfig, match="pca_image.starts_from: is not allowed; pca does not learn by gradients"):
        validate(changed("models.pca_image.starts_from", {"model": "pca_spectrum"}))


def test_a_backbone_of_another_survey_is_taken_from_there():
    entry = {"kind": "astroclip", "backbones": {"image": "astrodino", "spectrum": "redshift"}}
    config = changed("models.mine", entry)
    config["surveys"]["mock"]["models"] = ["redshift", "astrodino", "mine"]
    config["analyses"] = {}
    loaded = validate(config)
    folders = {name: layout.model_folder("mock", name, loaded) for name in ("redshift", "astrodino", "mine")}
    assert folders["redshift"] == "results/mock_spectra/models/redshift"
    assert folders["mine"] == "results/mock/models/mine" and folders["astrodino"] == "results/mock/models/astrodino"
    assert {"mine-image", "mine-spectrum"} <= set(layout.embeddings("mock", loaded))


def test_galaxies_are_drawn_only_by_a_model_that_says_how_numbers_vary_together():
    with pytest.raises(BadConfig, match="mosaic.queries.lsst_redshift.samples: 8 is not allowed; the model has no"):
        validate(changed("models.mosaic.model.factors", 0))


def test_queries_of_one_surveys_model_are_no_fault_of_anothers_and_a_typo_is_one():
    config = changed("models.seen", DEFAULT["models"]["mosaic"] | {"queries": {"own": {"given": ["lsst"]}}})
    config["surveys"]["other"] = config["surveys"]["simulated"] | {"models": ["seen"]}
    loaded = validate(config)
    assert {survey for name, survey in loaded.made if name == "queries"} == {"simulated", "other"}
    gain = {"of": "redshift", "better": "lsst_sphrex", "worse": "lsst"}
    with pytest.raises(BadConfig, match="analyses.queries: 'lsst_sphrex' is not a query of 'mosaic'"):
        validate(changed("analyses.queries.gains", [gain]))


def test_a_section_with_other_defaults_has_the_keys_ranges_and_meanings_of_the_first():
    class First(Section):
        """One."""

        width: int = setting(64, ge=1, le=100)
        "columns"
        rate: float = setting(0.5, gt=0)
        "how fast"

    other = with_defaults(First, width=8)
    assert list(other.model_fields) == ["width", "rate"] and other.model_fields["width"].description == "columns"
    assert parse(other, {}, "s").plain() == {"width": 8, "rate": 0.5}
    assert parse(First, {}, "s").plain() == {"width": 64, "rate": 0.5}
    with pytest.raises(BadConfig, match="s.width: 101 is not allowed; must be at most 100"):
        parse(other, {"width": 101}, "s")


def finetuned(**model):
    config = changed("models.mine", {"kind": "finetune", "backbones": {"spectrum": "specformer"}, "model": model})
    config["surveys"]["mock"] |= {"models": ["specformer", "mine"], "models_from": None}
    config["analyses"] = {}
    return config


ZCAT = "results/mock/raw/zcatalog/zall-pix-mock.fits"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({}, "models.mine.model: the key 'labels' is missing"),
        ({"labels": ["redshft"]}, "labels: 'redshft' is not a column of galaxies.parquet"),
        ({"labels": ["spectyp"], "classes": ["QSO", "STAR"]}, "did you mean 'spectype'.. One of a table"),
        (
            {"labels": ["z"], "unfrozen": 3},
            "model.unfrozen: 3 is not allowed; 'specformer' has 2 blocks that can learn",
        ),
        ({"labels": ["z"], "unfrozen": "some"}, "model.unfrozen"),
        ({"labels": ["z"], "classes": ["a"]}, "classes: .'a'. is not allowed; needs at least 2 entries"),
        ({"labels": ["z", "t_age"], "classes": ["a", "b"]}, "labels: .* classes are those of one label"),
        ({"labels": ["z", "z"]}, "labels: 'z' is named twice"),
        ({"labels": ["targetid"]}, "labels: 'targetid' is not allowed"),
        ({"labels": ["z"], "table": "nowhere.csv"}, "model.table: 'nowhere.csv' is not a file"),
        (
            {"labels": ["z"], "table": ZCAT.replace("zall", "zal")},
            f"is not a raw file of the survey; did you mean '{ZCAT}'",
        ),
        ({"labels": ["zz"], "table": "there.csv"}, "labels: 'zz' is not a column of there.csv; did you mean 'z'"),
        (
            {"labels": ["kind"], "table": "there.csv", "classes": ["S", "E"]},
            "classes: 'E' has 1 of there.csv, expected 2",
        ),
        ({"labels": ["z"], "table": "there.txt"}, "there.txt: labels are read from files that end in"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused_before_the_first_job(model, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("TARGETID,z,kind\n1,0.1,S\n2,0.2,S\n3,0.3,E\n")
    (tmp_path / "there.txt").write_text("")
    with pytest.raises(SkyloomError, match=words) as caught:
        validate(finetuned(**model))
    assert "\n" not in str(caught.value)


def test_what_is_learned_is_asked_for_by_where_the_labels_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model, query in (
        ({"labels": ["z", "t_age"]}, "properties"),
        ({"labels": ["mag_r"]}, "labels"),
        ({"labels": ["z"], "table": ZCAT, "unfrozen": 2}, "labels"),
        ({"labels": ["MORPHTYPE"], "table": ZCAT, "classes": ["DEV", "EXP", 7, True], "unfrozen": "all"}, "labels"),
    ):
        asked = [f"results/mock/predictions/mine-{query}.parquet"]
        assert layout.predictions("mock", validate(finetuned(**model))) == asked
    config = finetuned(labels=["z"], unfrozen="all")
    config["models"]["mine"]["backbones"] = {"spectrum": "pca_spectrum"}
    with pytest.raises(BadConfig, match="'all' is not allowed; 'pca_spectrum' has no weights that learn"):
        validate(config)
    config["models"]["mine"] = {**config["models"]["mine"], "model": {"labels": ["z"]}}
    validate(config)
