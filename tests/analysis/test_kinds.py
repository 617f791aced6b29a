"""What the kinds of analysis declare: names, inputs by survey, captions; and that reading it costs no numpy."""

import copy
import subprocess
import sys

import pytest
import yaml

from skyloom.analysis.common import captions
from skyloom.analysis.common.head_settings import HeadSettings
from skyloom.core.errors import BadConfig
from skyloom.settings import kinds, layout
from skyloom.settings.config import load
from skyloom.settings.section import parse
from tests.paths import LIBRARY, ROOT

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
KINDS = kinds.own_kinds("analysis")


def changed(**analyses):
    """The default configuration with these analyses in place of its own."""
    config = {**copy.deepcopy(DEFAULT), "analyses": analyses}
    for survey in config["surveys"].values():
        survey.pop("analyses", None)
    return config


def test_the_default_analyses_are_made_where_they_can_be():
    made = set(load(DEFAULT).made)
    of_mock = {"regression", "retrieval", "umap", "clusters", "mock_validation"}
    of_mock |= {"catalog", "examples", "redshift", "calibration", "sky", "environment", "brightness", "residuals"}
    of_mock |= {"outliers", "anomalies", "audit", "benchmark", "published_protocol", "training_scores", "domain_shift"}
    of_mock |= {"attention", "filling"}
    assert {analysis for analysis, survey in made if survey == "mock"} == of_mock
    assert {analysis for analysis, survey in made if survey == "simulated"} == {"catalog", "examples", "queries"}
    assert {a for a, survey in made if survey == "desi_samples"} == {"redshift", "catalog", "examples", "domain_gap"}


def test_inputs_of_a_survey_are_what_it_has():
    compared = {"compared": ["specformer-spectrum"]}
    made = load(changed(examples={}, retrieval={}, redshift=compared, mock_validation={})).made
    modalities = {"tokens_scalars", "tokens_lsst", "tokens_spherex", "tokens_sfh", "tokens_sed"}
    assert set(made["examples", "simulated"]) == {"galaxies", *modalities}
    aligned = ("astroclip", "astroclip_redshift")
    names = [f"{model}-{modality}" for model in aligned for modality in ("image", "spectrum")]
    assert sorted(made["retrieval", "mock"]["embeddings"]) == [f"results/mock/embeddings/{n}.parquet" for n in names]
    redshift = made["redshift", "desi_samples"]
    assert redshift["reference"] == ["results/mock/embeddings/specformer-spectrum.parquet"]
    assert redshift["reference_galaxies"] == ["results/mock/catalog/galaxies.parquet"]
    assert redshift["predictions"] == ["results/desi_samples/predictions/redshift-redshift.parquet"]
    assert redshift["model"][0] == "results/mock_spectra/models/redshift/model.safetensors"
    assert "embeddings" not in made["redshift", "mock_spectra"]
    samples = made["mock_validation", "mock"]["samples"]
    assert len(samples) == 4 and all(path.startswith("results/desi_samples/raw/") for path in samples)


def test_a_survey_can_name_what_is_made_of_it():
    config = changed(sky={}, regression={}, catalog={}, published={"kind": "regression"})
    config["surveys"]["mock"]["analyses"] = ["regression", "catalog"]
    assert {name for name, survey in load(config).made if survey == "mock"} == {"regression", "catalog"}
    config["surveys"]["mock"]["analyses"] = ["sky", "published"]  # whose predictions are not made
    assert {name for name, survey in load(config).made if survey == "mock"} == {"published"}
    config["analyses"]["sky"]["surveys"] = ["mock"]
    with pytest.raises(BadConfig, match="sky.surveys: 'mock' does not name 'regression' among its `analyses`"):
        load(config)
    config["surveys"]["mock"]["analyses"] = ["skye"]
    del config["analyses"]["sky"]["surveys"]
    assert load(config).notices == ["surveys.mock.analyses: 'skye' is not an analysis; did you mean 'sky'?"]


def test_what_another_analysis_makes_is_taken_from_where_it_is():
    made = load(changed(regression={}, published={"kind": "regression"}, sky={"regression": "published"})).made
    assert made["sky", "mock"]["predictions"] == ["results/mock/analysis/published-predictions.parquet"]
    assert ("sky", "simulated") not in made and ("sky", "desi_samples") not in made
    with pytest.raises(BadConfig, match="sky.regression: 'umap' is of kind umap, which makes no predictions"):
        load(changed(umap={}, sky={"regression": "umap"}))
    assert not load(changed(regression=None, sky={})).made  # taken out: nothing is scored


def test_figures_come_in_another_form_too_where_that_is_wanted():
    loaded = load({**changed(catalog={}), "vector": "pdf"})
    names = layout.outputs(loaded.analyses["catalog"], "mock")
    pictures = {role: path for role, path in names.items() if path.endswith(".png")}
    assert pictures and all(names[f"{role}_vector"] == path[:-3] + "pdf" for role, path in pictures.items())


