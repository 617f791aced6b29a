"""Published numbers: each stands once, under its paper, whatever file it is in."""

import pandas
import pytest

from skyloom.analysis.common import published
from skyloom.core.errors import BadInput
from skyloom.settings import layout
from tests.paths import ROOT

FILES = [ROOT / path for path in layout.PUBLISHED_ALL]


def test_every_published_number_is_in_one_file_and_named_after_its_paper():
    whole = published.read(FILES)
    assert list(whole) == published.COLUMNS and (whole[["source", "survey", "reference"]] != "").all().all()
    assert whole["value"].notna().all()
    own = ["model", "modality", "method", "property", "split", "group", "metric", "value"]
    parts = [published.read([path, FILES[-1]])[own] for path in FILES[:-1]]
    assert sum(map(len, parts)) == len(whole)
    for part in parts[1:]:  # nothing of the tables is in the file of single numbers too, whoever quotes it
        beside = parts[0].merge(part[part["split"].isin(["", "test"])], on=own[:4] + ["metric", "value"])
        assert not len(beside[beside["method"].isin(["knn", "mlp"]) & (beside["metric"] == "r2")])


def test_a_number_that_a_paper_prints_twice_stands_once():
    frame = pandas.read_csv(FILES[1], dtype=str, keep_default_na=False)
    pooled = frame[(frame["metric"] == "r2") & (frame["split"] == "test") & (frame["group"] == "")]
    assert len(pooled) == 64  # Table 3, and the same with intervals in Tables 5 and 6
    rows = published.read(FILES).query("source == 'AstroCLIP benchmark' and metric == 'r2' and split == 'test'")
    rows = rows[rows["group"] == ""]
    assert len(rows) == 32
    place = (rows["model"] == "astroclip") & (rows["modality"] == "image") & (rows["property"] == "log_mstar")
    assert rows[place].set_index("method")["value"].to_dict() == {"knn": 0.74, "mlp": 0.73}


def test_numbers_whose_paper_nobody_names_are_refused(tmp_path):
    with pytest.raises(BadInput, match="benchmark_2026.csv: no column 'source', and no line 'benchmark_2026.csv' in"):
        published.read([FILES[1]])
    (tmp_path / "p.csv").write_text("source,survey,model,value\na,b,c,1\n")
    with pytest.raises(BadInput, match="p.csv: no column 'modality'; it has source, survey, model, value"):
        published.read([tmp_path / "p.csv"])
    assert published.read([]).empty and list(published.read([])) == published.COLUMNS
