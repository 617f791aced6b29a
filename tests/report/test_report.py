"""The report: stands alone, says what the tables say, and nothing more, for any survey and any analyses."""

import base64
import copy
import json
import re

import numpy as np
import pandas
import pytest

from skyloom.analysis.common import tables
from skyloom.analysis.redshift import scores as redshift_scores
from skyloom.analysis.regression.scores import COLUMNS
from skyloom.core.errors import BadInput
from skyloom.report.page import build_report
from skyloom.settings import layout
from skyloom.settings.config import load
from tests.paths import ROOT

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
CONFIG = {
    "seed": 1,
    "threads": 1,
    "report": "mock",
    "surveys": {
        "mock": {"kind": "mock", "modalities": ["spectrum", "image"], "models": ["foo", "foo_raw", "eye", "both"]},
        "guest": {
            "kind": "desi_samples",
            "modalities": ["spectrum"],
            "models": ["foo", "shift"],
            "models_from": "mock",
        },
        "real": {"kind": "desi_samples", "modalities": ["spectrum"], "models": ["foo"]},
        "vectors": {"kind": "simulated", "modalities": ["lsst"]},
    },
    "models": {
        "foo": {"kind": "specformer", "modality": "spectrum"},
        "foo_raw": {"kind": "specformer", "modality": "spectrum", "training": {"steps": 0}},
        "shift": {"kind": "redshift", "modality": "spectrum"},
        "eye": {"kind": "astrodino", "modality": "image"},
        "both": {"kind": "astroclip", "backbones": {"spectrum": "foo", "image": "eye"}},
    },
    "analyses": {
        "catalog": {},
        "regression": {"properties": ["z", "log_mstar"], "differences": [["foo", "foo_raw"], ["both", "eye"]]},
        "published": {"kind": "regression", "surveys": ["mock"], "properties": ["z"], "k": [64]},
        "retrieval": {},
        "umap": {},
        "redshift": {},
        "mock_validation": {},
    },
}
KINDS = {"foo": "specformer", "foo_raw": "specformer", "eye": "astrodino", "both": "astroclip"}


def r2(model, modality, value, name="z", method="knn", split="test"):
    row = tables.row("mock", model, modality, method, name, split, "r2", value, (value - 0.05, value + 0.05), 400)
    return row | {"kind": KINDS.get(model, model), "trained": model != "foo_raw"}


def delta(model, modality, value, width):
    ci = (value - width, value + width)
    row = tables.row("mock", model, modality, "knn", "z", "test", "delta_r2", value, ci, 399)
    return row | {"kind": "", "trained": ""}


REGRESSION = [
    r2("photometry", "photometry", 0.7, method="mlp"),
    r2("photometry", "photometry", 0.9, "log_mstar", "mlp"),
    r2("foo_raw", "spectrum", 0.86),
    r2("foo", "spectrum", 0.81),
    r2("eye", "image", 0.61),
    r2("both", "image", 0.63),
    r2("both", "image", 0.97, split="validation"),
    delta("foo - foo_raw", "spectrum", -0.05, 0.02),
    delta("both - eye", "image", 0.02, 0.04),
]


def retrieval(value):
    row = ("mock", "both", "image->spectrum")
    found = tables.row(*row, "cosine", "identity", "test", "recall@10", value, (value - 0.01, value + 0.01), 400)
    return [found, tables.row(*row, "chance", "identity", "test", "recall@10", 0.025, n=400)]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A run's results, a file of every kind, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(CONFIG)
    loaded = load(config)
    for survey in loaded.surveys:
        for analysis in loaded.analyses_of(survey):
            for path in layout.outputs(analysis, survey).values():
                write(tmp_path / path, path)
        for role, paths in layout.report_files(survey, loaded).items():
            for path in paths if role != "analyses" else ():
                write(tmp_path / path, path)
    frame = pandas.DataFrame(REGRESSION, columns=COLUMNS)
    for name, rows in {
        "mock/analysis/regression": 9,
        "mock/analysis/published": 4,
        "real/analysis/regression": 4,
    }.items():
        tables.write_csv(f"results/{name}.csv", frame[:rows])
    tables.write_csv("results/mock/analysis/retrieval.csv", retrieval(0.3))
    guest = {"targetid": [39633345008634465], "identifier": ["<i>"], "class": ["GALAXY"], "z": [0.36873]}
    guest |= {"zerr": [1e-5], "probability": [0.99], "flag": [0], "doubt": [""], "z_second": [0.9], "dz": [-7e-6]}
    guest |= {"z_known": [0.36874], "class_known": ["GALAXY"]}
    pandas.DataFrame(guest).to_csv("results/guest/analysis/redshift.csv", index=False)
    scores = list(redshift_scores.rows("network and fit", "galaxies", np.array([-7e-6]), np.array([True]), 0.003))
    tables.write_csv("results/guest/analysis/redshift-scores.csv", scores, redshift_scores.COLUMNS)
    return config


