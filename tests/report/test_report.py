"""The report: stands alone, says what the tables say, and nothing more."""

import base64
import json
import re

import pandas
import pytest

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.report import checks
from skyloom.report.page import build_report

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
CONFIG = {"seed": 1, "surveys": {"mock": {"kind": "mock"}, "desi": {"kind": "desi"}}}


def r2(model, modality, value, name="z", method="knn", split="test"):
    return tables.row("mock", model, modality, method, name, split, "r2", value, (value - 0.05, value + 0.05), 400)


def delta(model, modality, value, width):
    return tables.row(
        "mock", model, modality, "knn", "z", "test", "delta_r2", value, (value - width, value + width), 400
    )


def regression():
    rows = [
        r2("specformer", "spectrum", 0.81),
        r2("specformer_untrained", "spectrum", 0.42),
        r2("pca_spectrum", "spectrum", 0.86),
    ]
    rows += [
        r2("astroclip", "image", 0.63),
        r2("astrodino", "image", 0.61),
        r2("astroclip", "image", 0.97, split="validation"),
    ]
    rows += [
        delta("specformer - specformer_untrained", "spectrum", 0.39, 0.1),
        delta("specformer - pca_spectrum", "spectrum", -0.05, 0.02),
    ]
    rows += [delta("astroclip - astrodino", "image", 0.02, 0.04)]
    rows += [r2("photometry", "photometry", 0.7, method="mlp"), r2("photometry", "photometry", 0.9, "log_mstar", "mlp")]
    return pandas.DataFrame(rows)


def retrieval(value):
    row = ("mock", "astroclip", "image->spectrum")
    ci = (value - 0.01, value + 0.01)
    found = tables.row(*row, "cosine", "identity", "test", "recall@10", value, ci, 400)
    return pandas.DataFrame([found, tables.row(*row, "chance", "identity", "test", "recall@10", 0.025, n=400)])


@pytest.fixture
def inputs(tmp_path):
    """A table, figure or card of every kind."""
    files = {name: tmp_path / f"{name}.csv" for name in ("regression", "retrieval", "redshift", "flow", "published")}
    tables.write_csv(files["regression"], regression())
    tables.write_csv(files["retrieval"], retrieval(0.3))
    pandas.DataFrame({"targetid": [39633345008634465], "z_redrock": [0.36874], "note": ["<i>"]}).to_csv(
        files["redshift"], index=False
    )
    pandas.DataFrame({"survey": "mock", "cut": ["ZWARN == 0"], "kept": [3990], "lost": [17]}).to_csv(
        files["flow"], index=False
    )
    published = {
        "source": "AstroCLIP journal",
        "survey": "DESI x Legacy Surveys",
        "model": "astroclip",
        "modality": "image",
    }
    published |= {"method": "knn", "property": "z", "metric": "r2", "value": 0.79, "reference": "MNRAS"}
    pandas.DataFrame([published]).to_csv(files["published"], index=False)
    for modality in ("image", "spectrum"):
        (tmp_path / modality).mkdir()
        rows = {"targetid": [1], "file": ["f"], "row": [0], "reason": [f"{modality} all NaN"]}
        pandas.DataFrame(rows).to_csv(tmp_path / modality / "quarantine.csv", index=False)
    files["quarantine"] = [tmp_path / m / "quarantine.csv" for m in ("image", "spectrum")]
    files["splits"] = tmp_path / "splits.parquet"
    tables.write_parquet(
        files["splits"], pandas.DataFrame({"targetid": range(1240), "split": ["train"] * 1200 + ["test"] * 40})
    )
    names = ["catalog", "examples", "regression", "regression-predictions", "retrieval", "retrieval-recall"]
    names += ["umap", "kmeans", "hdbscan", "redshift", "loss-specformer"]
    figures = {name: tmp_path / f"{name}.png" for name in names}
    for path in figures.values():
        path.write_bytes(PNG)
    card = tmp_path / "specformer" / "model.json"
    card.parent.mkdir()
    card.write_text(json.dumps({"config": {"kind": "specformer"}, "parameters": 1234567, "steps": 10, "seed": 1}))
    return files, figures, [card]