def test_two_analyses_of_a_kind_stand_side_by_side():
    loaded = load(changed(regression={}, published={"kind": "regression", "k": [64]}))
    names = [set(layout.outputs(loaded.analyses[name], "mock").values()) for name in ("regression", "published")]
    assert not names[0] & names[1]
    assert names[0] == {
        f"results/mock/analysis/{name}"
        for name in ("regression.csv", "regression-predictions.parquet", "regression-predictions.png")
    } | {"results/mock/analysis/regression.png", "results/mock/analysis/regression-cross.png"}
    assert "results/mock/analysis/published-predictions.png" in names[1]


def test_a_map_of_chosen_embeddings_is_not_made_for_a_survey_without_them():
    chosen = {"kind": "umap", "embeddings": ["astroclip-image"]}
    assert set(load(changed(chosen=chosen, umap={})).made) == {
        ("chosen", "mock"), ("umap", "mock"), ("umap", "mock_spectra"), ("umap", "desi_samples"),
        ("umap", "mock_grism"), ("umap", "euclid_samples"), ("umap", "sdss_samples"),
    }  # fmt: skip
    with pytest.raises(BadConfig, match="chosen.surveys: 'desi_samples' has no embedding 'astroclip-image'; it has"):
        load(changed(chosen=chosen | {"surveys": ["desi_samples"]}))


@pytest.mark.parametrize(
    ("analyses", "words"),
    [
        ({"retrieval": {"models": ["specformer"]}}, "retrieval.models: 'specformer' has no space that its modalities"),
        ({"retrieval": {"models": ["astrclip"]}}, "retrieval.models.0: 'astrclip' is not a model; did you mean"),
        (
            {"retrieval": {"likeness": ["mag_g + mag_r"]}},
            "retrieval.likeness.0: 'mag_g . mag_r' is not allowed; must match",
        ),
        ({"umap": {"embeddings": ["astroclip-imag"]}}, "embeddings.0: 'astroclip-imag' is not an embedding; did you"),
        ({"clusters": {"k": [1, 2]}}, "clusters.k: .* needs at least 3 entries"),
        ({"redshift": {"model": "specfomer"}}, "redshift.model: 'specfomer' is not a model; did you mean 'specformer'"),
        ({"redshift": {"compared": ["specformer"]}}, "redshift.compared.0: 'specformer' is not an embedding; did you"),
        ({"regression": {"differences": [["astroclip", "photometri"]]}}, "did you mean 'photometry'"),
        ({"examples": {"modalities": ["xray"]}}, "examples.modalities.0: 'xray' is not a modality"),
        ({"catalog": {"bins": 3}}, "catalog: unknown key 'bins: 3'"),
        (
            {"reconstruction": {"model": "mosiac"}},
            "reconstruction.model: 'mosiac' is not a model; did you mean 'mosaic'",
        ),
        ({"reconstruction": {"lines": {"He II": {"wavelength": 1640.4}}}}, "lines.He II: the key 'window' is missing"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_job(analyses, words):
    with pytest.raises(BadConfig, match=f"config: .*{words}"):
        load(changed(**analyses))


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_has_its_caption(kind):
    declared = kinds.find("analysis", kind, "").outputs.values()
    assert len(set(declared)) == len(declared)
    for name in declared:
        if name.endswith(".png"):
            assert captions.caption_file(kind, name), name
            assert captions.caption(kind, name).endswith(".")


def test_a_table_has_a_caption_of_its_own():
    assert captions.caption("regression", "regression.csv") != captions.caption("regression", "regression.png")
    assert captions.caption_file("clusters", "clusters.csv") is None and captions.caption("clusters", "x.csv") == ""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_is_there(kind):
    found = kinds.find("analysis", kind, "")
    assert callable(kinds.load(found.run))
    assert not found.present or callable(kinds.load(found.present))
    assert (ROOT / "envs" / f"{found.environment}.yaml").is_file()


def test_the_snakefile_reads_the_kinds_without_numpy():
    code = (
        "import sys; from skyloom.settings import kinds; from skyloom.analysis.common import captions\n"
        f"for kind in {KINDS}: kinds.find('analysis', kind, ''); captions.caption_file(kind, 'x.png')\n"
        "print(sorted({'numpy', 'pandas', 'torch', 'matplotlib', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(LIBRARY)}
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_keys_of_heads_are_declared_once_and_keep_their_defaults():
    keys = ("hidden", "dropout", "learning_rate", "batch_size", "epochs", "components", "chosen_on")
    expected = {
        "regression": (64, 0.1, 1e-3, 64, [10], [4, 8, 16, 32, 64], None),
        "calibration": (128, 0.1, 4e-3, 128, 30, 8, 0.1),
        "domain_shift": (64, 0.1, 6e-3, 64, 12, 3, 0.1),
    }
    for kind, values in expected.items():
        section = kinds.find("analysis", kind, kind).settings
        given = parse(section, {}, kind).plain()
        assert tuple(given.get(key) for key in keys) == values
        for key in ("hidden", "dropout", "learning_rate", "batch_size"):
            assert section.model_fields[key].description == HeadSettings.model_fields[key].description