def write(path, name):
    """A file of this name, as small as can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    modality = path.parent.name
    if name.endswith(".png"):
        path.write_bytes(PNG)
    elif name.endswith("splits.parquet"):
        splits = ["train"] * 1200 + ["test"] * 40
        tables.write_parquet(path, pandas.DataFrame({"targetid": range(1240), "split": splits}))
    elif name.endswith("quarantine.csv"):
        path.write_text(f"targetid,file,row,reason\n1,f,0,{modality} all NaN\n")
    elif name.endswith("cuts.csv"):
        path.write_text("survey,cut,kept,lost\nmock,ZWARN == 0,3990,17\n")
    elif name.startswith("resources/"):
        path.write_bytes((ROOT / name).read_bytes())
    elif name.endswith("shared_sky.json"):
        path.write_text(json.dumps({"side_arcsec": 25.2, "separation_arcsec": 1.0, "test": 40, "shared_sky": 0.175}))
    elif name.endswith("model.json"):
        path.write_text(json.dumps({"config": {"kind": "specformer"}, "parameters": 1234567, "steps": 10}))
    else:
        path.write_text("a\n1\n")


def built(config, survey="mock"):
    loaded = load(config)
    build_report(survey, config, layout.report_files(survey, loaded), "report.html")
    with open("report.html") as file:
        return file.read()


def section(page, anchor):
    """The text of one section."""
    start = page.index(f'<h2 id="{anchor}"')
    return page[start : page.index("<h2", start + 1)]


def test_the_page_needs_nothing_else(made):
    page = built(made)
    assert "<script" not in page and "<link" not in page and "http" not in page
    assert set(re.findall(r'src="([^,"]*)', page)) == {"data:image/png;base64"}
    anchors = re.findall(r'href="#([\w-]+)"', page)
    assert len(anchors) == len(set(anchors)) and all(f'id="{name}"' in page for name in anchors)


def test_analyses_follow_the_configuration_guests_after_the_survey(made):
    headings = re.findall(r'<h2 id="((?:mock|guest)-[\w-]+)">([^<]*)', built(made))
    assert [anchor for anchor, _ in headings] == [
        "guest-redshift",  # real data opens the page
        "mock-catalog", "mock-regression", "mock-published", "mock-retrieval", "mock-umap",
        "guest-catalog", "guest-umap",
    ]  # fmt: skip
    titles = dict(headings)
    assert titles["mock-published"] == "Galaxy properties from embeddings (published)"
    assert titles["guest-catalog"] == "The catalogue, guest"


def test_what_is_made_when_asked_for_by_name_is_not_in_the_report(made):
    assert ("mock_validation", "mock") in load(made).made
    assert "mock_validation" not in built(made).split('id="run"')[0]


def test_every_figure_is_there_with_its_caption(made):
    page = built(made)
    figures = re.findall(r'<img src="[^"]*" alt="([^"]+)"><figcaption>([^<]+) <code>([^<]+)', page)
    paths = [path for _, _, path in figures]
    loaded = load(made)
    expected = [p for role in ("analyses", "losses") for p in layout.report_files("mock", loaded)[role]]
    crossed = ("regression-cross.png", "published-cross.png")  # no model of these tables has a shared space
    shown = [path for path in expected if path.endswith(".png") and not path.endswith(crossed)]
    assert sorted(paths) == sorted(shown)
    captions = {path: caption for _, caption, path in figures}
    assert "R2 on the test split" in captions["results/mock/analysis/regression.png"]
    assert captions["results/mock/analysis/published.png"] == captions["results/mock/analysis/regression.png"]
    assert captions["results/mock/models/foo/loss.png"] == "Loss during training: foo."


def test_every_file_can_be_asked_for_by_name(made):
    page, loaded = built(made), load(made)
    files = layout.report_files("mock", loaded)
    assert len(files["quarantine"]) == 2
    for role, paths in files.items():
        for path in paths:
            assert (f"snakemake {path}\n" in page) is (role != "published")  # an input: nothing makes it


def test_the_page_says_what_the_tables_say(made):
    page = built(made)
    part = section(page, "mock-regression")
    assert "<b>0.86</b><br><small>[0.81, 0.91]</small>" in part  # the best from spectra, although it is untrained
    assert "-0.05" in part and "n = 399" in part  # of a comparison: galaxies that both have
    assert "0.97" not in part.split("Published numbers")[0]  # validation scores are for choosing, not for showing
    assert "1,200" in page and "1,234,567" in page and "ZWARN == 0" in page and "0.3687" in page
    assert "spectrum all NaN" in page and "image all NaN" in page
    assert "&lt;i&gt;" in page and "<i>" not in page


def test_claims_stand_first_with_their_verdicts(made):
    rows = re.findall(r'<tr><td>([^<]*)</td><td>([^<]*)</td><td class="(\w+)">([^<]*)', section(built(made), "claims"))
    assert [(text, css, verdict) for text, _, css, verdict in rows] == [
        ("guest: at least 97% of the redshifts of galaxies are within .003", "holds", "holds, within the uncertainty"),
        ("foo beats foo raw (spectrum): zero-shot R2 of redshift", "fails", "fails"),
        ("both beats eye (image): zero-shot R2 of redshift", "holds", "holds, within the uncertainty"),
        ("Recall@10 of both, image-&gt;spectrum, is at least 10 times chance", "holds", "holds"),
    ]
    assert rows[1][1] == "0.810 against 0.860, difference -0.050 [-0.070, -0.030], n = 399; one training seed"


def test_published_numbers_stand_beside_those_of_the_same_kind_of_model(made):
    part = section(built(made), "mock-regression")
    lines = [re.findall("<td>([^<]*)</td>", line) for line in re.findall(r"<tr[^>]*>(?:<td>[^<]*</td>)+</tr>", part)]
    starts = [line[:5] for line in lines]
    assert ["AstroCLIP benchmark", "DESI x Legacy Surveys", "astroclip", "image", "kNN"] in starts
    assert ["this run", "mock", "both", "image", "kNN", "0.63", *[""] * 3] in [line[:9] for line in lines]
    assert ["this run", "mock", "foo", "spectrum", "kNN"] in starts
    assert "foo raw" not in {line[2] for line in lines if line[0] == "this run"}  # untrained: not what was published
    assert part.count('class="ours"') > 2
    assert "no line of ours beats" in " ".join(part.split())


def test_a_guest_is_told_apart_from_the_survey_it_was_trained_on(made):
    part = " ".join(section(built(made), "guest-redshift").split())
    assert "has seen nothing but the survey &#34;mock&#34;, a simulation" in part


def test_only_a_simulated_survey_is_called_one(made):
    assert "The galaxies are simulated" in built(made)
    assert "The galaxies are simulated" in built(made, "vectors")
    assert "The galaxies are simulated" not in built(made, "real")


def test_a_survey_without_images_spectra_and_models_has_a_report(made):
    page = built(made, "vectors")
    for name in ("claims", "models", "vectors-regression", "vectors-retrieval", "vectors-umap"):
        assert f'id="{name}"' not in page and f'href="#{name}"' not in page
    assert 'id="vectors-catalog"' in page


def test_an_analysis_without_a_presentation_shows_its_tables_and_figures(made, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "toy_counts.py").write_text(
        "from skyloom.settings.analysis import AnalysisSettings\n"
        "from skyloom.settings.kinds import AnalysisKind\n"
        "KIND = AnalysisKind(rule='count', title='Counted', settings=AnalysisSettings, run='toy_counts:run',\n"
        "    inputs=lambda context: {'galaxies': context.galaxies},\n"
        "    outputs={'table': 'toy_counts.csv', 'figure': 'toy_counts.png'})\n"
    )
    (tmp_path / "own" / "captions").mkdir()
    (tmp_path / "own" / "captions" / "toy_counts.rst").write_text("Counts of\ngalaxies.")
    made |= {"extensions": [str(tmp_path / "own")], "analyses": {"toy_counts": {}}}
    folder = tmp_path / "results/vectors/analysis"
    pandas.DataFrame({"n_galaxies": range(60)}).to_csv(folder / "toy_counts.csv", index=False)
    (folder / "toy_counts.png").write_bytes(PNG)
    part = section(built(made, "vectors"), "vectors-toy_counts")
    assert "Counted" in part and "n galaxies" in part and "Counts of galaxies." in part
    assert "The first 50 of 60 lines." in part and part.count("<tr><td>") == 50


def test_the_same_inputs_give_the_same_page(made):
    assert built(made) == built(made)


def test_bad_input_is_named(made, tmp_path):
    figure, card = tmp_path / "results/mock/analysis/umap.png", tmp_path / "results/mock/models/foo/model.json"
    figure.write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match="umap.png: not a PNG"):
        built(made)
    figure.write_bytes(PNG)
    card.write_text("{")
    with pytest.raises(BadInput, match="model.json: not a readable model card"):
        built(made)
    card.write_text("{}")
    (tmp_path / "results/mock/analysis/retrieval.csv").write_text("")
    with pytest.raises(BadInput, match="retrieval.csv: not a readable csv"):
        built(made)
    assert not (tmp_path / "report.html").exists()