def built(tmp_path, files, figures, cards, survey="mock"):
    build_report(survey, CONFIG, files, figures, cards, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


def test_the_page_needs_nothing_else(tmp_path, inputs):
    page = built(tmp_path, *inputs)
    assert "<script" not in page and "<link" not in page and "http" not in page
    assert set(re.findall(r'src="([^,"]*)', page)) == {"data:image/png;base64"}
    assert page.count("<img ") == len(inputs[1])
    anchors = re.findall(r'href="#(\w+)"', page)
    assert len(anchors) == 11 and all(f'id="{name}"' in page for name in anchors)


def test_every_file_can_be_asked_for_by_name(tmp_path, inputs):
    page = built(tmp_path, *inputs)
    files, figures, cards = inputs
    for path in [*files["quarantine"], files["regression"], *figures.values(), *cards]:
        assert f"snakemake {path}\n" in page
    assert f"snakemake {files['published']}" not in page  # an input: nothing makes it


def test_the_page_says_what_the_tables_say(tmp_path, inputs):
    page = built(tmp_path, *inputs)
    assert "<b>0.86</b><br><small>[0.81, 0.91]</small>" in page  # the best from spectra, although it is the baseline
    assert "1,200" in page and "1,234,567" in page and "ZWARN == 0" in page and "39633345008634465" in page
    assert "spectrum all NaN" in page and "image all NaN" in page
    assert "&lt;i&gt;" in page and "<i>" not in page
    assert "0.97" not in page  # validation scores are for choosing, not for showing


def test_published_numbers_stand_beside_ours_with_their_survey(tmp_path, inputs):
    page = built(tmp_path, *inputs)
    lines = re.findall(r"<tr[^>]*>(?:<td>[^<]*</td>)+</tr>", page[page.index('id="published"') :])
    cells = [re.findall("<td>([^<]*)</td>", line) for line in lines]
    assert ["AstroCLIP journal", "DESI x Legacy Surveys", "astroclip", "image", "kNN", "0.79"] in cells
    assert ["this run", "mock", "astroclip", "image", "kNN", "0.63"] in cells
    assert "no line of ours beats" in " ".join(page.split())


def test_only_a_mock_is_called_one(tmp_path, inputs):
    assert "are a mock survey with known truth" in built(tmp_path, *inputs)
    assert "mock survey" not in built(tmp_path, *inputs, survey="desi")


def test_sections_that_are_absent_are_left_out(tmp_path, inputs):
    page = built(tmp_path, {}, {}, [])
    for name in ("checks", "models", "properties", "retrieval", "structure", "real", "published"):
        assert f'id="{name}"' not in page and f'href="#{name}"' not in page


def test_verdicts_follow_the_numbers():
    found = {c["claim"]: (c["holds"], c["verdict"]) for c in checks.regression_checks(regression())}
    assert found == {
        "Trained SpecFormer beats the untrained network: zero-shot R2(z)": (True, "holds"),
        "Trained SpecFormer beats PCA + kNN: zero-shot R2(z)": (False, "fails"),
        "Aligned image embeddings beat unaligned ones: zero-shot R2(z)": (True, "holds, within the uncertainty"),
    }
    assert [c["holds"] for value in (0.3, 0.2) for c in checks.retrieval_checks(retrieval(value))] == [True, False]


def test_the_same_inputs_give_the_same_page(tmp_path, inputs):
    assert built(tmp_path, *inputs) == built(tmp_path, *inputs)


def test_bad_input_is_named(tmp_path, inputs):
    files, figures, cards = inputs
    figures["umap"].write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match="umap.png: not a PNG"):
        built(tmp_path, *inputs)
    figures["umap"].write_bytes(PNG)
    cards[0].write_text("{")
    with pytest.raises(BadInput, match="model.json: not a readable model card"):
        built(tmp_path, *inputs)
    cards[0].write_text("{}")
    files["retrieval"].write_text("")
    with pytest.raises(BadInput, match="retrieval.csv: not a readable csv"):
        built(tmp_path, *inputs)
    assert not (tmp_path / "report.html").exists()
