"""The page of the benchmark: published numbers find ours, whatever ours are called."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.benchmark.beside import beside, kinds_of, read_published
from skyloom.analysis.benchmark.items import BENCHMARK, ITEMS
from skyloom.analysis.common import bygroup, tables
from skyloom.core.errors import BadConfig
from skyloom.settings import kinds
from skyloom.settings.config import load
from tests.paths import ROOT

from .test_kinds import changed

PUBLISHED = read_published(ROOT / "resources/published/benchmark_2026.csv")


def of_table(number: int) -> pandas.DataFrame:
    return PUBLISHED[PUBLISHED["table"] == str(number)]


def ours(*rows: dict) -> pandas.DataFrame:
    """Rows of a table of ours."""
    blank = dict.fromkeys(bygroup.COLUMNS, "") | {"ci_low": np.nan, "ci_high": np.nan, "n": 10}
    return pandas.DataFrame([blank | row for row in rows], columns=bygroup.COLUMNS)


NET = {"model": "mine", "modality": "image", "method": "knn", "metric": "r2"}
KINDS = {"mine": "astroclip", "second": "astroclip", "eyes": "astrodino"}


def lines_with_ours(number: int, *rows: dict) -> list[dict]:
    return [line for line in beside(of_table(number), ours(*rows), KINDS) if "ours" in line]


def test_a_published_model_is_the_first_of_ours_of_its_kind():
    rows = [
        NET | {"property": "log_mstar", "value": 0.5},
        NET | {"model": "second", "property": "log_mstar", "value": 9},
    ]
    (line,) = lines_with_ours(3, *rows)
    assert (line["ours"], line["published"], line["our_model"]) == (0.5, 0.74, "mine")
    assert len(list(beside(of_table(3), ours(), KINDS))) == 32  # published ones stand there alone too


def test_differences_groups_clusters_and_shares_are_found():
    pair = NET | {"model": "mine - eyes", "metric": "delta_r2", "property": "log_mstar", "value": 0.1}
    (line,) = lines_with_ours(5, pair)
    assert line["model"] == "astroclip - astrodino" and line["published"] == 0.09
    (line,) = lines_with_ours(15, NET | {"property": "log_mstar", "group": "few neighbours", "value": 0.3})
    assert line["group"] == "Few" and line["published"] == 0.687
    (line,) = lines_with_ours(16, NET | {"property": "log_mstar", "group": "low z (bright)", "value": 0.3})
    assert line["published"] == 0.733
    cluster = {"model": "mine", "modality": "image", "method": "kmeans", "property": "cluster=0"}
    count, mean = cluster | {"metric": "count", "value": 7}, cluster | {"metric": "mean_log_z_mw", "value": -2.0}
    found = {line["metric"]: line for line in lines_with_ours(7, count, mean)}
    assert found["count"]["published"] == 9408 and found["count"]["ours"] == 7
    assert found["mean"]["property"] == "ln_z_mw" and found["mean"]["ours"] == pytest.approx(-2 * np.log(10))
    sky = {"method": "kmeans", "property": "position", "group": "0", "metric": "share", "value": 0.2}
    (line,) = lines_with_ours(13, sky)
    assert line["ours"] == 20 and line["published"] == 9.1


def test_hdbscan_is_that_of_whole_embeddings_and_ssfr_stands_in_for_the_legacy_one():
    row = {"model": "mine", "modality": "image", "property": "cluster=-1", "metric": "count"}
    (line,) = lines_with_ours(11, row | {"method": "hdbscan", "value": 1}, row | {"method": "hdbscan_raw", "value": 2})
    assert line["ours"] == 2
    (line,) = lines_with_ours(3, NET | {"property": "log_ssfr", "value": 0.4})
    assert line["property"] == "ssfr_legacy" and line["our_property"] == "log_ssfr"
    both = [NET | {"property": "log_ssfr", "value": 0.4}, NET | {"property": "ssfr_legacy", "value": 0.3}]
    (line,) = lines_with_ours(3, *both)
    assert line["ours"] == 0.3


def test_untrained_networks_are_no_published_model():
    rows = [("a", "astroclip", True), ("b", "astroclip", False), ("photometry", "photometry", False)]
    found = kinds_of(pandas.DataFrame(rows, columns=["model", "kind", "trained"]))
    assert found == {"a": "astroclip", "b": "b", "photometry": "photometry"}


def test_every_item_names_results_that_there_are_and_every_table_is_an_item():
    for item in ITEMS:
        kind = "regression" if item.kind == "protocol" else item.kind
        assert set(item.roles) <= set(kinds.find("analysis", kind, "").outputs) if kind else item.why
    numbers = {item.number.removeprefix("Table ") for item in ITEMS if item.paper == BENCHMARK}
    assert set(PUBLISHED["table"]) <= numbers


def test_the_page_takes_what_is_made_and_the_published_protocol_if_there_is_one():
    base = {"regression": {}, "sky": {}, "benchmark": {}}
    made = load(changed(**base)).made["benchmark", "mock"]
    assert made["protocol"] == made["regression"] and "clusters" not in made
    published = {"kind": "regression"}
    made = load(changed(**base, published_protocol=published)).made["benchmark", "mock"]
    assert made["protocol"][0] == "results/mock/analysis/published_protocol.csv"
    assert ("benchmark", "simulated") not in load(changed(**base)).made
    with pytest.raises(BadConfig, match="benchmark.protocol: 'sky' is of kind sky, which makes no predictions"):
        load(changed(**{**base, "benchmark": {"protocol": "sky"}}))


def test_the_page_is_written(tmp_path):
    from . import synthetic

    given, sky, protocol = {}, tmp_path / "sky.csv", tmp_path / "p.csv"
    row = NET | {"property": "log_mstar", "value": 0.5, "survey": "mock", "split": "test"}
    regression = ours(row).assign(kind="astroclip", trained=True)
    tables.write_csv(protocol, regression)
    count = {"method": "kmeans", "property": "position", "group": "0", "metric": "count", "value": 12}
    tables.write_csv(sky, ours(row | {"property": "log_z_mw", "group": "3", "ci_low": 0.4, "ci_high": 0.6}, count))
    for kind, table in (("regression", protocol), ("sky", sky)):
        paths = []
        for name in kinds.find("analysis", kind, "").outputs.values():
            path = tmp_path / f"{kind}-{name}"
            path.write_bytes(b"\x89PNG\r\n\x1a\n" if name.endswith("png") else b"")
            paths.append(str(table if name == f"{kind}.csv" else path))
        given[kind] = paths
    names = ("benchmark_2026.csv", "astroclip_2024.csv")
    given |= {"protocol": given["regression"], "published": [str(ROOT / "resources/published" / n) for n in names]}
    outputs = synthetic.run("benchmark", given, tmp_path / "out")
    text = outputs["page"].read_text()
    assert "Table 14" in text and "0.5 [0.4, 0.6]" in text and "no analysis of kind clusters" in text
    table = pandas.read_csv(outputs["table"]).dropna(subset=["ours"])
    assert {"3", "14"} <= set(table["table"].astype(str)) and len(table[table["table"].astype(str) == "14"]) == 1
